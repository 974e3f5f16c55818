"""Reads and writes the `parameters` text of AUTOMATIC1111's web UI (A1111) and its relatives."""
