"""Nodes that encode prompts to conditioning, and nodes that change conditioning."""
