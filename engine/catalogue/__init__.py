"""Answers questions about node types, graphs and models in a process of its own, since packs may crash."""

from engine.catalogue.catalogue import Catalogue

__all__ = ["Catalogue"]
