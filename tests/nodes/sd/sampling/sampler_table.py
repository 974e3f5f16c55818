"""Writes `nodes/samplers.md`: every sampler on every schedule against its formula, and its model calls.

`python -m tests.nodes.sd.sampling.sampler_table` computes it anew.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from nodes.interchange.sampler_names import A1111_SAMPLERS, A1111_SCHEDULES, COMFY_SAMPLERS, COMFY_SCHEDULES
from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.noise_table import NoiseTable
from nodes.sd.sampling.samplers import SAMPLERS, needs_noise, sample, start
from nodes.sd.sampling.schedules import SCHEDULES, schedule
from tests.nodes.sd.sampling.formulas import FORMULAS, SEED

PAGE = Path(__file__).parents[4] / "nodes" / "samplers.md"
STEPS = 10
COUNTED_STEPS = 20
EXACT = 1e-10
"""Relative errors up to this come from rounding."""
ENDS_AT_0_ONLY = ("restart",)
"""Samplers whose formula is written for schedules that end at 0."""
TABLE = NoiseTable()


class Bent:
    """A model that is linear in nothing, so that no term of a formula can hide; it counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.calls += 1
        return torch.tanh(x / (1 + sigma)) + 0.1 * torch.sin(3 * x) / (1 + sigma**2)

    def both(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        guided = self(x, sigma)
        return guided, 0.9 * guided


def calls(sampler: str, steps: int = COUNTED_STEPS) -> int:
    """How often a sampler asks the model on the schedule `karras`."""
    sigmas = schedule("karras", steps, TABLE).sigmas.double()
    model = Bent()
    for _ in sample(sampler, model, _begin(sigmas), sigmas, NoiseSource(SEED, 1)):
        pass
    return model.calls


def error(sampler: str, spacing: str) -> float | None:
    """The largest difference from the formula, by the formula's largest number; None without a formula."""
    if sampler not in FORMULAS:
        return None
    sigmas = schedule(spacing, STEPS, TABLE).sigmas.double()
    if sampler in ENDS_AT_0_ONLY and sigmas[-1] > 0:
        return None
    x = _begin(sigmas)
    *_, last = sample(sampler, Bent(), x, sigmas, NoiseSource(SEED, 1))
    expected = FORMULAS[sampler](Bent(), x, sigmas)
    return float((last.x - expected).abs().max() / expected.abs().max())


def shown(value: float | None) -> str:
    """An error as the page shows it: the power of ten above it."""
    if value is None:
        return "-"
    return "0" if value <= EXACT else f"1e{math.ceil(math.log10(value))}"


def page() -> str:
    """The page, computed anew."""
    return names_and_calls() + errors()


def names_and_calls() -> str:
    """The first part of the page."""
    comfy: dict[str, str] = {}
    for theirs, ours in COMFY_SAMPLERS.items():
        comfy.setdefault(ours, theirs)
    lines = [
        "# Samplers and schedules",
        "",
        "Written by `python -m tests.nodes.sd.sampling.sampler_table`; the tests compare it with the code.",
        "",
        "## Model calls",
        "",
        f"Model calls for {COUNTED_STEPS} steps of the schedule `karras`. With guidance, a call computes two"
        " pictures. *Noise* says whether the sampler adds noise between its steps by default.",
        "",
        "| Sampler | A1111 | ComfyUI | Calls | Eta | Noise |",
        "|---|---|---|---|---|---|",
    ]
    for name, sampler in SAMPLERS.items():
        names = f"{A1111_SAMPLERS.get(name, '-')} | {comfy.get(name, '-')}"
        eta = "-" if sampler.eta is None else f"{sampler.eta:g}"
        lines.append(
            f"| `{name}` | {names} | {calls(name)} | {eta} | {'yes' if needs_noise(name) else 'no'} |"
        )
    lines += [
        "",
        "## Schedules",
        "",
        "| Schedule | A1111 | ComfyUI |",
        "|---|---|---|",
        *(
            f"| `{name}` | {A1111_SCHEDULES.get(name, '-')} | {name if name in COMFY_SCHEDULES else '-'} |"
            for name in SCHEDULES
        ),
        "",
        "",
    ]
    return "\n".join(lines)


def errors() -> str:
    """The second part of the page."""
    lines = [
        "## Error against the formula",
        "",
        f"Each sampler runs {STEPS} steps of each schedule in float64, on a model that is linear in nothing,"
        " and so does its formula from the paper or the first code, which the tests write anew in another"
        " form (`tests/nodes/sd/sampling/formulas.py`). A number is the power of ten above the largest"
        f" difference, relative to the largest number; 0 means at most {EXACT:g}. `uni_pc` and `uni_pc_bh2`"
        " are tested against diffusers' scheduler instead.",
        "",
        "| Sampler | " + " | ".join(f"`{name}`" for name in SCHEDULES) + " |",
        "|---|" + "---|" * len(SCHEDULES),
    ]
    for name in SAMPLERS:
        lines.append(
            f"| `{name}` | " + " | ".join(shown(error(name, spacing)) for spacing in SCHEDULES) + " |"
        )
    return "\n".join(lines) + "\n"


def _begin(sigmas: Tensor) -> Tensor:
    return start(NoiseSource(1, 1).draw((4, 4, 4)).double(), sigmas)


if __name__ == "__main__":
    torch.set_num_threads(1)
    PAGE.write_text(page(), encoding="utf-8")
