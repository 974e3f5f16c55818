"""FLUX.1: a graph draws what diffusers' pipelines draw with the same networks, for dev and schnell."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxImg2ImgPipeline,
    FluxPipeline,
)
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from safetensors.torch import save_file
from torch import Tensor

from engine import settings
from engine.document.graph import Entry, From, Graph, Literal
from engine.session import Session
from nodes.files.checkpoints import checkpoint
from nodes.sd.families.family import Flow
from nodes.sd.formats.json_file import ModelError
from nodes.sd.models import vae, weights
from nodes.sd.models.folder import describe_folder
from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.schedules import schedule
from nodes.sd.sampling.tables import table_of
from nodes.values import Conditioning, Latent
from tests.nodes.conftest import output, warnings
from tests.nodes.sd.families.latents import difference
from tests.nodes.sd.families.pipelines import FLUX_SCHEDULERS, LENGTHS, flux_parts
from tests.nodes.sd.families.small import SmallModel, small_model

PROMPT = "a red cube on a table"
STEPS, SEED = 4, 3
SIZES = [(8, 12), (14, 8)]
"""Heights and widths in latent cells."""


class Both:
    """A small FLUX.1 in the checkpoints of a home, and the networks for diffusers' pipelines."""

    def __init__(self, name: str, home: Path) -> None:
        self.model: SmallModel = small_model(name)
        self.folder = home / "models" / "checkpoints" / name
        self.folder.parent.mkdir(parents=True)
        self.model.save_folder(self.folder)
        self.name, self.session = name, Session(settings.load(home, device="cpu", checked=True))
        self.parts = flux_parts(self.model)

    def theirs(self, kind: Any, noise: Tensor | None, **more: Any) -> Tensor:
        """The latents that a pipeline of diffusers makes, [batch, channels, height, width]."""
        pipeline = kind(**self.parts)
        pipeline.set_progress_bar_config(disable=True)
        height, width = more.pop("size") if noise is None else noise.shape[-2:]
        if noise is not None:
            more |= {"latents": packed(noise), "num_images_per_prompt": len(noise)}
        latents = pipeline(
            PROMPT,
            num_inference_steps=STEPS,
            height=8 * height,
            width=8 * width,
            max_sequence_length=LENGTHS[self.name],
            output_type="latent",
            **more,
        ).images
        found: Tensor = FluxPipeline._unpack_latents(latents, 8 * height, 8 * width, 8)
        return found

    def graph(self, size: tuple[int, int], batch: int = 1, **denoise: Any) -> Graph:
        """A graph that draws latents; its output `latent` is that of Denoise."""
        height, width = (8 * side for side in size)
        canvas = {"width": Literal(width), "height": Literal(height), "batch": Literal(batch)}
        encoded: dict[str, Any] = {"encoder": From("model", "encoder"), "dialect": Literal("plain")}
        inputs: dict[str, Any] = {
            "model": From("model", "model"),
            "positive": From("positive", "out"),
            "negative": From("positive", "out"),
            "latent": From("canvas", "out"),
            "seed": Literal(SEED),
            "steps": Literal(STEPS),
            "guidance": Literal(1.0),
            "sampler": Literal("euler"),
            "schedule": Literal("simple"),
        }
        nodes = {
            "model": Entry("LoadModel@1", {"model": Literal(self.name)}),
            "positive": Entry("EncodePrompt@2", {**encoded, "prompt": Literal(PROMPT)}),
            "canvas": Entry("EmptyLatent@1", {**canvas}),
            "denoise": Entry("Denoise@3", {**inputs, **denoise}),
        }
        return Graph(nodes=nodes, outputs={"latent": From("denoise", "latent")})

    def run(self, graph: Graph, name: str = "latent") -> Any:
        """An output of a graph, which runs without warnings."""
        events: list[Any] = []
        found = output(self.session.run(graph, {}, emit=events.append), name)
        assert not warnings(events)
        return found

    def drawn(self, graph: Graph) -> Tensor:
        found = self.run(graph)
        assert isinstance(found, Latent)
        return found.samples


