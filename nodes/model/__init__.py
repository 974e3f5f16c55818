"""Nodes that load, change, describe and save models and what goes with them."""
