"""Inspects model files (kind, format, base, problems), and converts any of them to safetensors."""
