"""ControlNets (arXiv:2302.05543): recognised by their tensors, and read from files of every layout."""
