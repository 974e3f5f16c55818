"""The training of a LoRA: its adapters, and the files that it publishes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.context import Context
from engine.errors import NodeError
from nodes.files.lora_files import lora_digest, resolve_lora
from nodes.files.patch_files import LORAS, PatchFile
from nodes.sd.families.known import family_named
from nodes.sd.lora.lora_value import LoRA
from nodes.training.checks import require_captions, require_no_hypernetworks
from nodes.training.encoders import prompt_encoders
from nodes.training.job import TrainingJob, parsed_rates
from nodes.training.lora_metadata import lora_metadata
from nodes.training.lora_settings import LoraTraining, PlainLoraTraining
from nodes.training.run import MadeFile, TrainingRun
from nodes.values import Image

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nodes.sd.fine_tuning.prompts import Prompts
    from nodes.sd.fine_tuning.task import Encode
    from nodes.sd.lora.adapter import Adapter
    from nodes.sd.lora.keys import Part, Target
    from nodes.sd.models.loaded_encoder import LoadedEncoder
    from nodes.sd.training_loop.loop import Batch, Rate
    from nodes.sd.training_loop.random_sources import RandomSources

LARGEST = 1e4
"""Weights beyond this are unusable; those of useful LoRAs are below 100."""
_GOOD_EVERY = 25
"""The steps between two copies of the weights, which are kept in case later weights are unusable."""
_FEWEST = 20
"""With fewer pictures than this, a LoRA overfits."""


class TrainedLora(NamedTuple):
    """A trained LoRA, with the loss curve and the report of its training."""

    lora: LoRA
    curve: Image
    """The losses by step; the validation losses are orange."""
    report: dict[str, Any]
    """`steps`, `epochs`, `pictures`, `layers`, `megabytes`, `loss` (of the last 100 steps),
    `validation_loss`, `gap` (validation loss minus the loss of equally treated training pictures),
    `best_step`, `stopped_early`, `test_loss`."""


class LoraJob(TrainingJob):
    """Trains the adapters of a LoRA.

    Args:
        node: the inputs.
        ctx: the context of the step.
    """

    def __init__(self, node: LoraTraining, ctx: Context) -> None:
        from nodes.sd.fine_tuning.adapted_network import adapted
        from nodes.sd.fine_tuning.dropout import Dropout

        super().__init__(node, ctx)
        self._inputs = node
        self._text_rates = parsed_rates(node.text_rate, "text_rate")
        self._check_rates()
        require_no_hypernetworks(node.model)
        self._check_captions()
        self._encode_pictures()
        self._dropout = Dropout(node.dropout)
        encoders, unet = self._networks()
        self._adapters = self._made_adapters(unet, encoders)
        self._original_names = self._names_in_kohya(unet)
        own = [
            one._replace(encoder=adapted(one.encoder, self._part(one.role.component), self._dropout))
            for one in encoders
        ]
        self._good: tuple[int, LoRA] | None = None
        encode = self._encode(encoders, own)
        self._prepare(
            adapted(unet, self._part(self._network.component), self._dropout),
            encode,
            self._prompts(),
            fixed_text=not self._trains_text and not self._trains_word,
        )

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the adapters of the UNet or transformer, and as `text` those of trained text encoders."""
        from nodes.sd.fine_tuning.adapters import as_module

        network = self._network.component
        text = {f"{t.part}.{t.module}": one for t, one in self._adapters.items() if t.part != network}
        found = {network: as_module(self._part(network))} if self._part(network) else {}
        return found | ({"text": as_module(text)} if text and self._trains_text else {})

    def module_rates(self) -> Mapping[str, Rate]:
        """Return the rate of the text encoders, as `text`."""
        return {"text": self._text_rates.at}

    def loss(self, draws: RandomSources, place: Batch) -> Tensor:
        """Compute the loss of a batch, with dropout."""
        with self._dropout.drawing_from(draws.torch):
            return super().loss(draws, place)

    def problem(self, step: int) -> str | None:
        """Return a message if the weights have become unusable; otherwise None."""
        from nodes.sd.fine_tuning.usable import usable

        tensors = [tensor for one in self._adapters.values() for tensor in one.tensors.values()]
        if not usable(tensors, LARGEST):
            return f"weights of the LoRA became larger than {LARGEST:g}"
        if step % _GOOD_EVERY == 0:
            self._good = step, self._lora(step)
        return None

    def copies(self, step: int) -> Iterable[MadeFile]:
        """Yield the LoRA after a step as a file in the format of kohya's sd-scripts."""
        yield self._as_file(step, self._lora(step))

    def last_good(self) -> Iterable[MadeFile]:
        """Return a file of the last usable weights that were kept; empty if there are none."""
        return [] if self._good is None else [self._as_file(*self._good)]

    def result(self, run: TrainingRun) -> TrainedLora:
        """Return the trained LoRA with its metadata, the loss curve and the report."""
        report = self.report(run)
        lora = self._lora(report["steps"])
        size = {"layers": len(self._adapters), "megabytes": round(len(lora.data) / 1e6, 3)}
        return TrainedLora(lora, self.curve(run), {**report, **size})

    @property
    def _trains_text(self) -> bool:
        """Whether the text encoders are trained, which means that `text_rate` is not always 0."""
        return any(part.rate for part in self._text_rates.parts)

    @property
    def _trains_word(self) -> bool:
        """Whether an embedding is trained together with the LoRA."""
        return False

    @property
    def _trigger(self) -> str:
        """The trigger words, which come before each caption; empty for none."""
        assert isinstance(self._inputs, PlainLoraTraining)
        return self._inputs.trigger

    def _encode(self, encoders: Sequence[LoadedEncoder], adapted: Sequence[LoadedEncoder]) -> Encode:
        """Make the function that encodes the prompts of the training.

        Args:
            encoders: the text encoders without the adapters.
            adapted: the text encoders with the adapters.
        """
        node = self._inputs
        encoder = prompt_encoders(node, self._ctx, adapted, node.encoder.triggers(self._ctx.files))
        return lambda texts: encoder.encode(texts, {})

    def _part(self, part: Part) -> dict[str, Adapter]:
        """Return the adapters of one network, by layer."""
        return {target.module: one for target, one in self._adapters.items() if target.part == part}

    def _check_rates(self) -> None:
        """Check that the rates suit Prodigy, which finds one rate for all weights.

        Raises:
            NodeError: the optimizer is Prodigy, and `text_rate` is neither 0 nor equal to `rate`.
        """
        if self._node.optimizer != "prodigy" or not self._trains_text:
            return
        if self._text_rates != self.rates:
            raise NodeError(
                "prodigy needs the same rate for the UNet and the text encoder",
                hint="set `text_rate` to 0 or to the same as `rate`, or choose another optimizer",
                input="text_rate",
                code="one_rate",
            )

    def _check_captions(self) -> None:
        """Check that every picture has a caption; warn if all are equal, or if there are few pictures.

        Raises:
            NodeError: some pictures have no caption.
        """
        pictures = self._node.dataset.pictures
        hint = "write NAME.txt beside each picture, or connect a node that makes captions"
        require_captions(self._node.dataset, hint)
        if len(pictures) > 1 and len({picture.caption for picture in pictures}) == 1:
            self._ctx.warn("all pictures have the same caption, so the LoRA cannot tell what differs in them")
        if 0 < len(pictures) < _FEWEST:
            self._ctx.warn(f"{_FEWEST} to 100 pictures are usual for a LoRA; the dataset has {len(pictures)}")

    def _prompts(self) -> Prompts:
        from nodes.sd.fine_tuning.prompts import Prompts
        from nodes.sd.fine_tuning.templates import CaptionChanges

        node = self._inputs
        line = "[name], [filewords]" if self._trigger else "[filewords]"
        changes = CaptionChanges(node.shuffle_tags, node.drop_tags, node.keep_tags)
        return Prompts(self._trigger, [line], changes, dropout=node.drop_captions)

    def _made_adapters(self, unet: nn.Module, encoders: Iterable[LoadedEncoder]) -> dict[Target, Adapter]:
        """Make the adapters to train, as parameters: new ones, or those of the file of `initial`.

        Raises:
            NodeError: no layer is chosen, the rank is too large, or the file of `initial` cannot be trained.
        """
        import torch

        from nodes.sd.fine_tuning.adapters import UnfitRankError, new_adapters, parameters
        from nodes.sd.lora.keys import Target

        networks: dict[Part, nn.Module] = {self._network.component: unet}
        networks |= {one.role.component: one.encoder for one in encoders}
        generator = torch.Generator().manual_seed(self._node.seed)
        made: dict[Target, Adapter] = {}
        opened = self._opened(networks) if self._inputs.initial else None
        for part, network in networks.items():
            device = next(network.parameters()).device
            if opened is not None:
                found = {target.module: one for target, one in opened.items() if target.part == part}
            elif part == self._network.component and not any(rate.rate for rate in self.rates.parts):
                continue
            elif part != self._network.component and not self._trains_text:
                continue
            else:
                try:
                    found = new_adapters(self._layers(network), self._settings(), generator)
                except UnfitRankError as error:
                    raise NodeError(str(error), input="rank", code="rank_too_large") from None
            trained = parameters(found, device)
            if part != self._network.component and not self._trains_text:
                for one in trained.values():
                    for tensor in one.tensors.values():
                        tensor.requires_grad_(False)
            made |= {Target(part, module): one for module, one in trained.items()}
        if not made:
            raise NodeError(
                f"no layer of the model matches {self._inputs.patterns or '`targets`'}, or its rate is 0",
                hint="`*.attn2.*` matches the cross-attention layers; set `rate` or `text_rate` above 0",
                input="patterns" if self._inputs.patterns else "targets",
                code="no_targets",
            )
        if opened is None:
            self._warn_of_unused_patterns(made)
        return made

    @property
    def _patterns(self) -> list[str]:
        """The patterns of the input `patterns`; empty if it is empty."""
        return [pattern.strip() for pattern in self._inputs.patterns.split(",") if pattern.strip()]

    def _warn_of_unused_patterns(self, made: Iterable[Target]) -> None:
        names = [target.module for target in made]
        for pattern in self._patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                self._ctx.warn(f"`patterns`: {pattern} matches no trained layer")

    def _layers(self, network: nn.Module) -> dict[str, nn.Module]:
        from nodes.sd.fine_tuning.adapters import PATTERNS, layers_to_train

        return layers_to_train(network, self._patterns or PATTERNS[self._inputs.targets])

    def _settings(self) -> Any:
        from nodes.sd.fine_tuning.adapters import AdapterSettings

        node = self._inputs
        return AdapterSettings(node.kind, node.rank, node.alpha, node.dora, node.lokr_factor)

    def _names_in_kohya(self, unet: nn.Module) -> dict[str, str]:
        """Map the UNet's trained layers to their names in Stability's code.

        The result is empty if kohya does not use these names for the model's family.
        """
        from nodes.sd.lora.keys import original_names

        if not family_named(self._node.model.checkpoint.family).original_lora_names:
            return {}
        names = original_names(name for name, _ in unet.named_modules())
        return {name: names[name] for name in self._part(self._network.component) if name in names}

    def _opened(self, networks: Mapping[Part, nn.Module]) -> dict[Target, Adapter]:
        """Read the adapters of the file of `initial`.

        Raises:
            NodeError: the file does not exist, does not fit the model, or has adapters of kinds that cannot
                be trained.
        """
        from nodes.sd.fine_tuning.adapters import TRAINED_KINDS
        from nodes.sd.formats.json_file import ModelError
        from nodes.sd.lora.file import match
        from nodes.sd.lora.keys import Target, key_map
        from nodes.sd.lora.stack import module_shapes
        from nodes.sd.lora.written import PARTS

        name = resolve_lora(self._ctx.files, self._inputs.initial)
        digest = lora_digest(self._ctx.files, self._inputs.initial, input="initial")
        lora = self._ctx.use(PatchFile(LORAS, digest, name))
        modules = {
            part: module_shapes({key: tuple(tensor.shape) for key, tensor in network.named_parameters()})
            for part, network in networks.items()
        }
        shapes = {Target(part, key): shape for part, own in modules.items() for key, shape in own.items()}
        try:
            matched = match(lora, key_map(modules), shapes, name)
        except ModelError as error:
            raise NodeError(str(error), input="initial", code="bad_lora") from None
        kinds = {
            one.kind
            for one in matched.targets.values()
            if one.kind not in TRAINED_KINDS or not one.tensors.keys() <= PARTS.keys()
        }
        if kinds or not matched.targets:
            reason = (
                "has adapters of a kind that cannot be trained" if kinds else "matches no layer of this model"
            )
            raise NodeError(f"{name} {reason}", input="initial", code="bad_lora")
        return dict(matched.targets)

    def _lora(self, step: int) -> LoRA:
        from nodes.sd.lora.written import named_tensors

        tensors = named_tensors(self._adapters)
        return LoRA(self._inputs.name, tensors, self._metadata(step), self._original_names)

    def _metadata(self, step: int) -> dict[str, str]:
        """Build the metadata of the LoRA file: the keys of every LoRA, and the settings and tags used."""
        node = self._inputs
        tags = Counter(
            tag
            for picture in node.dataset.pictures
            for tag in map(str.strip, picture.caption.split(","))
            if tag
        )
        arguments = {"algo": node.kind, **({"dora_wd": "True"} if node.dora else {})}
        lycoris = node.kind != "lora" or node.dora or node.targets == "all"
        module = "lycoris.kohya" if lycoris else "networks.lora"
        return {
            **self.notes(),
            **lora_metadata(node.name, node.model.checkpoint, module, node.rank, node.alpha),
            "safelight.step": str(step),
            "ss_network_args": json.dumps(arguments),
            "ss_steps": str(step),
            "ss_unet_lr": node.rate,
            "ss_text_encoder_lr": node.text_rate,
            "ss_optimizer": node.optimizer,
            "ss_seed": str(node.seed),
            "ss_clip_skip": str(node.clip_skip),
            "ss_num_train_images": str(len(node.dataset)),
            "ss_num_reg_images": str(len(self._class_pictures)),
            "ss_total_batch_size": str(node.batch * self._accumulate),
            "ss_resolution": f"({self._size[0]}, {self._size[1]})",
            "ss_tag_frequency": json.dumps({node.name: dict(tags.most_common(1000))}),
            "modelspec.resolution": f"{self._size[0]}x{self._size[1]}",
            **({"modelspec.trigger_phrase": self._trigger} if self._trigger else {}),
        }

    def _as_file(self, step: int, lora: LoRA) -> MadeFile:
        from nodes.sd.lora.written import as_kohya

        return MadeFile(f"loras/{lora.name}-{step:06}.safetensors", as_kohya(lora))
