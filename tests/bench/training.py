"""What a step of textual inversion costs, against the loop of diffusers' script, and what it keeps."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.bench import ROOT, Row, bench, stopwatch

VOCABULARY = 49_408
"""The tokens of CLIP."""
LONG = 10_000
ALLOWED_GROWTH = 4.0
"""MiB of the resident set, between a tenth of the steps and the last one."""
SIZES = {"a tiny UNet": (32, 8, 10.0), "SD 1.5's shapes": (256, 5, 1.6)}
"""The side of the pictures in pixels, the measured steps of each side, and the goal."""

PEAK = """
import torch
torch.set_num_threads(1)
from tests.bench import {module} as t
side = t.{side}(t.networks("a tiny UNet", peer={peer}), 32)
for _ in range(3):
    side()
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


class Networks(NamedTuple):
    """The networks of a model with CLIP's full vocabulary."""

    unet: Any
    vae: Any
    text: Any
    """The text encoder: Safelight's own, or that of transformers for the peer."""
    tokenizer: Any

    def for_peer(self) -> Networks:
        """The same networks, with transformers' text encoder of the same weights."""
        from tests.nodes.sd.in_transformers import encoder_of

        return self._replace(text=encoder_of(self.text))


def networks(size: str, *, peer: bool = False) -> Networks:
    """A model of random weights: as small as those in diffusers' tests, or with the shapes of SD 1.5.

    Both have CLIP's table of 49,408 vectors of 768 numbers.
    """
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel

    from nodes.sd.models.clip import ClipConfig, ClipTextModel
    from nodes.sd.models.folder import describe_folder
    from nodes.sd.models.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(describe_folder(ROOT / "nodes" / "sd" / "tiny" / "weights"))
    torch.manual_seed(0)
    text: dict[str, Any] = {"hidden_size": 768, "num_attention_heads": 12}
    if size == "a tiny UNet":
        unet = UNet2DConditionModel(
            block_out_channels=(32, 64),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=768,
            attention_head_dim=8,
        )
        kinds: dict[str, Any] = {
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
        }
        vae = AutoencoderKL(block_out_channels=(32, 64), **kinds)
        text |= {"num_hidden_layers": 1, "intermediate_size": 64}
    else:
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
        kinds = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
        vae = AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, **kinds)
        text |= {"num_hidden_layers": 12, "intermediate_size": 3072}
    encoder: Any = ClipTextModel
    config: Any = ClipConfig
    if peer:
        from transformers import CLIPTextConfig, CLIPTextModel

        encoder, config = CLIPTextModel, CLIPTextConfig
    found = Networks(unet, vae, encoder(config(vocab_size=VOCABULARY, **text)), tokenizer)
    for network in found[:3]:
        network.eval().requires_grad_(False)
    return found


def pixels(side: int) -> Any:
    """A picture as the VAE reads it: float32 [1, 3, side, side] from -1 to 1."""
    import torch

    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def ours(model: Networks, side: int) -> Callable[[], float]:
    """The training loop and the task of TrainTI; returns a function that takes a step."""
    import torch
    from torch import nn

    from nodes.files.embedding_files import _source
    from nodes.sd.embeddings.catalogue import Catalogue
    from nodes.sd.embeddings.embedding import Embedding
    from nodes.sd.families.family import Betas
    from nodes.sd.families.known import family_named
    from nodes.sd.fine_tuning.diffusion_loss import DiffusionLoss
    from nodes.sd.fine_tuning.latents import CachedPicture
    from nodes.sd.fine_tuning.prompt_encoders import PromptEncoders
    from nodes.sd.fine_tuning.prompts import CaptionedPicture, Prompts
    from nodes.sd.fine_tuning.task import TrainingTask
    from nodes.sd.models.loaded_encoder import LoadedEncoder
    from nodes.sd.sampling.noise_table import NoiseTable
    from nodes.sd.training_loop.data_order import DataOrder
    from nodes.sd.training_loop.loop import Training
    from nodes.sd.training_loop.optimizers import optimizer

    width = model.text.config.hidden_size
    vectors = nn.ParameterDict({"clip_l": torch.randn(1, width) * 0.02})
    embedding = Embedding("zzz", {"clip_l": vectors["clip_l"].detach()})
    catalogue = Catalogue([_source(embedding)], {"clip_l": width})
    (trigger, _) = catalogue.match("zzz", 0) or ("", 0)
    (role,) = family_named("sd1").roles
    encoder = PromptEncoders([LoadedEncoder(role, model.tokenizer, model.text)], catalogue, trigger)
    with torch.no_grad():
        mean = model.vae.encode(pixels(side)).latent_dist.mean[0] * model.vae.config.scaling_factor
    picture = CaptionedPicture(CachedPicture(mean, None))
    task = TrainingTask(
        lambda texts: encoder.encode(texts, {"clip_l": vectors["clip_l"]}),
        model.unet,
        (),
        DiffusionLoss(NoiseTable(Betas()).alphas, "epsilon"),
        [picture],
        Prompts("zzz", ["a photo of [name]"]),
        DataOrder([0], 1, 0),
    )
    file = Path(tempfile.gettempdir()) / "safelight-bench-no-checkpoint.pt"
    training = Training(
        {"embedding": vectors}, file, steps=1_000_000, rate=lambda step: 0.005, seed=0,
        optimizer=optimizer("adamw", 0.0), decay=None,
    )  # fmt: skip
    taken = training.steps(task.loss)
    return lambda: next(taken).loss


