"""What a step of a LoRA training costs, against peft with the loop of diffusers' script."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.bench import Row, bench
from tests.bench.training import Networks, in_turn, networks, peak, pixels, resident

RANK = 16
GOAL = 1.2
SIZES = {"a tiny UNet": (32, 8), "SD 1.5's shapes": (256, 2)}
"""The side of the pictures in pixels, and the measured steps of each side."""
LONG = 2_000
ALLOWED_GROWTH = 4.0
"""MiB of the resident set, between a tenth of the steps and the last one."""


def ours(model: Networks, side: int) -> Callable[[], float]:
    """The training loop and the task of TrainLoRA; returns a function that takes a step."""
    import torch

    from nodes.sd.embeddings.catalogue import Catalogue
    from nodes.sd.families.family import Betas
    from nodes.sd.families.known import family_named
    from nodes.sd.fine_tuning.adapted_network import adapted
    from nodes.sd.fine_tuning.adapters import (
        PATTERNS,
        AdapterSettings,
        as_module,
        layers_to_train,
        new_adapters,
        parameters,
    )
    from nodes.sd.fine_tuning.diffusion_loss import DiffusionLoss
    from nodes.sd.fine_tuning.dropout import Dropout
    from nodes.sd.fine_tuning.latents import CachedPicture
    from nodes.sd.fine_tuning.prompt_encoders import PromptEncoders
    from nodes.sd.fine_tuning.prompts import CaptionedPicture, Prompts
    from nodes.sd.fine_tuning.task import TrainingTask
    from nodes.sd.models.loaded_encoder import LoadedEncoder
    from nodes.sd.sampling.noise_table import NoiseTable
    from nodes.sd.training_loop.data_order import DataOrder
    from nodes.sd.training_loop.loop import Training
    from nodes.sd.training_loop.optimizers import optimizer

    layers = layers_to_train(model.unet, PATTERNS["attention"])
    made = new_adapters(layers, AdapterSettings("lora", RANK, RANK), torch.Generator().manual_seed(0))
    adapters = parameters(made, torch.device("cpu"))
    (role,) = family_named("sd1").roles
    width = model.text.config.hidden_size
    encoder = PromptEncoders(
        [LoadedEncoder(role, model.tokenizer, model.text)], Catalogue([], {"clip_l": width}), None
    )
    with torch.no_grad():
        mean = model.vae.encode(pixels(side)).latent_dist.mean[0] * model.vae.config.scaling_factor
    task = TrainingTask(
        lambda texts: encoder.encode(texts, {}),
        adapted(model.unet, adapters, Dropout()),
        (),
        DiffusionLoss(NoiseTable(Betas()).alphas, "epsilon"),
        [CaptionedPicture(CachedPicture(mean, None), "a photo of a cat")],
        Prompts("", ["[filewords]"]),
        DataOrder([0], 1, 0),
        fixed_text=True,
    )
    file = Path(tempfile.gettempdir()) / "safelight-bench-no-checkpoint.pt"
    training = Training(
        {"unet": as_module(adapters)}, file, steps=1_000_000, rate=lambda step: 1e-4, seed=0,
        optimizer=optimizer("adamw", 0.01), decay=None,
    )  # fmt: skip
    taken = training.steps(task.loss)
    return lambda: next(taken).loss


def theirs(model: Networks, side: int) -> Callable[[], float]:
    """The loop of diffusers' train_text_to_image_lora.py; returns a function that takes a step."""
    import torch
    from diffusers import DDPMScheduler
    from peft import LoraConfig
    from torch.nn import functional as F

    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    names = ["to_k", "to_q", "to_v", "to_out.0"]
    model.unet.add_adapter(
        LoraConfig(r=RANK, lora_alpha=RANK, init_lora_weights="gaussian", target_modules=names)
    )
    weights = [weight for weight in model.unet.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-4, weight_decay=1e-2)
    ids = torch.full((1, 77), 49_407)
    ids[0, :6] = torch.tensor([49_406, 320, 1125, 539, 320, 2368])
    picture = pixels(side)

    def step() -> float:
        with torch.no_grad():
            latents = model.vae.encode(picture).latent_dist.sample() * model.vae.config.scaling_factor
        noise = torch.randn_like(latents)
        timesteps = torch.randint(0, 1000, (1,))
        noisy = scheduler.add_noise(latents, noise, timesteps)
        with torch.no_grad():
            hidden = model.text(ids)[0]
        predicted = model.unet(noisy, timesteps, hidden, return_dict=False)[0]
        loss = F.mse_loss(predicted.float(), noise.float(), reduction="mean")
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


@bench
def lora_training() -> Iterator[Row]:
    """Steps of both sides in turn, in one process; then memory, and whether it grows."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for size in SIZES:
        yield compared(size)
    mine, peer = (peak(side, "lora_training") for side in ("ours", "theirs"))
    yield Row(
        "peak memory of a LoRA training",
        round(mine, 1),
        "MiB RSS",
        "<= the peer",
        mine <= peer,
        f"a tiny UNet with CLIP's vocabulary, rank {RANK}, 3 steps, fresh process",
        peer=round(peer, 1),
        ratio=round(peer / mine, 3),
    )
    yield growth()
    torch.set_num_threads(threads)


def compared(size: str) -> Row:
    """The CPU seconds of a step on both sides, in turn."""
    side, steps = SIZES[size]
    model = networks(size)
    sides = {"ours": ours(model, side), "peft": theirs(model.for_peer(), side)}
    mine, peer = in_turn(sides, steps)
    return Row(
        f"step of a LoRA training, {size}",
        round(1000 * mine, 1),
        "ms CPU",
        f"ratio >= {GOAL:g}",
        peer / mine >= GOAL,
        f"{side} px, batch 1, float32, 1 thread, rank {RANK}, medians of several in turn; the peer"
        " encodes the picture and the prompt in each step, as diffusers' script does",
        peer=round(1000 * peer, 1),
        ratio=round(peer / mine, 2),
    )


def growth() -> Row:
    """The memory that many steps add."""
    step = ours(networks("a tiny UNet"), 32)
    sizes = []
    for number in range(1, LONG + 1):
        step()
        if number in (LONG // 10, LONG):
            sizes.append(resident())
    grown = sizes[1] - sizes[0]
    return Row(
        f"memory growth over {LONG:,} steps of a LoRA training",
        round(grown, 2),
        "MiB RSS",
        f"<= {ALLOWED_GROWTH:g}",
        grown <= ALLOWED_GROWTH,
        f"a tiny UNet, 32 px, rank {RANK}, between {LONG // 10:,} and {LONG:,} steps",
    )
