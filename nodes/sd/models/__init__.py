"""The models of every family: describes, loads, patches and merges their networks, and writes them."""
