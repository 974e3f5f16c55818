"""Recipes for the parts of a model: the wire values for UNets, text encoders and VAEs.

A recipe takes a few hundred bytes and names the model by the digest of its files. Nodes load the weights with
`ctx.use`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, cast

from engine.devices.compute import HOST, ComputeSettings
from engine.devices.recipe import Recipe
from engine.errors import NodeError
from engine.files import Files
from engine.values import Json, Packed, Value
from nodes.files.checkpoints import Checkpoint
from nodes.files.embedding_files import Embeddings
from nodes.files.patch_files import LORAS, Patch, PatchFile
from nodes.sd.families.known import family_named
from nodes.sd.models.loaded_encoder import LoadedEncoder, LoadedTextEncoder
from nodes.value_types.merge_terms import Term, merged

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    from nodes.sd.embeddings.catalogue import Catalogue
    from nodes.sd.families.family import Component, EncoderRole
    from nodes.sd.lora.stack import WeightedLora
    from nodes.sd.models.files import ModelFiles


_EXACT = ComputeSettings()
"""On the CPU in float32."""


def _master(compute: ComputeSettings) -> ComputeSettings:
    """Return the settings of the copy in host memory, of which patched and device copies are made."""
    return replace(compute.whole, device=HOST.device, compile="off")


class CheckpointPart(Value, Recipe[Any], family="models"):
    """A recipe for one network of a checkpoint, or for its text encoders, or for a merge of several such."""

    checkpoint: Checkpoint
    """The checkpoint; of a merge, the one that the others are merged into."""
    merge: tuple[Term, ...]
    """The networks whose weighted sum replaces the checkpoint's own; empty without a merge."""

    @property
    def components(self) -> tuple[Component, ...]:
        """The networks, by the names of their folders in the diffusers layout."""
        raise NotImplementedError

    @property
    def identity(self) -> Hashable:
        """A key that is equal for recipes that load the same weights."""
        if self.merge:
            return self.wire, "merge", tuple(term.identity for term in self.merge)
        return self.wire, self.checkpoint.digest, self.checkpoint.family

    def summary(self) -> str:
        """The name of the checkpoint and the beginning of its digest, or the terms of the merge."""
        if self.merge:
            return f"merge of {', '.join(term.summary() for term in self.merge)}"
        return f"{self.checkpoint.name} ({self.checkpoint.digest[:10]})"

    def pack(self) -> Packed:
        """Pack the checkpoint and the terms of the merge as JSON, with the weights that are in no file."""
        meta: dict[str, Json] = asdict(self.checkpoint)
        if self.merge:
            meta["merge"] = [term.as_json() for term in self.merge]
        parts = {part.name: part for term in self.merge for part in term.parts()}
        return Packed(self.wire, meta, tuple(parts.values()))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """Restore the recipe from what `pack` returned."""
        return cls(**cls._unpacked(meta, parts))

    @classmethod
    def _unpacked(cls, meta: Json, parts: Mapping[str, bytes]) -> dict[str, Any]:
        """Return the fields of the recipe from what `pack` returned."""
        plain = dict(cast("dict[str, Any]", meta))
        terms = tuple(Term.from_json(cls, tree, parts) for tree in plain.pop("merge", ()))
        return {"checkpoint": Checkpoint.from_json(plain), "merge": terms}

    @property
    def digests(self) -> frozenset[str]:
        """The digests of the checkpoint, or of all checkpoints of the merge."""
        own = frozenset([] if self.merge else [self.checkpoint.digest])
        return own.union(*(term.recipe.digests for term in self.merge))

    def label(self) -> str:
        """Return the kind of network and its summary, for messages."""
        return f"{self.wire} of {self.summary()}"

    def staging(self, compute: ComputeSettings) -> ComputeSettings | None:
        """Return the settings of a copy in host memory; None if networks stay on the device."""
        return _master(compute) if compute.offload != "none" and compute.kind != "cpu" else None

    def exact(self, files: Files) -> Any:
        """Load the networks of this recipe with all patches, on the CPU in float32.

        They are not cached, so the caller may change them.
        """
        base = self.base
        if base is None:
            return self.load(_EXACT, files)[0]
        layers = [layer.load(_EXACT, files)[0] for layer in self.layers]
        return self.compose(base.load(_EXACT, files)[0], layers, _EXACT)[0]

    def size(self, compute: ComputeSettings, files: Files) -> int:
        """Return the bytes of the weights in the precision of `_dtype`, from the header of their file."""
        from nodes.sd.models.weights import loaded_size

        with _bad_model():
            model = self.checkpoint.files(files)
            return sum(loaded_size(model, part, self._dtype(compute)) for part in self.components)

    def _placed(
        self, load: Any, compute: ComputeSettings, files: Files, network: Any = None
    ) -> tuple[Any, int]:
        """Put a network onto the device: the given one (of a merge), or else the one that `load` reads."""
        from nodes.sd.models.to_device import load_to_device

        if network is not None:

            def load(model: ModelFiles, dtype: torch.dtype) -> Any:
                return network.to(dtype)

        with _bad_model():
            return load_to_device(load, self.checkpoint.files(files), compute, self._dtype(compute))

    def _dtype(self, compute: ComputeSettings) -> torch.dtype:
        import torch

        dtype: torch.dtype = getattr(torch, compute.dtype)
        return dtype


