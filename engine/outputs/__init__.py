"""Writes a run's declared outputs as files."""
