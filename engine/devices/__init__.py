"""Loaded models on each device, and the compute settings of nodes."""
