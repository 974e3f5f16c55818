"""Reads the fields of A1111's Hires fix: a second pass over the picture at a larger size."""

from __future__ import annotations

import re

from nodes.interchange.a1111.sampling_fields import read_sampler
from nodes.interchange.import_problems import ImportProblems
from nodes.interchange.picture_settings import HiresPass, PictureSettings

_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
_LARGEST = 8192


def take_hires(
    settings: PictureSettings, fields: dict[str, str], strength: float | None, problems: ImportProblems
) -> None:
    """Remove the fields of the Hires fix from `fields`, and set the second pass by them.

    Args:
        settings: receives the second pass.
        fields: the fields of the text.
        strength: the text's denoising strength, which belongs to the second pass.
        problems: receives a warning for each value that Safelight does not support.
    """
    hires = {name: fields.pop(name) for name in list(fields) if name.startswith("Hires")}
    details = ", ".join(f"{name} {value}" for name, value in hires.items())
    width, height = settings.width or 512, settings.height or 512
    target = _target(hires, width, height, problems)
    if strength is None or strength == 0 or target is None:
        details += "" if strength is None else f", Denoising strength {strength:g}"
        problems.left_out("Hires fix", details, "the picture is drawn at the size of the first pass")
        return
    steps = problems.whole("Hires steps", hires.pop("Hires steps", None), 0, 999) or settings.steps or 20
    guidance = problems.number("Hires CFG Scale", hires.pop("Hires CFG Scale", None), 0, 30)
    upscaler = hires.pop("Hires upscaler", "Latent")
    renamed = {
        "Sampler": hires.pop("Hires sampler", None),
        "Schedule type": hires.pop("Hires schedule type", None),
    }
    sampler, schedule = None, None
    if any(renamed.values()):
        given = {name: value for name, value in renamed.items() if value is not None}
        sampler, schedule = read_sampler(given, fields.get("Version", ""), problems, settings.sampler)
    settings.hires = HiresPass(*target, upscaler, strength, steps, guidance or None, sampler, schedule)
    for name, value in hires.items():
        problems.left_out(name, value)


def _target(
    hires: dict[str, str], width: int, height: int, problems: ImportProblems
) -> tuple[int, int] | None:
    """Return the size of the second pass in pixels, rounded down to whole latent cells.

    None if the fields give no size, or one that is too small or too large.
    """
    resize = _SIZE.fullmatch(hires.pop("Hires resize", "").strip())
    if resize is not None:
        wide, tall = (int(side) for side in resize.groups())
        hires.pop("Hires upscale", None)
    else:
        factor = problems.number("Hires upscale", hires.get("Hires upscale"), 0.1, 16)
        if factor is None:
            return None
        del hires["Hires upscale"]
        wide, tall = int(width * factor), int(height * factor)
    wide, tall = wide // 8 * 8, tall // 8 * 8
    return (wide, tall) if 64 <= min(wide, tall) and max(wide, tall) <= _LARGEST else None
