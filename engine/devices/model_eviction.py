"""Decides which loaded model a device gives up when its memory is short."""

from __future__ import annotations

from engine.devices.ledger import Ledger, NextUse


def evict(ledger: Ledger, next_use: NextUse) -> bool:
    """Drop the loaded thing that is needed last; returns False if there is none to drop.

    That is the one whose next use is farthest away; of several, the least recently used one.

    Args:
        ledger: what is loaded on the device.
        next_use: the number of steps until a plan uses a recipe next.
    """
    evictable = ledger.evictable
    if not evictable:
        return False
    ledger.drop(max(evictable, key=lambda entry: next_use(entry.key.identity)))  # the first of equal ones
    return True
