"""Hypernetworks in A1111's format: small networks before the keys and values of the attention."""
