"""ControlNets (arXiv:2302.05543): recognises them by their tensors, and reads files of every layout."""
