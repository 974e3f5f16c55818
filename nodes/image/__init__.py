"""Nodes for pictures and masks."""
