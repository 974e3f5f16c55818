"""Describes pickles of torch without executing them; this package runs in a separate process.

It imports nothing but the standard library, and its own modules by relative names: the process that reads a
stranger's file starts without any path to other packages.
"""
