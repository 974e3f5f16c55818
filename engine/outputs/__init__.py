"""Writes the declared outputs of a run to files."""