def packed(latents: Tensor) -> Tensor:
    batch, channels, height, width = latents.shape
    found: Tensor = FluxPipeline._pack_latents(latents, batch, channels, height, width)
    return found


def noise(size: tuple[int, int], count: int = 1) -> Tensor:
    return NoiseSource(SEED, count).draw((16, *size))


@pytest.fixture(scope="module", params=["flux", "flux-schnell"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    made = Both(request.param, tmp_path_factory.mktemp("home"))
    yield made
    made.session.close()


def test_a_folder_says_what_it_is(both: Both) -> None:
    files = describe_folder(both.folder)
    by_size = (0.5, 1.15) if both.name == "flux" else None
    assert (files.family.name, files.prediction) == (both.name, "flow")
    assert isinstance(files.noise, Flow)
    assert (files.noise.shift, files.noise.by_size) == (1.0, by_size)
    assert (files.latent_channels, files.unet_channels, files.size) == (16, 16, (1024, 1024))
    found = checkpoint(both.session.files, both.name)
    assert type(found).from_json({**_plain(found)}) == found


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("transformer", {"in_channels": "64"}),
        ("transformer", {"guidance_embeds": "false"}),
        ("transformer", {"patch_size": 2}),
        ("transformer", {"axes_dims_rope": [4, 6, 8]}),
        ("transformer", {"axes_dims_rope": [5, 5, 6]}),
        ("transformer", {"axes_dims_rope": "16"}),
        ("transformer", {"joint_attention_dim": 64}),
        ("transformer", {"pooled_projection_dim": 64}),
        ("transformer", {"num_single_layers": 10**6}),
        ("scheduler", {"time_shift_type": "linear"}),
        ("scheduler", {"shift_terminal": 0.02}),
        ("scheduler", {"base_image_seq_len": 4096}),
        ("scheduler", {"max_shift": "1"}),
    ],
)
def test_a_folder_with_an_unknown_config_is_refused(
    tmp_path: Path, part: str, change: dict[str, Any]
) -> None:
    small_model("flux").save_folder(tmp_path / "flux")
    file = tmp_path / "flux" / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | change))
    with pytest.raises(ModelError, match=next(iter(change))):
        describe_folder(tmp_path / "flux")


@pytest.mark.parametrize("channels", [128, 384])
def test_a_transformer_that_reads_more_than_a_latent_is_refused(tmp_path: Path, channels: int) -> None:
    """Such as that of FLUX.1 Depth and Canny, or Fill, under the name of an ordinary pipeline."""
    small_model("flux").save_folder(tmp_path / "flux")
    file = tmp_path / "flux" / "transformer" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"in_channels": channels}))
    with pytest.raises(ModelError, match=f"reads {channels} channels"):
        describe_folder(tmp_path / "flux")


def test_the_shift_of_a_folder_is_read_for_other_sizes_of_pictures(tmp_path: Path) -> None:
    small_model("flux").save_folder(tmp_path / "flux")
    file = tmp_path / "flux" / "scheduler" / "scheduler_config.json"
    own = {"base_image_seq_len": 128, "max_image_seq_len": 1024, "base_shift": 0.3, "max_shift": 2.0}
    file.write_text(json.dumps(json.loads(file.read_text()) | own))
    found = describe_folder(tmp_path / "flux").noise
    assert isinstance(found, Flow)
    for tokens in (64, 500, 5000):
        mu = calculate_shift(tokens, 128, 1024, 0.3, 2.0)
        assert found.of_tokens(tokens).shift == pytest.approx(math.exp(mu), rel=1e-9)


def _plain(value: Any) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(value)))
    return plain