def theirs(model: Networks, side: int) -> Callable[[], float]:
    """The loop of diffusers' textual_inversion.py; returns a function that takes a step."""
    import torch
    from diffusers import DDPMScheduler
    from torch.nn import functional as F

    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    placeholder = VOCABULARY - 3
    ids = torch.full((1, 77), VOCABULARY - 1)
    ids[0, :6] = torch.tensor([VOCABULARY - 2, 320, 1125, 539, placeholder, VOCABULARY - 1])
    table = model.text.get_input_embeddings().weight
    table.requires_grad_(True)
    optimizer = torch.optim.AdamW([table], lr=0.005, weight_decay=1e-2)
    original = table.detach().clone()
    others = torch.ones(len(table), dtype=torch.bool)
    others[placeholder] = False
    picture = pixels(side)

    def step() -> float:
        latents = model.vae.encode(picture).latent_dist.sample() * model.vae.config.scaling_factor
        noise = torch.randn_like(latents)
        timesteps = torch.randint(0, 1000, (1,))
        noisy = scheduler.add_noise(latents, noise, timesteps)
        predicted = model.unet(noisy, timesteps, model.text(ids)[0]).sample
        loss = F.mse_loss(predicted.float(), noise.float(), reduction="mean")
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            table[others] = original[others]
        return loss.item()

    return step


@bench
def training() -> Iterator[Row]:
    """Steps of both sides in turn, in one process; then memory, and whether it grows."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for size in SIZES:
        yield compared(size)
    torch.set_num_threads(threads)
    mine, peer = (peak(side) for side in ("ours", "theirs"))
    yield Row(
        "peak memory of textual inversion",
        round(mine, 1),
        "MiB RSS",
        "<= the peer",
        mine <= peer,
        "a tiny UNet with CLIP's vocabulary, 3 steps, fresh process; the peer optimises the whole table",
        peer=round(peer, 1),
        ratio=round(peer / mine, 3),
    )
    yield growth()


def compared(size: str) -> Row:
    """The CPU seconds of a step on both sides, in turn."""
    side, steps, goal = SIZES[size]
    model = networks(size)
    sides = {"ours": ours(model, side), "diffusers": theirs(model.for_peer(), side)}
    mine, peer = in_turn(sides, steps)
    return Row(
        f"step of textual inversion, {size}",
        round(1000 * mine, 1),
        "ms CPU",
        f"ratio >= {goal:g}",
        peer / mine >= goal,
        f"{side} px, batch 1, float32, 1 thread, CLIP's vocabulary, medians of several in turn;"
        " the peer encodes the picture in each step, as diffusers' script does",
        peer=round(1000 * peer, 1),
        ratio=round(peer / mine, 2),
    )


def in_turn(sides: Mapping[str, Callable[[], float]], steps: int) -> list[float]:
    """The median CPU seconds of a step of each side."""
    took: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(steps + 1):
        for name, step in sides.items():
            with stopwatch() as one:
                step()
            took[name] += [one.cpu] if number or steps < 3 else []  # the first allocates
    return [statistics.median(found) for found in took.values()]


def peak(side: str, module: str = "training") -> float:
    """The peak resident set of a process that takes three steps of a side of a benchmark, in MiB."""
    code = PEAK.format(side=side, module=module, peer=side == "theirs")
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return int(ended.stdout.split()[-1]) / 1024


def growth() -> Row:
    """The memory that 10,000 steps add, with a network of one layer in place of the UNet."""
    from torch import nn

    class Layer(nn.Module):
        """A network that reads the prompt, and is fast."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(768, 4)

        def forward(
            self, noisy: Any, timestep: Any, *, encoder_hidden_states: Any, return_dict: bool
        ) -> tuple[Any]:
            return (noisy * self.layer(encoder_hidden_states).mean(1)[:, :, None, None],)

    model = networks("a tiny UNet")._replace(unet=Layer().requires_grad_(False))
    step = ours(model, 64)
    sizes = []
    for number in range(1, LONG + 1):
        step()
        if number in (LONG // 10, LONG):
            sizes.append(resident())
    grown = sizes[1] - sizes[0]
    return Row(
        f"memory growth over {LONG:,} steps of textual inversion",
        round(grown, 2),
        "MiB RSS",
        f"<= {ALLOWED_GROWTH:g}",
        grown <= ALLOWED_GROWTH,
        f"from step {LONG // 10:,} to {LONG:,}; a text encoder of one layer, and one layer as the UNet",
    )


def resident() -> float:
    """The resident set of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / (1 << 20)
