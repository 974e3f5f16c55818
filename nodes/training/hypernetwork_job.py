"""The training of a hypernetwork: its networks, and the files that it publishes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.context import Context
from engine.errors import NodeError
from nodes.node_problem import node_problem
from nodes.sd.hypernetworks.hypernetwork_value import SIDES, Hypernetwork
from nodes.training.checks import require_captions, require_unet
from nodes.training.encoders import prompt_encoders
from nodes.training.job import TrainingJob, on_host
from nodes.training.run import MadeFile, TrainingRun
from nodes.values import Image

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nodes.sd.fine_tuning.prompts import Prompts
    from nodes.sd.hypernetworks.layout import Layout
    from nodes.sd.training_loop.loop import Batch, Rate
    from nodes.sd.training_loop.random_sources import RandomSources
    from nodes.training.hypernetwork_settings import HypernetworkTraining

LARGEST = 1e4
"""Weights beyond this are unusable; those of useful hypernetworks are below 10."""
_GOOD_EVERY = 25
"""The steps between two copies of the weights, which are kept in case later weights are unusable."""


class TrainedHypernetwork(NamedTuple):
    """A trained hypernetwork, with the loss curve and the report of its training."""

    hypernetwork: Hypernetwork
    curve: Image
    """The losses by step; the validation losses are orange."""
    report: dict[str, Any]
    """`steps`, `epochs`, `pictures`, `widths`, `megabytes`, `loss` (of the last 100 steps),
    `validation_loss`, `gap` (validation loss minus the loss of equally treated training pictures),
    `best_step`, `stopped_early`, `test_loss`."""


class HypernetworkJob(TrainingJob):
    """Trains the networks of a hypernetwork, in float32.

    Args:
        node: the inputs.
        ctx: the context of the step.
    """

    def __init__(self, node: HypernetworkTraining, ctx: Context) -> None:
        from nodes.sd.fine_tuning.dropout import Dropout
        from nodes.sd.hypernetworks.network import LoadedHypernetwork, apply

        require_unet(node.model, "hypernetworks")
        super().__init__(node, ctx)
        self._inputs = node
        self._layout = _layout(node)
        prompts = self._prompts()
        if any("[filewords]" in line for line in prompts.lines):
            require_captions(
                node.dataset, "write NAME.txt beside each picture, or a template without captions"
            )
        self._encode_pictures()
        self._dropout = Dropout(node.dropout)
        encoders, unet = self._networks()
        self._pairs = self._new_networks(unet)
        self._good: tuple[int, dict[str, Tensor]] | None = None
        encoder = prompt_encoders(node, ctx, encoders, node.encoder.triggers(ctx.files))
        trained, _ = apply(unet, [(1.0, LoadedHypernetwork(self._pairs))])
        self._prepare(trained, lambda texts: encoder.encode(texts, {}), prompts, fixed_text=True)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return one module with all networks, as `hypernetwork`."""
        from torch import nn

        return {
            "hypernetwork": nn.ModuleDict(
                {str(width): nn.ModuleList(pair) for width, pair in self._pairs.items()}
            )
        }

    def module_rates(self) -> Mapping[str, Rate]:
        """Return an empty dict: the only module is trained at `rate`."""
        return {}

    def loss(self, draws: RandomSources, place: Batch) -> Tensor:
        """Compute the loss of a batch, with dropout."""
        with self._dropout.drawing_from(draws.torch):
            return super().loss(draws, place)

    def problem(self, step: int) -> str | None:
        """Return a message if the weights have become unusable; otherwise None."""
        from nodes.sd.fine_tuning.usable import usable

        if not usable(self._tensors.values(), LARGEST):
            return f"weights of the hypernetwork became larger than {LARGEST:g}"
        if step % _GOOD_EVERY == 0:
            self._good = step, on_host(self._tensors)
        return None

    def copies(self, step: int) -> Iterable[MadeFile]:
        """Yield the hypernetwork after a step as a file in A1111's format."""
        yield self._as_file(step, on_host(self._tensors))

    def last_good(self) -> Iterable[MadeFile]:
        """Return a file of the last usable weights that were kept; empty if there are none."""
        return [] if self._good is None else [self._as_file(*self._good)]

    def result(self, run: TrainingRun) -> TrainedHypernetwork:
        """Return the trained hypernetwork, the loss curve and the report."""
        report = self.report(run)
        made = self._made(report["steps"], on_host(self._tensors))
        more = {"widths": made.widths, "megabytes": round(len(made.data) / 1e6, 3)}
        return TrainedHypernetwork(made, self.curve(run), {**report, **more})

    @property
    def _tensors(self) -> dict[str, Tensor]:
        """The current tensors by A1111's names; they share the memory of the trained parameters."""
        return dict(
            sorted(
                (f"{width}.{side}.linear.{name}", tensor)
                for width, pair in self._pairs.items()
                for side, network in zip(SIDES, pair, strict=True)
                for name, tensor in network.named_parameters()
            )
        )

    def _prompts(self) -> Prompts:
        from nodes.sd.fine_tuning.prompts import Prompts
        from nodes.sd.fine_tuning.templates import CaptionChanges, template_lines

        node = self._inputs
        lines = ["[filewords]"]
        if node.template_text.strip():
            with node_problem(input="template_text"):
                lines = template_lines(node.template_text, required="")
        self._warn_of_unknown_tags(lines)
        changes = CaptionChanges(node.shuffle_tags, node.drop_tags, node.keep_tags)
        return Prompts(node.name, lines, changes, dropout=node.drop_captions)

    def _new_networks(self, unet: nn.Module) -> dict[int, tuple[nn.Sequential, nn.Sequential]]:
        """Make the untrained networks for keys and values, by the width of their input.

        Raises:
            NodeError: `widths` is not a list of widths of the model's attention, or the layers would be too
                large.
        """
        import torch

        from nodes.sd.hypernetworks.layout import fits
        from nodes.sd.hypernetworks.network import attention_widths
        from nodes.sd.hypernetworks.new import new_network

        node = self._inputs
        present = attention_widths(unet)
        try:
            wanted = [int(text) for text in node.widths.split(",") if text.strip()] or present
        except ValueError:
            wanted = []
        if not set(wanted) <= set(present) or not wanted:
            raise NodeError(
                f"{node.widths!r} are not widths of the model, which has {', '.join(map(str, present))}",
                hint="write some of these numbers, separated by commas, or leave this input empty for all",
                input="widths",
                code="no_targets",
            )
        for width in wanted:
            if not fits(self._layout.structure, width):
                message = f"the layer structure {node.layer_structure!r} is too large for the width {width}"
                raise NodeError(message, input="layer_structure", code="bad_structure")
        generator = torch.Generator().manual_seed(node.seed)
        device = next(unet.parameters()).device
        made = {}
        for width in sorted(set(wanted)):
            first, second = (
                new_network(self._layout, width, node.weight_init, generator, self._dropout).to(device)
                for _ in SIDES
            )
            made[width] = (first, second)
        return made

    def _made(self, step: int, tensors: Mapping[str, Tensor]) -> Hypernetwork:
        node, checkpoint = self._inputs, self._inputs.model.checkpoint
        base = checkpoint.digest[:10], checkpoint.name
        return Hypernetwork(node.name, tensors, self._layout, node.weight_init, step, *base, self.notes())

    def _as_file(self, step: int, tensors: Mapping[str, Tensor]) -> MadeFile:
        from nodes.sd.hypernetworks.written import as_pt

        name = f"hypernetworks/{self._inputs.name}-{step:06}.pt"
        return MadeFile(name, as_pt(self._made(step, tensors)))


def _layout(node: HypernetworkTraining) -> Layout:
    """Return the layers that the inputs describe.

    Raises:
        NodeError: the structure is not a list of numbers with 1 at both ends, or has no layer for dropout.
    """
    from nodes.sd.hypernetworks.layout import Layout, fits

    try:
        structure = tuple(float(text) for text in node.layer_structure.split(","))
    except ValueError:
        structure = ()
    if not fits(structure, 1 << 8):
        raise NodeError(
            f"{node.layer_structure!r} is not a layer structure",
            hint="write numbers with 1 at both ends, such as 1, 2, 1",
            input="layer_structure",
            code="bad_structure",
        )
    hidden = len(structure) - 2
    if node.dropout and hidden < 2:
        raise NodeError(
            f"the layer structure {node.layer_structure!r} has no layer for dropout",
            hint="use a structure such as 1, 2, 2, 1, or set dropout to 0",
            input="dropout",
            code="no_dropout",
        )
    dropout = (0.0, *[node.dropout] * (hidden - 1), 0.0, 0.0) if node.dropout else ()
    whole = tuple(int(size) if size.is_integer() else size for size in structure)
    return Layout(whole, node.activation, node.activate_output, node.layer_norm, dropout)
