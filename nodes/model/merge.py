"""MergeModels, MergeTextEncoders and MergeVaes: mix the weights of two or three checkpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, TypeVar

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Advanced, Range
from nodes.files.embedding_files import Embeddings
from nodes.node_problem import node_problem
from nodes.sd.families.known import family_named
from nodes.sd.lora import block_lists
from nodes.value_types.merge_terms import Term
from nodes.value_types.recipes import CheckpointPart
from nodes.values import Model, TextEncoder, Vae

P = TypeVar("P", bound=CheckpointPart)

Method = Literal["weighted sum", "add difference", "add", "subtract"]
Amount = Annotated[float, Range(-4, 4, step=0.05)]


class MergeModels(
    Node, category="model", passes={"out": "a"}, aliases=("ModelMergeSimple", "CheckpointMerger")
):
    """Merge two or three models (UNets) into one, all at once or block by block."""

    a: Model
    """The model that the others are merged into. Its noise schedule and prediction type stay."""
    b: Model
    c: Model | None = None
    """For `add difference`: the model that `b` was trained from."""
    method: Method = "weighted sum"
    """`weighted sum` is a · (1 - amount) + b · amount. `add difference` is a + (b - c) · amount: it adds what
    `b` learned since `c`. `add` is a + b · amount, and `subtract` is (a - b) · amount."""
    amount: Amount = 0.5
    """How much of `b` is in the result: 0 to 1 is usual; 1 is usual for `add difference`."""
    blocks: Annotated[str, Advanced] = ""
    """The amount in each block, as numbers with commas. SD 1 and 2: 25 numbers for IN00 to IN11, M00 and
    OUT00 to OUT11. SDXL: 19 numbers for IN00 to IN08, M00 and OUT00 to OUT08. One more number in front is for
    the rest of the network. Empty: `amount` everywhere."""

    def run(self, ctx: Context) -> Model:
        """Make the recipe of the merged model; its weights are computed when they are needed.

        Raises:
            NodeError: the models are of different families, or the blocks are not a list of amounts.
        """
        with node_problem(input="blocks"):
            blocks = block_lists.amounts(self.blocks, self.amount)
        if blocks and not family_named(self.a.checkpoint.family).network.is_unet:
            message = f"{self.a.checkpoint.name} is not a UNet and has no blocks to weight"
            raise NodeError(message, hint="leave `blocks` empty", input="blocks", code="not_a_unet")
        if self.b.checkpoint.prediction != self.a.checkpoint.prediction:
            one, two = self.a.checkpoint, self.b.checkpoint
            ctx.warn(
                f"{one.name} predicts {one.prediction}, but {two.name} predicts {two.prediction};"
                " the merged model may generate only noise"
            )
        terms = _terms(self.a, self.b, self.c, self.method, self.amount, blocks)
        return replace(self.a, patches=(), merge=terms)


class MergeTextEncoders(Node, category="model", passes={"out": "a"}, aliases=("CLIPMergeSimple",)):
    """Merge the text encoders of two or three checkpoints into one."""

    a: TextEncoder
    """The text encoder that the others are merged into. Its embeddings stay."""
    b: TextEncoder
    c: TextEncoder | None = None
    """For `add difference`: the text encoder that `b` was trained from."""
    method: Method = "weighted sum"
    """As in MergeModels."""
    amount: Amount = 0.5
    """How much of `b` is in the result: 0 to 1 is usual."""

    def run(self, ctx: Context) -> TextEncoder:
        """Make the recipe of the merged text encoder; its weights are computed when they are needed.

        Raises:
            NodeError: the text encoders are of different families.
        """
        plain = [
            one if one is None else replace(one, embeddings=Embeddings()) for one in (self.a, self.b, self.c)
        ]
        a, b, c = plain
        assert a is not None
        assert b is not None
        return replace(self.a, patches=(), merge=_terms(a, b, c, self.method, self.amount))


class MergeVaes(Node, category="model", passes={"out": "a"}):
    """Merge the VAEs of two or three checkpoints into one."""

    a: Vae
    """The VAE that the others are merged into."""
    b: Vae
    c: Vae | None = None
    """For `add difference`: the VAE that `b` was trained from."""
    method: Method = "weighted sum"
    """As in MergeModels."""
    amount: Amount = 0.5
    """How much of `b` is in the result: 0 to 1 is usual."""

    def run(self, ctx: Context) -> Vae:
        """Make the recipe of the merged VAE; its weights are computed when they are needed.

        Raises:
            NodeError: the VAEs are of different families.
        """
        return replace(self.a, merge=_terms(self.a, self.b, self.c, self.method, self.amount))


def _terms(
    a: P, b: P, c: P | None, method: Method, amount: float, blocks: tuple[float, ...] = ()
) -> tuple[Term, ...]:
    """Return the terms of a merge, whose weighted sum is the merged network.

    Raises:
        NodeError: `c` is missing or has no use, or the networks are of different families.
    """
    if (c is None) == (method == "add difference"):
        message = "add difference needs the input c" if c is None else f"{method} does not use the input c"
        hint = "connect the model that b was trained from" if c is None else "use add difference"
        raise NodeError(message, hint=hint, input="c")
    for input, other in (("b", b), ("c", c)):
        if other is None:
            continue
        if (other.checkpoint.family, other.components) != (a.checkpoint.family, a.components):
            names = " and ".join(f"{one.name} ({one.family})" for one in (a.checkpoint, other.checkpoint))
            message = f"checkpoints of different families cannot be merged: {names}"
            raise NodeError(
                message, hint="choose checkpoints of one family", input=input, code="wrong_family"
            )
    added = Term(b, amount, blocks)
    if method == "weighted sum":
        return Term(a, 1 - amount, tuple(1 - weight for weight in blocks)), added
    if method == "subtract":
        return Term(a, amount, blocks), Term(b, -amount, tuple(-weight for weight in blocks))
    if c is None:
        return Term(a, 1.0), added
    return Term(a, 1.0), added, Term(c, -amount, tuple(-weight for weight in blocks))
