"""Random models of the true sizes, from single files: the latents are those of diffusers' pipelines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.nodes.sd.families.latents import difference


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sd1", "sd2", "sdxl"])
def test_the_latents_at_true_size_are_those_of_diffusers(tmp_path: Path, name: str) -> None:
    """Each side runs in a process of its own, one after the other, since memory holds one model of SDXL."""
    for side in ("build", "ours", "theirs"):
        module = "tests.nodes.sd.families.true_sizes"
        subprocess.run([sys.executable, "-m", module, side, name, str(tmp_path)], check=True)
    found, expected = (load_file(tmp_path / f"{side}.safetensors")["latents"] for side in ("ours", "theirs"))
    assert difference(found, expected) < 1e-4
