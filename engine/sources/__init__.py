"""Reads a graph from any file: a document, a picture with an embedded graph, or another program's file."""
