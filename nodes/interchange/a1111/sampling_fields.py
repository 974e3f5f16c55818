"""Reads the fields of A1111's parameters that set the sampler, the schedule and the noise."""

from __future__ import annotations

from engine.widgets import SEED_MAX
from nodes.interchange.a1111.old_versions import minor_version
from nodes.interchange.import_problems import ImportProblems
from nodes.interchange.picture_settings import PictureSettings
from nodes.interchange.sampler_names import (
    A1111_AUTOMATIC,
    A1111_FIXED_SCHEDULES,
    SAMPLERS_BY_A1111_NAME,
    SCHEDULES_BY_A1111_NAME,
)

CFG_PP_SCALE = 12.5
"""The number by which A1111 divides the CFG scale for its CFG++ sampler."""
ETA_BY_DEFAULT = {"dpm_fast": 1.0, "dpm_adaptive": 1.0}
"""Samplers whose default eta in A1111 differs from that in k-diffusion and ComfyUI."""
NOISE_KINDS = {
    "CPU": "cpu",
    "GPU": "nv",
    "NV": "nv",
    "ComfyUI": "comfyui",
    "ComfyUI GPU": "comfyui_gpu",
}
"""Our noise kind for each value of the field `RNG`. A1111 omits the field for GPU; only Safelight writes
ComfyUI."""
_SCHEDULE_SUFFIXES = ("karras", "exponential", "sgm uniform", "sgmuniform", "uniform")
"""The suffixes of sampler names in texts from before 1.9: `DPM++ 2M Karras`."""
_NUMBERS = {
    "Eta": ("eta", 0, 2),
    "Eta DDIM": ("eta", 0, 2),
    "Sigma churn": ("churn", 0, 100),
    "Sigma tmin": ("churn_low", 0, 5000),
    "Sigma tmax": ("churn_high", 0, 5000),
    "Sigma noise": ("noise_scale", 0, 2),
    "Variation seed strength": ("variation", 0, 1),
    "Schedule rho": ("rho", 0.1, 20),
}
"""The input of Denoise for each field with a number, and its range."""
_WHOLE_NUMBERS = {
    "ENSD": ("later_seed_shift", -SEED_MAX, SEED_MAX),
    "Variation seed": ("variation_seed", 0, SEED_MAX),
}
"""The input of Denoise for each field with a whole number, and its range."""


def add_sampling_fields(settings: PictureSettings, fields: dict[str, str], problems: ImportProblems) -> None:
    """Remove the sampling fields from the fields, and apply them to the settings."""
    version = fields.get("Version", "")
    settings.sampler, schedule = _sampler(fields, problems)
    settings.schedule = _schedule(settings.sampler, schedule, version, problems)
    denoise = settings.denoise
    rng = fields.pop("RNG", "GPU")
    kind = problems.translated("RNG", rng, NOISE_KINDS, "the noise of the CPU")
    if kind not in (None, "cpu"):
        denoise["noise"] = kind
    if fields.pop("Follow", "") == "comfyui":
        denoise["follow"] = "comfyui"
    if settings.sampler in ETA_BY_DEFAULT and not version.startswith("Safelight"):
        denoise["eta"] = ETA_BY_DEFAULT[settings.sampler]
    for field, (name, low, high) in _NUMBERS.items():
        if (number := problems.number(field, fields.pop(field, None), low, high)) is not None:
            denoise[name] = number
    for field, (name, least, most) in _WHOLE_NUMBERS.items():
        if (whole := problems.whole(field, fields.pop(field, None), least, most)) is not None:
            denoise[name] = whole
    if (discard := fields.pop("Discard penultimate sigma", None)) is not None:
        denoise["discard_penultimate"] = discard == "True"
    elif settings.schedule == "time_uniform":
        denoise["discard_penultimate"] = False  # ComfyUI's rule for UniPC differs from A1111's
    if settings.sampler == "uni_pc" and fields.get("UniPC variant") == "bh2":
        settings.sampler = "uni_pc_bh2"
        del fields["UniPC variant"]
    if settings.sampler == "ddim_cfg_pp" and settings.guidance is not None:
        settings.guidance = round(settings.guidance / CFG_PP_SCALE, 6)


def read_sampler(
    fields: dict[str, str], version: str, problems: ImportProblems, otherwise: str | None
) -> tuple[str | None, str | None]:
    """Remove the sampler and the schedule from the fields, and return our names for them.

    Args:
        fields: fields with `Sampler`, `Schedule type` or both.
        version: the version of the program that wrote the text.
        problems: receives a warning for unknown names.
        otherwise: the sampler if the fields name none.
    """
    sampler, schedule = _sampler(fields, problems)
    return sampler, _schedule(sampler or otherwise, schedule, version, problems)


def _sampler(fields: dict[str, str], problems: ImportProblems) -> tuple[str | None, str | None]:
    """Remove the sampler and the schedule from the fields; returns our sampler and A1111's schedule type.

    Older texts append the schedule type to the sampler's name.
    """
    name, schedule = fields.pop("Sampler", None), fields.pop("Schedule type", None)
    if name is None:
        return None, schedule
    plain = " ".join(name.split()).casefold()
    if (sampler := SAMPLERS_BY_A1111_NAME.get(plain)) is not None:
        return sampler, schedule
    for suffix in _SCHEDULE_SUFFIXES:
        if plain.endswith(f" {suffix}"):
            schedule = schedule or suffix
            if (sampler := SAMPLERS_BY_A1111_NAME.get(plain.removesuffix(f" {suffix}"))) is not None:
                return sampler, schedule
    problems.left_out("Sampler", name, "Safelight does not have it; dpmpp_2m is used instead")
    return None, schedule


def _schedule(sampler: str | None, name: str | None, version: str, problems: ImportProblems) -> str | None:
    """Return our schedule for A1111's schedule type; None for our default."""
    minor = minor_version(version)
    if sampler in A1111_FIXED_SCHEDULES and not version.startswith("Safelight"):
        # Before 1.6, DDIM samplers ran to the end of their schedule.
        ran_to_the_end = minor is not None and minor < 6 and A1111_FIXED_SCHEDULES[sampler] == "ddim_a1111"
        return "ddim_uniform" if ran_to_the_end else A1111_FIXED_SCHEDULES[sampler]
    if name is None:
        if sampler is None:
            return None
        # Texts from before 1.9 have no schedule type; a sampler without a suffix used evenly spaced steps.
        name = "Uniform" if minor is not None and minor < 9 else "Automatic"
    if name.strip().casefold() == "automatic":
        return A1111_AUTOMATIC.get(sampler or "", "normal")
    schedule = SCHEDULES_BY_A1111_NAME.get(name.casefold().replace(" ", ""))
    if schedule is None:
        problems.left_out("Schedule type", name, "Safelight does not have it; karras is used instead")
    return schedule
