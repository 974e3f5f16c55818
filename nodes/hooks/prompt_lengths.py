"""Counts the tokens of prompts before they are encoded, and collects warnings about their syntax.

torch is not imported here: only tokenizers and the headers of embedding files are read.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import NodeError
from engine.files import Files
from engine.packs.provenance import Provenance, TextLength
from nodes.files.embedding_files import Embeddings, find_embeddings
from nodes.files.lora_files import resolve_lora
from nodes.files.patch_files import LORAS
from nodes.hooks.graph_models import GraphModels, Network
from nodes.hooks.graph_walk import along
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.json_file import ModelError
from nodes.sd.formats.read import read_tensors
from nodes.sd.lora.grouped import grouped

if TYPE_CHECKING:
    from nodes.sd.embeddings.catalogue import Catalogue
    from nodes.sd.families.family import EncoderName, EncoderRole
    from nodes.sd.models.tokenizer import ClipTokenizer
    from nodes.sd.prompts.encoded import Settings

_lock = threading.Lock()
_MOST_TOKENIZERS = 4
_tokenizers: dict[tuple[str, str], ClipTokenizer] = {}


def measure(steps: Mapping[str, Provenance], files: Files) -> list[TextLength]:
    """Count the tokens of each literal prompt whose text encoder and embeddings are known before the run.

    Prompts of the dialect `compel` are not counted, since its package needs torch to parse them.

    Args:
        steps: the nodes of a graph by id.
        files: the folders of files.
    """
    graph = _Graph(steps, files)
    found = []
    for id, step in steps.items():
        prompt = step.inputs.get("prompt")
        if step.node_type == "EncodePrompt" and isinstance(prompt, str):
            with (
                suppress(NodeError, ModelError, BadFileError),
                _lock,
            ):  # the step that loads the file reports it
                found.append(graph.length(id, step, prompt))
    return [length for length in found if length is not None]


class _Graph(GraphModels):
    """Counts prompts with the text encoders and embeddings that the nodes of a graph use."""

    def __init__(self, steps: Mapping[str, Provenance], files: Files) -> None:
        super().__init__(steps, files)
        self._catalogues: dict[tuple[str, ...], _Counts | None] = {}

    def length(self, id: str, step: Provenance, prompt: str) -> TextLength | None:
        """Count the tokens of the prompt of an EncodePrompt; None if that is not possible before the run."""
        from nodes.sd.prompts.excerpt import PromptError
        from nodes.sd.prompts.spelling import ROOM
        from nodes.sd.prompts.tags import without_effect
        from nodes.sd.prompts.tokens import tokenized

        network = self.network(step, "encoder")
        if network is None or step.inputs.get("dialect") == "compel":
            return None
        present = dict(network.checkpoint.text_widths)
        roles = [role for role in network.files.roles if role.along == "width" and role.name in present]
        triggers = self._triggers(network, step)
        if not roles or triggers is None:
            return None
        settings = _settings(step, triggers, roles[0].name)
        try:
            tokens = tokenized(prompt, _tokenizer(network, roles[0]), settings)
        except PromptError as error:
            return TextLength(id, "prompt", (), ROOM, (str(error),))
        warnings = [*map(str, tokens.warnings), *map(without_effect, dict.fromkeys(tokens.written.tags))]
        return TextLength(id, "prompt", tuple(map(len, tokens.longest)), ROOM, tuple(warnings))

    def _triggers(self, network: Network, step: Provenance) -> _Counts | None:
        """Return the embeddings of a step's text encoder; None if some are made in the graph or in a LoRA."""
        path = tuple(along(self.steps, step, "encoder"))
        if path not in self._catalogues:
            self._catalogues[path] = self._catalogue(network, path)
        return self._catalogues[path]

    def _catalogue(self, network: Network, path: tuple[str, ...]) -> _Counts | None:
        chosen = Embeddings()
        for id in reversed(path):
            step = self.steps[id]
            if step.node_type == "LoadEmbeddings":
                given = step.inputs.get("files")
                if "embedding" in step.links or not isinstance(given, str):
                    return None
                chosen += Embeddings(tuple(find_embeddings(self.files, given)[0]))
            elif step.node_type == "ApplyLoRA" and any(map(self._has_embeddings, _loras(step))):
                return None
        model = network.checkpoint.name, network.checkpoint.digest
        widths: dict[str, int] = dict(network.checkpoint.text_widths)
        return _Counts(chosen.catalogue(self.files, widths, model))

    def _has_embeddings(self, lora: str | None) -> bool:
        """Return whether a LoRA contains embeddings; True if its name is known only while running."""
        if lora is None:
            return True
        path = self.files.find(LORAS, resolve_lora(self.files, lora))
        return _bundles(path, self.files.digest(path))


class _Counts:
    """A catalogue of embeddings for counting tokens: each embedding has its length, but no vectors."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.match, self.names, self.warnings = catalogue.match, catalogue.names, catalogue.warnings
        self._catalogue = catalogue

    def vectors(self, trigger: str, encoder: EncoderName) -> Any:
        """Return a sequence with as many elements as the embedding has vectors."""
        return range(self._catalogue.count(trigger, encoder))


def _settings(step: Provenance, triggers: _Counts, encoder: EncoderName) -> Settings:
    """Collect the settings of an EncodePrompt. For an input that is wired, the default is assumed."""
    from nodes.sd.prompts.encoded import Settings

    names = {"dialect": "dialect", "backtrack": "backtrack", "negative": "negative", "comments": "comments"}
    names |= {"bare": "bare_names"}
    given: dict[str, Any] = {own: step.inputs[name] for own, name in names.items() if name in step.inputs}
    return Settings(**given, triggers=triggers, encoder=encoder)


def _tokenizer(network: Network, role: EncoderRole) -> ClipTokenizer:
    from nodes.sd.models.tokenizer import load_tokenizer

    key = network.checkpoint.digest, role.name
    if key not in _tokenizers:
        if len(_tokenizers) >= _MOST_TOKENIZERS:
            del _tokenizers[next(iter(_tokenizers))]
        _tokenizers[key] = load_tokenizer(network.files, role)
    return _tokenizers[key]


def _loras(step: Provenance) -> list[str | None]:
    """List the names of the LoRAs of an ApplyLoRA; None stands for one that is known only while running."""
    more = step.inputs.get("more", [])
    rows = more if isinstance(more, list) else [None]
    names = [step.inputs.get("lora"), *(row.get("lora") if isinstance(row, dict) else None for row in rows)]
    return [name if isinstance(name, str) else None for name in names if name != ""]


@lru_cache(maxsize=256)
def _bundles(path: Path, digest: str) -> bool:
    """Return whether a LoRA file contains embeddings; cached by its digest."""
    return bool(grouped(read_tensors(path).entries).bundled)
