"""The table of noise levels for a noise schedule."""

from __future__ import annotations

from nodes.sd.families.family import Flow, NoiseSchedule
from nodes.sd.sampling.flow_table import FlowTable
from nodes.sd.sampling.noise_table import NoiseTable

Table = NoiseTable | FlowTable


def table_of(noise: NoiseSchedule) -> Table:
    """Make the table of noise levels of a noise schedule."""
    return FlowTable(noise) if isinstance(noise, Flow) else NoiseTable(noise)
