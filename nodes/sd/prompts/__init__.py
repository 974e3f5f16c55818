"""Reads prompts in the syntax of four tools and encodes them with a text encoder."""