@pytest.mark.parametrize("prompt", [PROMPT, "", "cat " * 90, "red blue " * 300])
def test_text_is_encoded_as_diffusers_encodes_it(both: Both, prompt: str) -> None:
    pipeline: Any = FluxPipeline(**both.parts)
    rows, pooled, _ = pipeline.encode_prompt(prompt, max_sequence_length=LENGTHS[both.name])
    graph = both.graph((8, 8))
    graph.nodes["positive"].inputs["prompt"] = Literal(prompt)
    graph.outputs = {"cond": From("positive", "out")}
    found = output(both.session.run(graph, {}), "cond")
    assert isinstance(found, Conditioning)
    assert found.pooled is not None
    assert found.embeddings.shape == (1, LENGTHS[both.name], 96)
    assert difference(found.embeddings, rows) < 1e-5
    assert difference(found.pooled, pooled) < 1e-5


@pytest.mark.parametrize("size", SIZES)
def test_latents_are_those_of_diffusers(both: Both, size: tuple[int, int]) -> None:
    found = both.drawn(both.graph(size, batch=2))
    assert difference(found, both.theirs(FluxPipeline, noise(size, 2))) < 1e-5


def test_the_distilled_guidance_is_that_of_diffusers(both: Both) -> None:
    graph = both.graph(SIZES[0], positive=From("guided", "out"))
    plain = both.drawn(both.graph(SIZES[0]))
    graph.nodes["guided"] = Entry(
        "SetDistilledGuidance@1", {"prompt": From("positive", "out"), "guidance": Literal(9.0)}
    )
    events: list[Any] = []
    found = output(both.session.run(graph, {}, emit=events.append), "latent").samples
    assert difference(found, both.theirs(FluxPipeline, noise(SIZES[0]), guidance_scale=9.0)) < 1e-5
    if both.name == "flux":
        assert not warnings(events)
        assert difference(found, plain) > 1e-3
    else:
        assert len(warnings(events)) == 1
        assert torch.equal(found, plain)


def test_classifier_free_guidance_is_that_of_diffusers_and_warns(both: Both) -> None:
    graph = both.graph(SIZES[0], negative=From("negative", "out"), guidance=Literal(2.0))
    inputs = {**graph.nodes["positive"].inputs, "prompt": Literal("blue"), "negative": Literal(True)}
    graph.nodes["negative"] = Entry("EncodePrompt@2", inputs)
    events: list[Any] = []
    found = output(both.session.run(graph, {}, emit=events.append), "latent").samples
    expected = both.theirs(FluxPipeline, noise(SIZES[0]), negative_prompt="blue", true_cfg_scale=2.0)
    assert difference(found, expected) < 2e-5
    assert len(warnings(events)) == 1


@pytest.mark.parametrize("tokens", [15, 256, 1024, 4096, 9216])
@pytest.mark.parametrize("steps", [4, 25])
def test_noise_levels_are_those_of_diffusers_at_every_size(tokens: int, steps: int) -> None:
    scheduler = FLUX_SCHEDULERS["flux"]
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps).tolist(), mu=calculate_shift(tokens))
    noise = small_model("flux").family.noise
    assert isinstance(noise, Flow)
    plan = schedule("simple", steps, table_of(noise.of_tokens(tokens)))
    assert torch.allclose(plan.sigmas, scheduler.sigmas, atol=1e-6)
    assert torch.allclose(plan.timesteps, scheduler.timesteps, atol=1e-3)


def test_a_set_shift_holds_for_every_size(both: Both) -> None:
    graph = both.graph(SIZES[0], model=From("shift", "out"))
    graph.nodes["shift"] = Entry("SetShift@1", {"model": From("model", "model"), "shift": Literal(2.0)})
    usual = both.parts["scheduler"]
    both.parts["scheduler"] = FlowMatchEulerDiscreteScheduler(shift=2.0)
    expected = both.theirs(FluxPipeline, noise(SIZES[0]))
    both.parts["scheduler"] = usual
    assert difference(both.drawn(graph), expected) < 1e-5


