"""Nodes that load, change, describe and save models, LoRAs, embeddings and hypernetworks."""
