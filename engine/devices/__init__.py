"""Keeps models loaded on devices, and resolves the compute settings: device, precision, attention."""
