"""The base class of trainings on pictures: pictures, prompts, samples and losses.

Subclasses add the weights that are trained.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from engine.context import Context
from engine.devices.recipe import InFloat32, Recipe
from engine.errors import NodeError
from nodes.files.new_file import require_file_name
from nodes.node_problem import node_problem
from nodes.sd.families.known import family_named
from nodes.training.checks import require_constant_prompts, require_trainable
from nodes.training.loss_curve import as_csv, as_jsonl, draw_curve
from nodes.training.pictures import Sizes, encoded_pictures
from nodes.training.prior import Prior, class_pictures
from nodes.training.run import Intervals, MadeFile, TrainingRun, continue_from_shorter
from nodes.training.schedule_checks import require_settings_for
from nodes.training.tensorboard_log import MissingTensorBoardError, as_events, require_tensorboard
from nodes.values import Dataset, Image, LoadedTextEncoder

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as Picture
    from torch import nn

    from nodes.sd.fine_tuning.prompts import CaptionedPicture, Prompts
    from nodes.sd.fine_tuning.task import Encode, TrainingTask
    from nodes.sd.training_loop.loop import Batch, Clip, MakeOptimizer, Rate, Training
    from nodes.sd.training_loop.random_sources import RandomSources
    from nodes.sd.training_loop.rate_schedule import RateSchedule, RateShape
    from nodes.training.training_settings import TrainingProcess


class TrainingJob(ABC):
    """A training on pictures, with the interface that `TrainingRun` needs.

    The constructor of a subclass makes the weights to train and then calls `_prepare`.

    Args:
        node: the inputs.
        ctx: the context of the step.
        start: the number of steps of earlier trainings of the same weights.
    """

    task: TrainingTask
    _prior: Prior | None

    def __init__(self, node: TrainingProcess, ctx: Context, start: int = 0) -> None:
        from nodes.sd.fine_tuning.dropout import Dropout

        self._node, self._ctx = node, ctx
        self._dropout = Dropout()
        checkpoint = node.model.checkpoint
        require_file_name(node.name, input="name")
        require_trainable(node)
        require_settings_for(checkpoint, node, ctx)
        self._network = family_named(checkpoint.family).network
        if node.tensorboard:
            try:
                require_tensorboard()
            except MissingTensorBoardError as error:
                hint = "pip install tensorboard"
                raise NodeError(str(error), hint=hint, input="tensorboard", code="not_installed") from None
        self.rates = parsed_rates(node.rate, "rate")
        self.start = start
        """The number of steps of earlier trainings of the same weights."""
        self.steps = max(0, min(node.steps, self.rates.end or node.steps) - start)
        """The number of steps to train."""
        self._warn_without_validation()
        self._optimizer = self._made_optimizer()
        self._size = node.width or checkpoint.width, node.height or checkpoint.height
        self._sample: Image | None = None

    @abstractmethod
    def modules(self) -> Mapping[str, nn.Module]:
        """Return the modules to train, by name."""

    @abstractmethod
    def module_rates(self) -> Mapping[str, Rate]:
        """Return the learning rates of modules that are not trained at `rate`, by module.

        Each is a function of the step, which is counted as in `rate`.
        """

    @abstractmethod
    def problem(self, step: int) -> str | None:
        """Return a message if the weights have become unusable; otherwise None."""

    @abstractmethod
    def copies(self, step: int) -> Iterable[MadeFile]:
        """Return the weights after a step as files."""

    @abstractmethod
    def last_good(self) -> Iterable[MadeFile]:
        """Return the last usable weights as files."""

    def loss(self, draws: RandomSources, place: Batch) -> torch.Tensor:
        """Compute the loss of a batch, plus that of a batch of class pictures if there are any.

        The loss is a scalar with a gradient.
        """
        loss = self.task.loss(draws, place)
        return loss if self._prior is None else loss + self._prior.loss(draws, place)

    def after_step(self) -> None:
        """Called after each step of the optimizer; a subclass may change the weights in place."""
        return

    def started(self, training: Training) -> None:
        """Called before the first step, unless the training continues from a checkpoint."""
        return

    def rate(self, step: int) -> float:
        """Return the learning rate of a step of this training, counted from 0."""
        return self.rates.at(self.start + step)

    def run(self) -> TrainingRun:
        """Train, and publish the tables of losses. An interrupted training continues from its checkpoint.

        Raises:
            Cancelled: the user has requested a stop.
            NodeError: the loss or the weights have become unusable.
        """
        from nodes.sd.fine_tuning.checkpointing import checkpointed
        from nodes.sd.training_loop.loop import Training
        from nodes.sd.training_loop.rate_schedule import RateShape

        node, file = self._node, self._ctx.scratch / "state.pt"
        if node.rate_decay == "none":  # else the shorter training had other rates in the same steps
            continue_from_shorter(self._ctx, file, self.steps)
        shape = RateShape(node.rate_warmup, node.rate_decay, self.steps)
        training = Training(
            self.modules(),
            file,
            steps=self.steps,
            rate=_shaped(self.rate, shape),
            seed=node.seed,
            rates={name: _shaped(rate, shape) for name, rate in self.module_rates().items()},
            accumulate=self._accumulate,
            optimizer=self._optimizer,
            clip=_clip(node.clip, node.clip_limit),
            decay=node.average or None,
            after_step=self.after_step,
            loss_scale=self.task.loss_scale,
        )
        if training.done == 0:
            self.started(training)
        intervals = Intervals(
            checkpoint=node.checkpoint_every,
            copy=node.copy_every,
            sample=node.sample_every,
            validate=node.validate_every if node.validation is not None else 0,
            patience=node.patience,
            keep_best=node.keep == "best",
        )
        run = TrainingRun(self._ctx, training, self, intervals)
        try:
            with checkpointed(self._unet, self._dropout) if node.gradient_checkpointing else nullcontext():
                run.run(self.loss)
        finally:
            self._publish_history(run)
        return run

    def samples(self) -> Iterator[tuple[object, str]]:
        """Draw a picture for each sample prompt, and yield it with its prompt.

        The VAE is on the device only while it decodes.
        """
        from nodes.sd.fine_tuning.samples import SampleSettings, draw_latent
        from nodes.sd.models.vae import decode

        node, checkpoint = self._node, self._node.model.checkpoint
        width, height = self._size
        cell = checkpoint.vae_scale
        settings = SampleSettings(
            checkpoint.noise,
            checkpoint.prediction,
            (checkpoint.latent_channels, height // cell, width // cell),
            family_named(checkpoint.family).size_numbers,
            cell,
            node.sample_negative,
            node.sample_seed,
            node.sample_steps,
            node.sample_guidance,
            self._network,
        )
        lines = [line for line in map(str.strip, node.sample_prompts.splitlines()) if line]
        for prompt in lines or [self._first_prompt]:
            self._ctx.cancelled()
            with node_problem(input="sample_prompts"):
                latent = draw_latent(self._unet, self.task.encode, prompt, settings)
                picture = Image(decode(self._ctx.use(node.vae), latent))
            self._ctx.release(node.vae)
            self._sample = picture
            yield picture, prompt

    def validation_loss(self) -> float | None:
        """Compute the loss of the pictures of `validation`; None without that input."""
        return self._loss_of(self._held_out)

    def report(self, run: TrainingRun) -> dict[str, Any]:
        """Return the figures of the training as a dict: steps, epochs, pictures and losses."""
        history = run.history
        held_out, recent = self._loss_of(self._held_out), [row.loss for row in history[-100:]]
        same = self._loss_of(self._pictures) if held_out is not None else None
        return {
            "steps": self.start + len(history),
            "epochs": len(history) // self._steps_per_epoch,
            "pictures": len(self._pictures),
            "loss": sum(recent) / len(recent) if recent else None,
            "validation_loss": held_out,
            "gap": None if held_out is None or same is None else held_out - same,
            "best_step": run.best,
            "stopped_early": run.stopped_early,
            "test_loss": self._loss_of(self._tested),
        }

    def curve(self, run: TrainingRun) -> Image:
        """Draw the losses as a picture."""
        return _image(draw_curve(run.history, run.validations))

    def notes(self) -> dict[str, str]:
        """Return the settings of the training for the metadata of the result; empty ones are left out."""
        node, checkpoint = self._node, self._node.model.checkpoint
        notes = {
            "safelight.files": str(len({picture.file for picture in node.dataset.pictures})),
            "safelight.pictures": str(len(node.dataset)),  # with mirrored and augmented copies
            "safelight.rate": node.rate,
            "safelight.rate_warmup": str(node.rate_warmup or ""),
            "safelight.rate_decay": "" if node.rate_decay == "none" else node.rate_decay,
            "safelight.batch": f"{self._batch} x {self._accumulate}",
            "safelight.optimizer": node.optimizer,
            "safelight.seed": str(node.seed),
            "safelight.size": f"{self._size[0]}x{self._size[1]}",
            "safelight.base_digest": checkpoint.digest,
            "safelight.license": node.license,
            "safelight.source": node.source,
            **{f"safelight.made_with.{name}": version(name) for name in ("safelight", "torch", "diffusers")},
        }
        return {key: value for key, value in notes.items() if value}

    def _networks(self) -> tuple[LoadedTextEncoder, Any]:
        """Load the text encoders and the UNet or transformer to the device, in the training's precision."""
        node = self._node
        encoder: Recipe[LoadedTextEncoder] = node.encoder
        model: Recipe[Any] = node.model
        if node.precision == "float32" and self._ctx.compute.dtype != "float32":
            encoder, model = InFloat32(encoder), InFloat32(model)
        return self._ctx.use(encoder), self._ctx.use(model, whole=True)

    def _encode_pictures(self) -> None:
        """Encode all pictures to latents, then release the VAE from the device."""
        node = self._node
        vae = self._ctx.use(node.vae)
        self._pictures = self._encoded(vae, node.dataset, "dataset")
        self._held_out = self._encoded(vae, node.validation, "validation")
        self._tested = self._encoded(vae, node.test, "test")
        self._class_pictures = class_pictures(self._ctx, vae, node, self._size)
        del vae
        self._ctx.release(node.vae)

    def _prepare(
        self,
        unet: Any,
        encode: Encode,
        prompts: Prompts,
        *,
        fixed_text: bool = False,
        autocast: torch.dtype | None = None,
    ) -> None:
        """Make the training task, `self.task`.

        Args:
            unet: the UNet or transformer, including the weights in training.
            encode: encodes prompts, with the weights or vectors in training, if there are any.
            prompts: makes the prompts of pictures.
            fixed_text: True if neither a text encoder nor an embedding is trained.
            autocast: the precision in which the networks compute if `precision` is `auto`; None for the
                precision of their weights.
        """
        import torch

        from nodes.sd.families.family import NO_HINTS
        from nodes.sd.fine_tuning.added_noise import NoiseSettings
        from nodes.sd.fine_tuning.diffusion_loss import LossSettings
        from nodes.sd.fine_tuning.flow_loss import LevelSettings
        from nodes.sd.fine_tuning.loss import loss_for
        from nodes.sd.fine_tuning.task import TrainingTask
        from nodes.sd.training_loop.data_order import DataOrder

        node, checkpoint = self._node, self._node.model.checkpoint
        require_constant_prompts(node, prompts)
        self._unet = unet
        self._first_prompt = prompts.first(self._pictures[0])
        shapes = [tuple(picture.latents.mean.shape) for picture in self._pictures]
        order = DataOrder(shapes, node.batch, node.seed)
        self._batch = order.largest
        if self._batch < node.batch:
            self._ctx.warn(
                f"the batch size is reduced to {self._batch}: a batch has pictures of one size, "
                f"and no size has more of them"
            )
        self._accumulate = min(node.accumulate, order.per_epoch)
        self._steps_per_epoch = max(1, order.per_epoch // self._accumulate)
        noise = NoiseSettings(
            node.noise_offset,
            node.adaptive_noise_offset,
            node.multires_noise,
            node.input_noise,
            node.first_timestep,
            node.last_timestep,
        )
        loss = LossSettings(
            node.loss,
            node.huber_schedule,
            node.huber_threshold,
            node.min_snr,
            node.debiased,
            node.velocity_as_noise,
        )
        levels = LevelSettings(node.noise_levels, node.logit_mean, node.logit_std, node.mode_scale)
        computed_in = {"float32": None, "float16": torch.float16, "bfloat16": torch.bfloat16}
        size_numbers = family_named(checkpoint.family).size_numbers
        with node_problem(input="first_timestep"):
            picture_loss = loss_for(checkpoint.noise, checkpoint.prediction, noise, loss, levels)
        self.task = TrainingTask(
            encode,
            unet,
            () if size_numbers is None else size_numbers(NO_HINTS, self._size, False),
            picture_loss,
            self._pictures,
            prompts,
            order,
            autocast if node.precision == "auto" else computed_in[node.precision],
            fixed_text=fixed_text,
            network=self._network,
        )
        self._prior = Prior(self.task, self._class_pictures, node) if self._class_pictures else None

    def _warn_without_validation(self) -> None:
        node = self._node
        if not node.steps:
            self._ctx.warn("nothing is trained, because `steps` is 0")
        if node.validation is not None and node.validate_every:
            return
        for name, is_set in (("keep", node.keep == "best"), ("patience", node.patience > 0)):
            if is_set:
                self._ctx.warn(f"`{name}` has no effect without `validation` and `validate_every`")

    def _warn_of_unknown_tags(self, lines: Sequence[str]) -> None:
        from nodes.sd.fine_tuning.templates import unknown_tags

        for tag in unknown_tags(lines, [picture.columns for picture in self._node.dataset.pictures]):
            self._ctx.warn(f"no picture has a column {tag!r}, so [{tag}] in the template is left out")

    def _loss_of(self, pictures: list[CaptionedPicture]) -> float | None:
        return self.task.held_out_loss(pictures, self._node.seed) if pictures else None

    def _encoded(self, vae: Any, dataset: Dataset | None, input: str) -> list[CaptionedPicture]:
        if dataset is None:
            return []
        if not dataset.pictures:
            raise NodeError("the dataset has no pictures", input=input, code="empty_dataset")
        node = self._node
        return encoded_pictures(
            self._ctx,
            vae,
            dataset,
            size=self._size,
            resize=node.resize,
            sampling=node.latent_sampling,
            masks=node.loss_mask,
            sizes=Sizes.of(node.model.checkpoint, self._ctx.files),
            seed=node.seed,
            stage="encoding pictures" if input == "dataset" else f"encoding {input} pictures",
        )

    def _made_optimizer(self) -> MakeOptimizer:
        from nodes.sd.training_loop.optimizers import MissingPackageError, optimizer

        try:
            return optimizer(self._node.optimizer, self._node.weight_decay)
        except MissingPackageError as error:
            hint = f"pip install {error.package}"
            raise NodeError(str(error), hint=hint, input="optimizer", code="not_installed") from None

    def _publish_history(self, run: TrainingRun) -> None:
        """Publish the losses as CSV and JSONL, and as an event file if `tensorboard` is on."""
        history, validations = run.history, run.validations
        files = {
            "losses.csv": as_csv(history, self._steps_per_epoch).encode(),
            "losses.jsonl": as_jsonl(history, validations).encode(),
        }
        if self._node.tensorboard:
            files["tensorboard/events.out.tfevents.safelight"] = as_events(history, validations)
        run.publish([MadeFile(name, data) for name, data in files.items()])


def parsed_rates(text: str, input: str) -> RateSchedule:
    """Parse a learning rate schedule.

    Raises:
        NodeError: the text is not a schedule; the error is reported at `input`.
    """
    from nodes.sd.training_loop.rate_schedule import parse_rates

    with node_problem(input=input, hint="write 0.005, or 0.005:100, 1e-3:1000, 1e-5"):
        return parse_rates(text)


def on_host(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copy weights to the CPU."""
    return {name: weight.detach().cpu().clone() for name, weight in weights.items()}


def _shaped(rate: Rate, shape: RateShape) -> Rate:
    return lambda step: rate(step) * shape.factor(step)


def _clip(kind: Literal["norm", "value", "off"], limit: str) -> Clip | None:
    from nodes.sd.training_loop.loop import Clip

    return None if kind == "off" else Clip(kind, parsed_rates(limit, "clip_limit").at)


def _image(picture: Picture) -> Image:
    found = Image.adopt(picture)
    assert found is not None
    return found
