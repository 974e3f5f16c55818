"""Explains in words why each step runs or is reused, and how two graphs differ."""
