"""Wire values that `nodes.values` re-exports, with the code that they need."""
