"""A catalogue of made-up embeddings for tests."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from nodes.sd.families.family import EncoderName


class Words:
    """Each word is a trigger of its own name; a value that is text is why it cannot be used."""

    def __init__(self, words: Mapping[str, Tensor | str]) -> None:
        self._words = words

    def match(self, text: str, at: int) -> tuple[str, int] | None:
        if at and text[at - 1].isalnum() and text[at].isalnum():
            return None
        for word in sorted(self._words, key=len, reverse=True):
            end = at + len(word)
            if text[at:end] == word and not (text[end - 1].isalnum() and text[end : end + 1].isalnum()):
                return word, len(word)
        return None

    def vectors(self, trigger: str, encoder: EncoderName) -> Tensor:
        found = self._words[trigger]
        if isinstance(found, str):
            raise ValueError(found)
        return found

    def warnings(self, trigger: str, written: str) -> list[str]:
        return [f"{trigger} is lent"] if trigger == "lent" else []

    def names(self) -> list[str]:
        return list(self._words)
