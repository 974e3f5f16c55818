"""Reads model files of other tools (safetensors, pickles, pictures, JSON) without trusting their content."""