class PatchedPart(CheckpointPart):
    """A recipe for one network of a checkpoint with LoRAs and hypernetworks (patches).

    Without patches, it has the same identity as the unpatched network.
    """

    patches: tuple[Patch, ...]

    @property
    def identity(self) -> Hashable:
        """A key that is equal for recipes that load the same weights."""
        return (super().identity, self.patches) if self.patches else super().identity

    @property
    def base(self) -> Self | None:
        """The recipe without patches; None if it has none."""
        return replace(self, patches=()) if self.patches else None  # type: ignore[type-var]

    @property
    def layers(self) -> tuple[PatchFile, ...]:
        """The recipes of the patches' tensors, in order of application."""
        return tuple(patch.source for patch in self.patches)

    def summary(self) -> str:
        """The name of the checkpoint, the beginning of its digest, and the patches."""
        return " + ".join([super().summary(), *(patch.summary() for patch in self.patches)])

    def pack(self) -> Packed:
        """Pack the checkpoint and the patches as JSON, with the weights of patches that are in no file."""
        whole = super().pack()
        if not self.patches:
            return whole
        meta = cast("dict[str, Json]", whole.meta)
        meta["patches"] = [patch.as_json() for patch in self.patches]
        parts = {part.name: part for patch in self.patches for part in patch.parts()}
        return Packed(self.wire, meta, tuple({**{part.name: part for part in whole.parts}, **parts}.values()))

    @classmethod
    def _unpacked(cls, meta: Json, parts: Mapping[str, bytes]) -> dict[str, Any]:
        """Return the fields of the recipe from what `pack` returned."""
        plain = dict(cast("dict[str, Any]", meta))
        patches = tuple(Patch.from_json(tree, parts) for tree in plain.pop("patches", ()))
        plain.pop("embeddings", None)
        return {**super()._unpacked(plain, parts), "patches": patches}

    def _loras(self, layers: Sequence[Any]) -> list[WeightedLora]:
        """Return the LoRAs among the patches, with their loaded tensors."""
        from nodes.sd.lora.stack import WeightedLora

        pairs = zip(self.patches, layers, strict=True)
        return [
            WeightedLora(lora, source.name, source.digest, patch.strength, patch.blocks, patch.ranks)
            for patch, lora in pairs
            if (source := patch.source).kind == LORAS
        ]

    def _hypernetworks(self, layers: Sequence[Any]) -> list[tuple[float, Any]]:
        """Return the strength and the loaded network of each hypernetwork among the patches."""
        return [
            (patch.strength, network)
            for patch, network in zip(self.patches, layers, strict=True)
            if patch.source.kind != LORAS
        ]


