"""Nodes for datasets."""