def with_picture(both: Both, size: tuple[int, int], **denoise: Any) -> Graph:
    """A graph that begins with an encoded picture, its output `given`."""
    height, width = (8 * side for side in size)
    graph = both.graph(size, latent=From("encoded", "out"), **denoise)
    colour = {"width": Literal(width), "height": Literal(height), "color": Literal("#c04020")}
    graph.nodes["picture"] = Entry("SolidImage@1", {**colour})
    graph.nodes["encoded"] = Entry("Encode@1", {"vae": From("model", "vae"), "image": From("picture", "out")})
    graph.outputs["given"] = From("encoded", "out")
    return graph


def test_image_to_image_is_that_of_diffusers(both: Both) -> None:
    graph = with_picture(both, SIZES[1], start_step=Literal(2))  # diffusers runs int(4 * 0.5) steps
    given = both.run(graph, "given").samples
    expected = both.theirs(
        FluxImg2ImgPipeline,
        None,
        image=given,
        strength=0.5,
        size=SIZES[1],
        generator=torch.Generator().manual_seed(SEED),
        guidance_scale=3.5,
    )
    assert difference(both.drawn(graph), expected) < 1e-5


def test_inpainting_changes_only_what_the_mask_covers(both: Both) -> None:
    graph = with_picture(both, (8, 8))
    graph.nodes["wider"] = Entry("PadImage@1", {"image": From("picture", "out"), "right": Literal(32)})
    graph.nodes["encoded"].inputs["image"] = From("wider", "image")
    links = {"latent": From("encoded", "out"), "mask": From("wider", "mask")}
    graph.nodes["masked"] = Entry("MaskLatent@1", {**links})
    graph.nodes["denoise"].inputs["latent"] = From("masked", "out")
    found, given = both.drawn(graph), both.run(graph, "given").samples
    assert found.shape == (1, 16, 8, 12)
    assert torch.equal(found[..., :8], given[..., :8])
    assert difference(found[..., 8:], given[..., 8:]) > 0.1


def test_prompts_act_in_areas_of_any_size(both: Both) -> None:
    """Where two areas meet at an odd cell, each is continued to whole patches."""
    graph = both.graph(SIZES[0], positive=From("all", "out"))
    area: dict[str, Any] = {"width": Literal(40), "height": Literal(64), "prompt": From("other", "out")}
    other = {**graph.nodes["positive"].inputs, "prompt": Literal("blue")}
    graph.nodes |= {
        "other": Entry("EncodePrompt@2", other),
        "area": Entry("LimitToArea@1", area),
        "all": Entry("CombinePrompts@1", {"first": From("positive", "out"), "second": From("area", "out")}),
    }
    found, plain = both.drawn(graph), both.drawn(both.graph(SIZES[0]))
    assert torch.isfinite(found).all()
    change = (found - plain).abs().amax((0, 1, 2))
    assert change[:5].min() > 1e-3


def test_a_picture_is_that_of_diffusers(both: Both) -> None:
    pipeline: Any = FluxPipeline(**both.parts)
    pipeline.set_progress_bar_config(disable=True)
    latents = both.drawn(both.graph(SIZES[0]))
    height, width = SIZES[0]
    settings: dict[str, Any] = {"num_inference_steps": STEPS, "height": 8 * height, "width": 8 * width}
    expected = pipeline(
        PROMPT,
        latents=packed(noise(SIZES[0])),
        max_sequence_length=LENGTHS[both.name],
        output_type="np",
        **settings,
    ).images
    pixels = vae.decode(weights.load_vae(describe_folder(both.folder)), latents)
    assert np.abs(pixels.astype(int) - (expected * 255).round().astype(int)).max() <= 1


