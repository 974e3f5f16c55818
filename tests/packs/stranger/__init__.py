"""Tunes: a pack as a stranger would write it who has read the guide and nothing else."""

from .compose import Compose, Harmonize
from .play import Ask, Length, Slur
from .transpose import Transpose
from .tune import Tune

__all__ = ["Ask", "Compose", "Harmonize", "Length", "Slur", "Transpose", "Tune"]
