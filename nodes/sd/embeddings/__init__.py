"""Textual-inversion embeddings: their vectors, their triggers in prompts, and their files."""
