"""Finds node types, and reloads them when their files change."""
