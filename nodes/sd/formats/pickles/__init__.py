"""Describes pickles of torch without executing them. This package runs in a separate process.

It imports only the standard library, and its own modules by relative names, because the process that reads an
untrusted file has no other packages on its path.
"""
