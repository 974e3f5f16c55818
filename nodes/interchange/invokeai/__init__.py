"""Converts InvokeAI's picture metadata and workflows to graphs."""
