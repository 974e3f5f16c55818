"""Reads the inputs and outputs of a node class, and decides which outputs may be wired to which inputs."""
