"""The exceptions for results that contain NaN or infinity; torch is not imported here."""

from __future__ import annotations


class NotFinite(ValueError):
    """Raised if the result of a network contains NaN or infinity."""

    code = "not_finite"


class Overflow(NotFinite):
    """Raised if a network computes NaN or infinity from finite numbers; a wider precision may help."""
