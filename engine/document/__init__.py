"""The saved graph, as data and as JSON; it is independent of the node types."""
