"""Nodes that make conditioning out of prompts, and change it."""
