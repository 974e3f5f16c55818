"""Finds model files by their names in graphs, and describes them."""