@dataclass(frozen=True)
class Model(PatchedPart, lossless=True):
    """A recipe for the network that removes noise: a UNet or a transformer."""

    checkpoint: Checkpoint
    patches: tuple[Patch, ...] = ()
    merge: tuple[Term, ...] = ()

    @property
    def components(self) -> tuple[Component, ...]:
        """The component that is the UNet or transformer."""
        return (family_named(self.checkpoint.family).network.component,)

    def staging(self, compute: ComputeSettings) -> ComputeSettings | None:
        """Return the settings of a copy in host memory, else None.

        There is such a copy if the network is offloaded, or stored in another precision than it computes in.
        """
        if compute.offload == "blocks" or compute.storage_dtype:
            return _master(compute)
        return super().staging(compute)

    def resides_on(self, compute: ComputeSettings) -> str:
        """Return the device that holds the network: the host, if only the block in use is on the device."""
        return HOST.device if compute.offload == "blocks" else compute.device

    def place(self, master: Any, compute: ComputeSettings) -> tuple[Any, int]:
        """Copy the network to the device, or with `offload` set to `blocks` only the block in use."""
        from nodes.sd.models.placement import placed
        from nodes.sd.models.to_device import prepared

        network, size = placed(master, compute)
        return prepared(network, compute), size

    def load(self, compute: ComputeSettings, files: Files) -> tuple[Any, int]:
        """Load the network without patches onto the device; returns it and its bytes there."""
        from nodes.sd.models.to_device import prepared
        from nodes.sd.models.weights import load_unet

        (network,) = merged(self.merge, files) if self.merge else (None,)
        unet, size = self._placed(load_unet, compute, files, network)
        return prepared(unet, compute), size

    def composed_size(self, base: Any, layers: Sequence[Any], compute: ComputeSettings) -> int:
        """Return the bytes of the tensors that the patches change or add."""
        from nodes.sd.models.weights import patched_unet_size

        with _bad_lora():
            (part,) = self.components
            return patched_unet_size(base, part, self._loras(layers), self._hypernetworks(layers))

    def compose(self, base: Any, layers: Sequence[Any], compute: ComputeSettings) -> tuple[Any, int]:
        """Patch the network; returns it and the bytes that it does not share with `base`.

        Raises:
            NodeError: a LoRA does not fit the network.
        """
        from nodes.sd.models.to_device import prepared
        from nodes.sd.models.weights import patched_unet

        with _bad_lora():
            (part,) = self.components
            unet, size = patched_unet(base, part, self._loras(layers), self._hypernetworks(layers))
        return prepared(unet, compute), size


