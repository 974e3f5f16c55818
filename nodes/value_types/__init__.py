"""Parts of `nodes.values`: values with code of their own."""
