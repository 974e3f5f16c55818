"""Answers questions about node types, graphs and models in a child process, because node packs may crash."""

from engine.catalogue.catalogue import Catalogue

__all__ = ["Catalogue"]
