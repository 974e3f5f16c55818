"""Checks a graph against the installed node types: finds all problems, and binds the nodes without any."""
