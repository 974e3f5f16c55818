"""Parses prompts in the syntax of four tools, and encodes them with the text encoders."""