@dataclass(frozen=True)
class TextEncoder(PatchedPart, lossless=True):
    """A recipe for the tokenizers and text encoders of a checkpoint."""

    checkpoint: Checkpoint
    patches: tuple[Patch, ...] = ()
    embeddings: Embeddings = field(default_factory=Embeddings)
    """The embeddings that prompts may use. The networks themselves do not depend on them."""
    merge: tuple[Term, ...] = ()

    @property
    def components(self) -> tuple[Component, ...]:
        """The components that are text encoders."""
        return tuple(role.component for role in self._roles)

    @property
    def _roles(self) -> tuple[EncoderRole, ...]:
        present = dict(self.checkpoint.text_widths)
        return tuple(role for role in family_named(self.checkpoint.family).roles if role.name in present)

    def triggers(self, files: Files) -> Catalogue:
        """Make the catalogue of the embeddings, which finds them by trigger words.

        Raises:
            NodeError: a file is missing or has changed.
        """
        widths: dict[str, int] = dict(self.checkpoint.text_widths)
        model = self.checkpoint.name, self.checkpoint.digest
        return self.embeddings.catalogue(files, widths, model)

    def pack(self) -> Packed:
        """Pack the recipe and the embeddings as JSON, with the vectors and weights that are in no file."""
        meta, parts = self.embeddings.packed()
        whole = super().pack()
        own = {**cast("dict[str, Json]", whole.meta), "embeddings": meta}
        return Packed(self.wire, own, (*whole.parts, *parts))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        """Restore the text encoder from what `pack` returned."""
        assert isinstance(meta, dict)
        return cls(**cls._unpacked(meta, parts), embeddings=Embeddings.unpacked(meta["embeddings"], parts))

    def load(self, compute: ComputeSettings, files: Files) -> tuple[LoadedTextEncoder, int]:
        """Load the tokenizers and the unpatched text encoders; returns them and their bytes on the device."""
        from nodes.sd.models.tokenizer import load_tokenizer
        from nodes.sd.models.weights import load_text_encoder

        loaded, total = [], 0
        networks = merged(self.merge, files) if self.merge else [None] * len(self._roles)
        for role, network in zip(self._roles, networks, strict=True):

            def load(model: ModelFiles, dtype: torch.dtype, part: Component = role.component) -> Any:
                return load_text_encoder(model, dtype, part)

            encoder, size = self._placed(load, compute, files, network)
            with _bad_model():
                tokenizer = load_tokenizer(self.checkpoint.files(files), role)
            loaded.append(LoadedEncoder(role, tokenizer, encoder))
            total += size
        return tuple(loaded), total

    def place(self, master: LoadedTextEncoder, compute: ComputeSettings) -> tuple[LoadedTextEncoder, int]:
        """Copy the text encoders to the device."""
        from nodes.sd.models.placement import placed

        made = [placed(one.encoder, compute.whole) for one in master]
        pairs = zip(master, made, strict=True)
        return tuple(one._replace(encoder=encoder) for one, (encoder, _) in pairs), sum(
            size for _, size in made
        )

    def composed_size(self, base: LoadedTextEncoder, layers: Sequence[Any], compute: ComputeSettings) -> int:
        """Return the bytes of the tensors that the LoRAs change."""
        from nodes.sd.lora.stack import added_bytes

        loras = self._loras(layers)
        with _bad_lora():
            return sum(added_bytes(one.encoder, one.role.component, loras) for one in base)

    def compose(
        self, base: LoadedTextEncoder, layers: Sequence[Any], compute: ComputeSettings
    ) -> tuple[LoadedTextEncoder, int]:
        """Patch the text encoders; returns them and the bytes that they do not share with `base`.

        Raises:
            NodeError: a LoRA does not fit the network.
        """
        from nodes.sd.lora.stack import apply

        loras = self._loras(layers)
        loaded, total = [], 0
        for one in base:
            with _bad_lora():
                encoder, size = apply(one.encoder, one.role.component, loras)
            loaded.append(one._replace(encoder=encoder))
            total += size
        return tuple(loaded), total


@dataclass(frozen=True)
class Vae(CheckpointPart, lossless=True):
    """A recipe for a VAE, the network that converts between pictures and latents."""

    checkpoint: Checkpoint
    merge: tuple[Term, ...] = ()

    @property
    def components(self) -> tuple[Component, ...]:
        """The component that is the VAE."""
        return ("vae",)

    def load(self, compute: ComputeSettings, files: Files) -> tuple[AutoencoderKL, int]:
        """Load the VAE onto the device; returns it and its bytes there."""
        from nodes.sd.models.weights import load_vae

        (network,) = merged(self.merge, files) if self.merge else (None,)
        return self._placed(load_vae, compute, files, network)

    def place(self, master: AutoencoderKL, compute: ComputeSettings) -> tuple[AutoencoderKL, int]:
        """Copy the VAE to the device."""
        from nodes.sd.models.placement import placed

        return placed(master, compute.whole)

    def _dtype(self, compute: ComputeSettings) -> torch.dtype:
        import torch

        dtype: torch.dtype = getattr(torch, compute.vae_dtype)
        return dtype


@contextmanager
def _bad_model() -> Iterator[None]:
    """Within the block, convert the error of an unusable model to a `NodeError`."""
    from nodes.sd.formats.json_file import ModelError

    try:
        yield
    except ModelError as error:
        raise NodeError(str(error), code="bad_model") from None


@contextmanager
def _bad_lora() -> Iterator[None]:
    """Within the block, convert the error of a LoRA that does not fit to a `NodeError`."""
    from nodes.sd.formats.json_file import ModelError

    try:
        yield
    except ModelError as error:
        raise NodeError(str(error), code="bad_lora") from None
