"""What torch pickled, described without running any of it; this package runs in a process of its own.

It imports nothing but the standard library, and its own modules by relative names: the process that reads a
stranger's file starts without any path to other packages.
"""
