"""Loads the tokenizers of a model. torch is not imported, so that the tokens of prompts are counted fast."""

from __future__ import annotations

import base64
import json
import re
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, overload

from nodes.sd.families.family import EncoderRole
from nodes.sd.formats.json_file import ModelError, read_object, read_text
from nodes.sd.models.files import ModelFiles
from nodes.sd.models.folder import tokenizer_files

_VOCABULARY_LIMIT = 32 << 20
_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORDS = rf"{re.escape(_START)}|{re.escape(_END)}|'(?:s|t|re|ve|m|ll|d)|\p{{L}}+|\p{{N}}|[^\s\p{{L}}\p{{N}}]+"
"""The pieces of a text that CLIP's tokenizer spells one by one."""


class Spelled(NamedTuple):
    """The tokens of one text, in the form that transformers returns."""

    input_ids: list[int]


class SpelledTexts(NamedTuple):
    """The tokens of several texts, in the form that transformers returns."""

    input_ids: list[list[int]]


class ClipTokenizer:
    """CLIP's tokenizer. It gives the same tokens as that of transformers, whose import takes seconds.

    Args:
        vocabulary: the number of each token, by its text.
        merges: the pairs of byte-pair encoding, in order.
    """

    model_max_length = 77

    def __init__(self, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
        from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
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
        self._tokenizer.decoder = decoders.ByteLevel()
        self._tokenizer.add_special_tokens([_START, _END])
        start, end = self._tokenizer.token_to_id(_START), self._tokenizer.token_to_id(_END)
        assert start is not None
        assert end is not None
        self.bos_token_id, self.eos_token_id = start, end
        self.pad_token_id = self.eos_token_id
        """The token that fills a chunk."""

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    @overload
    def __call__(self, words: str, *, add_special_tokens: bool = ..., verbose: bool = ...) -> Spelled: ...
    @overload
    def __call__(
        self, words: list[str], *, add_special_tokens: bool = ..., verbose: bool = ...
    ) -> SpelledTexts: ...
    def __call__(
        self, words: str | list[str], *, add_special_tokens: bool = True, verbose: bool = True
    ) -> Spelled | SpelledTexts:
        """Tokenise one text or several, by default with the start and end tokens."""
        texts = [words] if isinstance(words, str) else words
        rows = [found.ids for found in self._tokenizer.encode_batch(texts, add_special_tokens=False)]
        if add_special_tokens:
            rows = [[self.bos_token_id, *row, self.eos_token_id] for row in rows]
        return Spelled(rows[0]) if isinstance(words, str) else SpelledTexts(rows)

    def add_tokens(self, token: str) -> None:
        """Add a token at the end of the vocabulary."""
        self._tokenizer.add_tokens([token])

    def decode(self, ids: list[int]) -> str:
        """Convert tokens to their text, with a space after each word."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=False)
        return text.replace("</w>", " ").strip()

    def convert_tokens_to_ids(self, token: str) -> int:
        """Return the number of a token; that of the end token if there is no such token."""
        number: int | None = self._tokenizer.token_to_id(token)
        return self.eos_token_id if number is None else number

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        """Return the texts of tokens, given their numbers."""
        return [self._tokenizer.id_to_token(number) or _END for number in ids]


def load_tokenizer(files: ModelFiles, role: EncoderRole | None = None) -> Any:
    """Build a CLIP or T5 tokenizer from its vocabulary. No code and no regex is read from its folder.

    Args:
        files: the model.
        role: the text encoder that it belongs to; None for the model's first.

    Raises:
        ModelError: the vocabulary is damaged, or holds more tokens than the text encoder knows.
    """
    role = role or files.family.roles[0]
    folder = files.tokenizers[role.tokenizer]
    names = tokenizer_files(folder, role)
    place = folder / names[0]
    known: int = files.configs[role.component]["vocab_size"]
    try:
        return (
            _t5_tokenizer(place, known) if role.name == "t5" else _clip_tokenizer(folder, names, role, known)
        )
    except (ModelError, MemoryError):
        raise
    except Exception:  # the tokenizers library raises plain Exception for a vocabulary it cannot use
        kind = "T5" if role.name == "t5" else "CLIP"
        message = f"{place} is not the vocabulary of a {kind} tokenizer. Download it again."
        raise ModelError(message) from None


def _clip_tokenizer(folder: Path, names: tuple[str, ...], role: EncoderRole, known: int) -> ClipTokenizer:
    place = folder / names[0]
    vocabulary, merges, added = _vocabulary(folder, names)
    tokenizer = ClipTokenizer(vocabulary, merges)
    for token, number in sorted(added.items(), key=lambda item: item[1]):
        if token in vocabulary:
            continue
        if number != len(tokenizer):
            raise ModelError(f"{place}: the added tokens do not follow on the vocabulary. Save it again.")
        tokenizer.add_tokens(token)
    if role.pad is not None:
        tokenizer.pad_token_id = role.pad
    _check_vocabulary(place, len(tokenizer), known)
    return tokenizer


def _check_vocabulary(place: Path, tokens: int, known: int) -> None:
    if tokens > known:
        raise ModelError(f"{place} has {tokens:,} tokens, the text encoder {known:,}. They do not match.")


def _t5_tokenizer(place: Path, known: int) -> Any:
    """Build a T5 tokenizer from the pieces, scores and table of characters in its `tokenizer.json`."""
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
