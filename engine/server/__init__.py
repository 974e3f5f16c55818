"""Serves a home folder over HTTP: the API, its events, and the rules that keep other programs out."""
