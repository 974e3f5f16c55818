"""InvokeAI's dialect: bit for bit what compel makes of it, with embeddings in the place of words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
import torch
from torch import Tensor

from nodes.sd.prompts.excerpt import PromptError
from tests import matrix
from tests.nodes.sd.conftest import TINY
from tests.nodes.sd.in_transformers import encoder_of, tokenizer_of
from tests.nodes.sd.prompts.catalogue import Words
from tests.nodes.sd.prompts.conftest import Encode

compel = pytest.importorskip("compel")

PROMPTS = [
    "",
    "a red circle",
    "a red++ circle- on (blue)1.3",
    "a (red (circle)1.2)0.5",
    '("a red circle", "a blue star").blend(0.7, 0.3)',
    '("a red circle", "a blue star").blend(0.7, -0.3, no_normalize)',
    '("a red circle", "a blue star").and(1, 0.5)',
    r"a \(red\) circle, \"so\"",
    r"a " + r"\(" * 30,
    "a red circle on blue. " * 20,
    ", ".join(["a (red)1.2 circle"] * 25),
]


@pytest.fixture(scope="module")
def theirs(encoder: Any) -> Callable[[str], Tensor]:
    reader = compel.Compel(tokenizer_of(TINY / "tokenizer"), encoder_of(encoder), truncate_long_prompts=False)

    def call(prompt: str) -> Tensor:
        made: Tensor = reader(prompt)
        return made

    return call


@pytest.mark.parametrize("prompt", PROMPTS)
def test_encodings_equal_compel_s(read_as: Encode, theirs: Callable[[str], Tensor], prompt: str) -> None:
    (part,) = read_as(prompt, dialect="compel").parts
    assert torch.equal(part.encodings[0], theirs(prompt))
    case = f"`{prompt[:40]}{'…' if len(prompt) > 40 else ''}`" if prompt else "the empty prompt"
    matrix.record("Prompts in compel's dialect", case, f"compel {version('compel')}", error=0)


def test_clip_skip_listens_to_an_earlier_layer(read_as: Encode) -> None:
    plain = read_as("a red circle", dialect="compel", clip_skip=2).parts[0].encodings[0]
    expected = read_as("a red circle", clip_skip=2).parts[0].encodings[0]
    assert torch.allclose(plain, expected, atol=1e-5)


def test_the_compel_token_table_shows_the_model_s_tokens(read_as: Encode) -> None:
    found = read_as("a red++ circle, (<x>)0.5", dialect="compel", triggers=Words({"<x>": torch.ones(2, 64)}))
    shown = [(token["text"], round(token["weight"], 4), token["trigger"]) for token in found.tokens]
    assert shown == [
        ("a", 1, ""),
        ("red", 1.21, ""),
        ("circle", 1, ""),
        (",", 1, ""),
        ("<x>", 0.5, "<x>"),
        ("<x>", 0.5, "<x>"),
    ]
    assert (found.used, found.left) == (6, 69)


@pytest.mark.parametrize(
    ("prompt", "spelt_out"),
    [
        ("a <thing> on blue", "a red circle on blue"),
        ("a (<thing>)1.3 on (<thing>)0.6", "a (red circle)1.3 on (red circle)0.6"),
        ('("<thing>", "a star").blend(1, 1)', '("red circle", "a star").blend(1, 1)'),
        ("a <thing>. " * 20, "a red circle. " * 20),
    ],
)
def test_an_embedding_equal_to_words_is_those_words_bit_for_bit(
    read_as: Encode, vectors_of: Callable[[str], Tensor], prompt: str, spelt_out: str
) -> None:
    known = Words({"<thing>": vectors_of("red circle")})
    (found,) = read_as(prompt, dialect="compel", triggers=known).parts
    (expected,) = read_as(spelt_out, dialect="compel").parts
    assert torch.equal(found.encodings[0], expected.encodings[0])


def test_an_embedding_is_not_divided_at_the_end_of_a_chunk(read_as: Encode) -> None:
    known = Words({"<x>": torch.ones(20, 64)})
    found = read_as("red " * 60 + "<x>", dialect="compel", triggers=known)
    assert [token["chunk"] for token in found.tokens] == [0] * 60 + [1] * 20


def test_compel_warns_about_a1111_weights_and_swap(read_as: Encode) -> None:
    (told,) = read_as("a (red:1.2) circle", dialect="compel").warnings
    assert str(told).startswith("a weight such as (x:1.2) has no meaning in the dialect 'compel'")
    assert any(
        ".swap() has no effect" in str(told) for told in read_as("a cat.swap(dog)", dialect="compel").warnings
    )
    (tag,) = read_as("a mug withLora(ink, 0.5)", dialect="compel").tags
    assert (tag.name, tag.unet, tag.text) == ("ink", 0.5, 0.5)


@pytest.mark.parametrize("prompt", ["()", " ", '""0.5', "withLora(ink, 0.5)"])
def test_brackets_without_words_are_the_empty_prompt(read_as: Encode, prompt: str) -> None:
    found = read_as(prompt, dialect="compel")
    assert torch.equal(found.parts[0].encodings[0], read_as("", dialect="compel").parts[0].encodings[0])
    assert (found.used, len(found.tags)) == (0, prompt.count("Lora"))


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ('("a", "b").blend(1)', "compel cannot read this prompt"),
        ("(" * 30, "More than 20 brackets are open at character 21"),
        ("a " * 1001, "2,002 characters.* 2,000"),
    ],
)
def test_prompts_that_compel_cannot_parse_are_refused(read_as: Encode, prompt: str, reason: str) -> None:
    with pytest.raises(PromptError, match=reason):
        read_as(prompt, dialect="compel")


def test_compel_is_imported_only_on_use(read_as: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in {"compel", "pyparsing"}]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "nodes.sd.prompts.compel", raising=False)
    read_as("a (red:1.2) circle")
    read_as("a (red:1.2) circle", dialect="comfy")
    assert "compel" not in sys.modules
