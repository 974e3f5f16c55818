"""The families that Safelight knows: those of the packages in this folder."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from nodes.sd import families as package
from nodes.sd.families.family import Family


@cache
def families() -> tuple[Family, ...]:
    """Collect the families of all packages in this folder, which declare them in `FAMILIES`."""
    names = [module.name for module in pkgutil.iter_modules(package.__path__) if module.ispkg]
    modules = [import_module(f"{package.__name__}.{name}") for name in sorted(names)]
    return tuple(family for module in modules for family in module.FAMILIES)


def family_named(name: str) -> Family:
    """Return the family with a name.

    Raises:
        KeyError: there is no such family.
    """
    return {family.name: family for family in families()}[name]
