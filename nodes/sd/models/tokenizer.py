"""Loads the tokenizers of a model. torch is not imported here, so that a prompt is counted without it."""

from __future__ import annotations

import base64
import json
import re
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from nodes.sd.families.family import EncoderRole
from nodes.sd.formats.json_file import ModelError, read_object, read_text
from nodes.sd.models.files import ModelFiles
from nodes.sd.models.folder import tokenizer_files

_VOCABULARY_LIMIT = 32 << 20
_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORDS = rf"{re.escape(_START)}|{re.escape(_END)}|'(?:s|t|re|ve|m|ll|d)|\p{{L}}+|\p{{N}}|[^\s\p{{L}}\p{{N}}]+"
"""The pieces of a text that CLIP's tokenizer spells one by one."""


class Spelled(NamedTuple):
    """The tokens of texts, in the form of transformers."""

    input_ids: list[list[int]]


class CountingTokenizer:
    """CLIP's tokenizer without transformers, whose import takes seconds. It only converts words to tokens.

    Args:
        vocabulary: the tokens by text.
        merges: the pairs of byte-pair encoding, in order.
        added: further tokens by text.
    """

    def __init__(
        self, vocabulary: dict[str, int], merges: list[tuple[str, str]], added: dict[str, int]
    ) -> None:
        from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
        from tokenizers.models import BPE

        model = BPE(
            vocab=vocabulary,
            merges=merges,
            unk_token=_END,
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
        )
        self._tokenizer = Tokenizer(model)
        self._tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        split = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [split, pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        self._tokenizer.add_special_tokens([_START, _END])
        self._tokenizer.add_tokens([text for text in sorted(added, key=added.__getitem__)])

    def __call__(
        self, words: list[str], *, add_special_tokens: bool = False, verbose: bool = False
    ) -> Spelled:
        """The tokens of each text."""
        return Spelled([found.ids for found in self._tokenizer.encode_batch(words, add_special_tokens=False)])

    def convert_tokens_to_ids(self, token: str) -> int | None:
        """The number of a token; None if there is no such token."""
        number: int | None = self._tokenizer.token_to_id(token)
        return number


def counting_tokenizer(files: ModelFiles, role: EncoderRole) -> CountingTokenizer:
    """The tokenizer of a CLIP text encoder for counting tokens.

    Raises:
        ModelError: its vocabulary is damaged.
    """
    folder = files.tokenizers[role.tokenizer]
    names = tokenizer_files(folder, role)
    try:
        return CountingTokenizer(*_vocabulary(folder, names))
    except (ModelError, MemoryError):
        raise
    except Exception:  # the tokenizers library raises plain Exception for a vocabulary it cannot use
        message = f"{folder / names[0]} is not the vocabulary of a CLIP tokenizer. Download it again."
        raise ModelError(message) from None


def load_tokenizer(files: ModelFiles, role: EncoderRole | None = None) -> Any:
    """A CLIP or T5 tokenizer, built from its vocabulary. No code and no pattern is read from its folder.

    Args:
        files: the model.
        role: the text encoder that it belongs to; None for the model's first.

    Raises:
        ModelError: the vocabulary is damaged, or holds more tokens than the text encoder knows.
    """
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    role = role or files.family.roles[0]
    folder = files.tokenizers[role.tokenizer]
    names = tokenizer_files(folder, role)
    place = folder / names[0]
    try:
        if role.name == "t5":
            return _t5_tokenizer(place, files.configs[role.component]["vocab_size"])
        vocabulary, merges, added = _vocabulary(folder, names)
        tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)
        for token, number in sorted(added.items(), key=lambda item: item[1]):
            if token in vocabulary:
                continue
            if number != len(tokenizer):
                raise ModelError(f"{place}: the added tokens do not follow on the vocabulary. Save it again.")
            tokenizer.add_tokens(token)
        if role.pad is not None:
            tokenizer.pad_token = tokenizer.convert_ids_to_tokens(role.pad)
    except ModelError:
        raise
    except MemoryError:
        raise
    except Exception:  # the tokenizers library raises plain Exception for a vocabulary it cannot use
        kind = "T5" if role.name == "t5" else "CLIP"
        message = f"{place} is not the vocabulary of a {kind} tokenizer. Download it again."
        raise ModelError(message) from None
    _check_vocabulary(place, len(tokenizer), files.configs[role.component]["vocab_size"])
    return tokenizer


def _check_vocabulary(place: Path, tokens: int, known: int) -> None:
    if tokens > known:
        raise ModelError(f"{place} has {tokens:,} tokens, the text encoder {known:,}. They do not match.")


def _t5_tokenizer(place: Path, known: int) -> Any:
    """A T5 tokenizer from the pieces, scores and table of characters in its `tokenizer.json`."""
    from transformers.models.t5.tokenization_t5 import T5Tokenizer

    whole = json.loads(read_text(place, _VOCABULARY_LIMIT))
    pieces = [(str(piece), float(score)) for piece, score in whole["model"]["vocab"]]
    _check_vocabulary(place, len(pieces), known)
    normalizer = whole.get("normalizer") or {}
    tables = [
        one["precompiled_charsmap"]
        for one in normalizer.get("normalizers", [normalizer])
        if one.get("type") == "Precompiled"
    ]
    return T5Tokenizer(
        vocab=pieces,
        extra_ids=sum(piece.startswith("<extra_id_") for piece, _ in pieces),
        _spm_precompiled_charsmap=base64.b64decode(tables[0]) if tables else None,
    )


def _vocabulary(
    root: Path, names: tuple[str, ...]
) -> tuple[dict[str, int], list[tuple[str, str]], dict[str, int]]:
    if len(names) == 1:
        whole = json.loads(read_text(root / names[0], _VOCABULARY_LIMIT))
        model = whole["model"]
        pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
        added = {token["content"]: token["id"] for token in whole.get("added_tokens", [])}
        return model["vocab"], [(first, second) for first, second in pairs], added
    lines = read_text(root / names[1], _VOCABULARY_LIMIT).split("\n")
    merges = [tuple(line.split()) for line in islice(lines, 1, None) if line.strip()]
    added = read_object(root / names[2]) if len(names) == 3 else {}
    return (
        json.loads(read_text(root / names[0], _VOCABULARY_LIMIT)),
        [(first, second) for first, second in merges],
        added,
    )
