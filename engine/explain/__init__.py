"""Explains in words why each step runs."""
