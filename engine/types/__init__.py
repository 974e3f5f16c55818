"""Reads the inputs and outputs of a node class, and decides which wires fit which inputs."""
