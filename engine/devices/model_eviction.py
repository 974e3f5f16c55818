"""Decides which loaded model to evict when the memory of a device is short."""

from __future__ import annotations

from engine.devices.ledger import Ledger, NextUse


def evict(ledger: Ledger, next_use: NextUse) -> bool:
    """Evict the model whose next use is farthest away; of several, the least recently used one.

    Returns False if no model can be evicted.

    Args:
        ledger: the models that are loaded on the device.
        next_use: returns the number of steps until a recipe is used next.
    """
    evictable = ledger.evictable
    if not evictable:
        return False
    ledger.drop(max(evictable, key=lambda entry: next_use(entry.key.identity)))  # the first of equal ones
    return True