@pytest.mark.parametrize(("prompt", "rows"), [(PROMPT, 256), ("red blue " * 300, 601)])
def test_prompts_of_comfyui_have_at_least_256_tokens_and_no_limit(both: Both, prompt: str, rows: int) -> None:
    """As T5XXLTokenizer for FLUX.1 in ComfyUI: `min_length=256`, and no `max_length`."""
    graph = both.graph((8, 8))
    graph.nodes["positive"].inputs |= {"prompt": Literal(prompt), "dialect": Literal("comfy")}
    graph.outputs = {"cond": From("positive", "out")}
    found = both.run(graph, "cond")
    ids = both.parts["tokenizer_2"](
        prompt, padding="max_length", max_length=256, return_tensors="pt"
    ).input_ids
    expected = both.parts["text_encoder_2"](ids)[0]
    assert found.embeddings.shape == (1, rows, 96) == expected.shape
    assert difference(found.embeddings, expected) < 1e-5


def test_embeddings_reach_both_text_encoders(both: Both) -> None:
    """Vectors equal to those of the token `cat` give what the word gives."""
    clip, t5 = both.parts["text_encoder"], both.parts["text_encoder_2"]
    (word,) = both.parts["tokenizer"]("cat", add_special_tokens=False).input_ids
    piece = both.parts["tokenizer_2"].convert_tokens_to_ids("\u2581cat")
    vectors = {
        "clip_l": clip.get_input_embeddings().weight[word][None],
        "t5": t5.get_input_embeddings().weight[piece][None],
    }
    folder = both.folder.parents[1] / "embeddings"
    folder.mkdir(exist_ok=True)
    save_file({name: one.detach().clone() for name, one in vectors.items()}, folder / "gem.safetensors")
    graph = both.graph((8, 8))
    graph.nodes["words"] = Entry("LoadEmbeddings@1", {"encoder": From("model", "encoder")})
    graph.nodes["positive"].inputs |= {"encoder": From("words", "out"), "dialect": Literal("a1111")}
    graph.outputs = {"cond": From("positive", "out")}
    found = []
    for prompt in ("a gem on a table", "a cat on a table", "a cube on a table"):
        graph.nodes["positive"].inputs["prompt"] = Literal(prompt)
        found.append(both.run(graph, "cond"))
    gem, cat, cube = found
    assert torch.allclose(gem.embeddings, cat.embeddings, atol=1e-6)
    assert torch.allclose(gem.pooled, cat.pooled, atol=1e-6)
    assert not torch.allclose(cube.embeddings, cat.embeddings, atol=1e-3)
    assert not torch.allclose(cube.pooled, cat.pooled, atol=1e-3)


def test_the_shift_of_comfyui_is_the_same_at_every_size(both: Both) -> None:
    """ModelSamplingFlux of ComfyUI has the shift exp(1.15) unless the node sets it; schnell has 1."""
    graph = both.graph(SIZES[0], follow=Literal("comfyui"))
    shift = math.exp(1.15) if both.name == "flux" else 1.0
    usual = both.parts["scheduler"]
    both.parts["scheduler"] = FlowMatchEulerDiscreteScheduler(shift=shift)
    expected = both.theirs(FluxPipeline, noise(SIZES[0]))
    both.parts["scheduler"] = usual
    assert difference(both.drawn(graph), expected) < 1e-5


def test_a_prompt_of_sd_3_is_refused_by_its_pooled_vector(both: Both) -> None:
    """SD 3 has text embeddings of the same width as FLUX.1."""
    if not (both.folder.parent / "three").exists():
        small_model("sd3").save_folder(both.folder.parent / "three")
    graph = both.graph((8, 8))
    graph.nodes["other"] = Entry("LoadModel@1", {"model": Literal("three")})
    graph.nodes["positive"].inputs["encoder"] = From("other", "encoder")
    problem = both.session.run(graph, {}).nodes["denoise"].problem
    assert problem is not None
    assert "pooled vector is 40 wide" in problem.message
