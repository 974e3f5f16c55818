"""Prompts as people write them: the syntax of four tools, chunks, weights and changes by step."""
