"""Checks a graph against the node types: returns every problem, and the nodes that are sound."""
