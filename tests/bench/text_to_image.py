"""Text to image against diffusers' own pipeline: the same weights, settings and noise, in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from engine import settings
from engine.document import reader, writer
from engine.document.graph import From, Literal
from engine.packing import unpack
from engine.session import Session
from engine.sources import source
from tests.bench.bench import GRAPH, ROOT, Row, Took, bench, new_home, stopwatch

STEPS, GUIDANCE, SIZE, ROUNDS = 20, 4.0, 128, 8


def bare() -> Callable[[str, int, str], Any]:
    """diffusers' pipeline, as its documentation has it."""
    import torch
    from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline

    weights = ROOT / "nodes" / "sd" / "tiny" / "weights"
    pipeline: Any = StableDiffusionPipeline.from_pretrained(
        str(weights), safety_checker=None, torch_dtype=torch.float32
    )
    pipeline.scheduler = EulerDiscreteScheduler.from_config(
        pipeline.scheduler.config, timestep_spacing="linspace"
    )
    pipeline.set_progress_bar_config(disable=True)

    def draw(prompt: str, seed: int, kind: str) -> Any:
        return pipeline(
            prompt,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            width=SIZE,
            height=SIZE,
            generator=torch.Generator().manual_seed(seed),
            output_type=kind,
        ).images

    return draw


def ours(session: Session) -> Callable[[str, int, str], Any]:
    """The saved graph, with the sampler that the pipeline above has."""
    graph = source.load(GRAPH)
    graph.nodes["denoise"].inputs |= {"sampler": Literal("euler"), "schedule": Literal("normal")}
    latent = reader.parse(writer.dump(graph))
    latent.outputs = {"image": From("denoise", "latent")}

    def draw(prompt: str, seed: int, kind: str) -> Any:
        values: dict[str, Any] = {"prompt": prompt, "seed": seed, "steps": STEPS, "guidance": GUIDANCE}
        report = session.run(latent if kind == "latent" else graph, values)
        assert report.state == "done", report
        packed = report.outputs["image"]
        return unpack(packed.type, packed.meta, {part.name: part.data for part in packed.parts})

    return draw


@bench
def text_to_image() -> Iterator[Row]:
    """Interleaved A B B A after a warm-up; each picture has a new prompt and seed, so nothing is cached."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with (
        new_home() as home,
        Session(settings.load(home, device="cpu", dtype="float32", checked=False)) as session,
    ):
        draws = {"ours": ours(session), "bare": bare()}
        same = [draw("a blue star on a red background", 3, "latent") for draw in draws.values()]
        equal = torch.equal(same[0].samples, same[1])
        took: dict[str, list[Took]] = {"ours": [], "bare": []}
        for draw in draws.values():
            draw("warm up", 1, "pil")
        for n in range(ROUNDS):
            for k, side in enumerate(("ours", "bare", "bare", "ours")):
                with stopwatch() as one:
                    draws[side](f"a green circle, number {n} {k}", 100 * n + k, "pil")
                took[side].append(one)
                time.sleep(0.01)
    torch.set_num_threads(threads)
    for unit, of in (("s CPU", lambda one: one.cpu), ("s wall", lambda one: one.wall)):
        mine, theirs = (statistics.median(map(of, took[side])) for side in ("ours", "bare"))
        yield Row(
            f"text to image against bare diffusers, {unit.split()[1]}",
            round(mine, 4),
            unit,
            "ratio >= 0.99 and latents bit-equal",
            theirs / mine >= 0.99 and equal,
            f"safelight-tiny, Euler, {STEPS} steps, guidance {GUIDANCE:g}, {SIZE} px, 1 thread, warm, "
            f"{ROUNDS} rounds of ABBA, medians; latents {'' if equal else 'NOT '}bit-equal; ours also stores "
            "every step and packs a PNG",
            peer=round(theirs, 4),
            ratio=round(theirs / mine, 4),
        )
