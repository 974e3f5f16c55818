"""The graph document: a saved graph as data and as JSON, independent of the installed node types."""
