"""What weights, chunks and embeddings make of the rows that the text encoder answers with."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers.models.clip.configuration_clip import CLIPTextConfig
from transformers.models.clip.modeling_clip import CLIPTextModelWithProjection

from nodes.sd.models import text_encoder as text
from nodes.sd.prompts.chunks import at_commas, at_segments
from nodes.sd.prompts.encoded import Encoded, Settings
from nodes.sd.prompts.encoding import encode
from nodes.sd.prompts.excerpt import PromptError
from nodes.sd.prompts.spelling import Place
from tests import matrix
from tests.nodes.sd.in_transformers import encoder_of
from tests.nodes.sd.prompts.catalogue import Words
from tests.nodes.sd.prompts.conftest import Encode

VectorsOf = Callable[[str], Tensor]
COMMA = 267


PROMPTS = "Prompts as tensors"


def apart(found: Tensor, expected: Tensor) -> float:
    """The largest difference, against the largest number."""
    return float((found.double() - expected).abs().max() / expected.abs().max())


def rows(found: Encoded) -> Tensor:
    (part,) = found.parts
    (encoding,) = part.encodings
    return encoding


def ids(found: Encoded) -> list[int]:
    return [token["id"] for token in found.tokens]


@pytest.mark.parametrize("dialect", ["a1111", "comfy", "plain"])
@pytest.mark.parametrize(
    "prompt", ["", "a red circle on a blue background", "red " * 75, "it's 5%, naïve 猫"]
)
@pytest.mark.parametrize("clip_skip", [1, 2])
def test_plain_words_are_read_bit_for_bit_as_without_a_dialect(
    read_as: Encode, read: Any, encoder: Any, tokenizer: Any, dialect: str, prompt: str, clip_skip: int
) -> None:
    expected = text.encode(encoder_of(encoder), text.tokenize(tokenizer, prompt).ids, clip_skip)
    found = read_as(prompt, dialect=dialect, clip_skip=clip_skip)
    assert torch.equal(rows(found), expected)
    matrix.record(PROMPTS, f"plain words, {dialect}", "transformers alone", error=0)
    assert found.used == text.tokenize(tokenizer, prompt).used
    assert found.left == 75 - found.used
    assert found.warnings == []


def test_a1111_multiplies_rows_and_keeps_the_mean(read_as: Encode, read: Any) -> None:
    plain = read("a red circle")[0].double()
    weighted = plain.clone()
    weighted[2] *= 1.5
    weighted[3] *= 0.4
    prompt = "a (red:1.5) (circle:0.4)"
    no_norm = rows(read_as(prompt, emphasis="no_norm"))[0]
    assert torch.allclose(no_norm.double(), weighted, rtol=1e-6, atol=1e-6)
    kept = rows(read_as(prompt))[0]
    expected = weighted * (plain.mean() / weighted.mean())
    assert torch.allclose(kept.double(), expected, rtol=1e-4, atol=1e-5)
    assert kept.double().mean() == pytest.approx(float(plain.mean()), rel=1e-3)
    assert torch.equal(rows(read_as(prompt, emphasis="ignore"))[0], plain.float())
    matrix.record(PROMPTS, "weights, a1111", "rows times weights", error=apart(no_norm, weighted))
    matrix.record(PROMPTS, "weights, a1111, original", "and the mean as it was", error=apart(kept, expected))


def test_the_mean_is_kept_chunk_by_chunk(read_as: Encode) -> None:
    alone = rows(read_as("a (red:1.5) circle"))
    both = rows(read_as("a (red:1.5) circle BREAK a star"))
    assert torch.equal(both[:, :77], alone)
    assert torch.equal(both[:, 77:], rows(read_as("a star")))


def test_comfyui_moves_rows_away_from_the_empty_prompt(read_as: Encode, read: Any) -> None:
    plain, empty = read("a red circle")[0].double(), read("")[0].double()
    expected = plain.clone()
    expected[2] = empty[2] + 1.5 * (plain[2] - empty[2])
    expected[3] = empty[3] + 0.4 * (plain[3] - empty[3])
    found = rows(read_as("a (red:1.5) (circle:0.4)", dialect="comfy"))[0]
    assert torch.allclose(found.double(), expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(found[[0, 1, 4, 76]], plain.float()[[0, 1, 4, 76]])
    matrix.record(PROMPTS, "weights, comfy", "away from the empty prompt", error=apart(found, expected))


def test_weights_that_lead_nowhere_are_refused(read_as: Encode) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        read_as("(a:1" + "0" * 60 + ")")
    with pytest.raises(ValueError, match="NaN or infinity"):
        read_as("(a:1e200)", dialect="comfy")


def places(*texts: int | str) -> list[list[Place]]:
    """Groups: a token for a number, an embedding of n vectors for `*n`."""
    found = []
    for written in texts:
        if isinstance(written, int):
            found.append([Place(written, 1.0)])
        else:
            found.append([Place(0, 1.0, written, vector) for vector in range(int(written[1:]))])
    return found


@pytest.mark.parametrize(
    ("segments", "backtrack", "lengths"),
    [
        ([places(*[7] * 75)], 20, [75]),
        ([places(*[7] * 76)], 20, [75, 1]),
        ([places(*[7] * 60, COMMA, *[7] * 19)], 20, [61, 19]),
        ([places(*[7] * 55, COMMA, *[7] * 20)], 20, [56, 20]),
        ([places(*[7] * 54, COMMA, *[7] * 21)], 20, [75, 1]),
        ([places(*[7] * 60, COMMA, *[7] * 19)], 0, [75, 5]),
        ([places(*[7] * 60, COMMA, *[7] * 14, COMMA, 7)], 20, [75, 2]),
        ([places(7), None, places(7)], 20, [1, 1]),
        ([None, places(7)], 20, [0, 1]),
        ([places(7), None], 20, [1]),
        ([], 20, [0]),
        ([places(*[7] * 70, "*16")], 20, [70, 16]),
        ([places(*[7] * 59, "*16")], 20, [75]),
        ([places(*[7] * 60, COMMA, "*10", *[7] * 8)], 20, [61, 18]),
        ([places("*75", "*75")], 20, [75, 75]),
    ],
)
def test_a1111_parts_chunks_at_commas(segments: Any, backtrack: int, lengths: list[int]) -> None:
    found = at_commas(segments, COMMA, backtrack)
    assert [len(chunk) for chunk in found] == lengths
    total = sum(lengths)
    matrix.record(
        PROMPTS, f"{total} tokens, a1111, backtrack {backtrack}", "the comma rule", f"chunks of {lengths}"
    )
    given = [place for segment in segments for group in segment or [] for place in group]
    assert [place for chunk in found for place in chunk] == given


@pytest.mark.parametrize(
    ("segments", "lengths"),
    [
        ([places(*[7] * 72), places(*[7] * 7)], [72, 7]),
        ([places(*[7] * 72), places(*[7] * 8)], [75, 5]),
        ([places(*[7] * 160)], [75, 75, 10]),
        ([places(*[7] * 75), places(7)], [75, 1]),
        ([places(*[7] * 70, "*16", 7)], [70, 17]),
        ([], [0]),
    ],
)
def test_comfyui_parts_chunks_at_segments(segments: Any, lengths: list[int]) -> None:
    assert [len(chunk) for chunk in at_segments(segments)] == lengths
    matrix.record(PROMPTS, f"{sum(lengths)} tokens, comfy", "ComfyUI's batches", f"chunks of {lengths}")


GROUPS = st.lists(
    st.one_of(st.just(7), st.just(COMMA), st.integers(1, 40).map(lambda n: f"*{n}")), max_size=90
)


@given(st.lists(GROUPS, max_size=4), st.integers(0, 74))
def test_an_embedding_is_never_split_between_chunks(texts: list[list[Any]], backtrack: int) -> None:
    segments = [places(*group) for group in texts]
    given_places = [place for segment in segments for group in segment for place in group]
    for chunks in (at_commas(segments, COMMA, backtrack), at_segments(segments)):
        assert [place for chunk in chunks for place in chunk] == given_places
        assert all(len(chunk) <= 75 for chunk in chunks)
        for chunk in chunks:
            if chunk and chunk[0].trigger:
                assert chunk[0].vector == 0
            if chunk and chunk[-1].trigger:
                assert chunk[-1].vector == int(chunk[-1].trigger[1:]) - 1


@pytest.mark.parametrize("dialect", ["a1111", "comfy", "plain"])
def test_half_a_character_is_refused_with_its_place(read_as: Encode, dialect: str) -> None:
    with pytest.raises(PromptError, match="Character 3 of this prompt is "):
        read_as("a \ud83d mug", dialect=dialect)


def test_more_than_64_chunks_are_refused(read_as: Encode) -> None:
    with pytest.raises(PromptError, match="at most 64"):
        read_as("a " * 75 * 65)


@pytest.mark.parametrize("dialect", ["a1111", "comfy", "plain"])
@pytest.mark.parametrize(
    ("prompt", "spelt_out"),
    [
        ("a <thing>", "a red circle"),
        ("(<thing>:1.3) on <ground>, <thing>", "(red circle:1.3) on blue, red circle"),
        ("<thing><ground>", "red circle blue"),
        ("embedding:thing on blue", "red circle on blue"),
    ],
)
def test_an_embedding_equal_to_words_is_those_words_bit_for_bit(
    read_as: Encode, vectors_of: VectorsOf, dialect: str, prompt: str, spelt_out: str
) -> None:
    red, blue = vectors_of("red circle"), vectors_of("blue")
    known = Words({"<thing>": red, "embedding:thing": red, "<ground>": blue})
    found = read_as(prompt, dialect=dialect, triggers=known, negative=dialect == "a1111")
    expected = read_as(spelt_out, dialect=dialect, negative=dialect == "a1111")
    assert torch.equal(rows(found), rows(expected))
    assert (found.used, found.left) == (expected.used, expected.left)
    weights = [[token["weight"] for token in of.tokens] for of in (found, expected)]
    assert weights[0] == weights[1]


def test_triggers_are_words_of_any_kind_but_never_inside_words(
    read_as: Encode, vectors_of: VectorsOf
) -> None:
    known = Words({"usada pekora": vectors_of("blue"), "mignon": vectors_of("red circle")})
    found = read_as("usada pekora, mignonette by mignon", triggers=known)
    shown = [(token["text"], token["trigger"], token["position"]) for token in found.tokens]
    assert shown[:2] == [("usada pekora", "usada pekora", 1), (",", "", 2)]
    assert shown[-3:] == [("by", "", found.used - 2), *[("mignon", "mignon", found.used - n) for n in (1, 0)]]
    assert sum(token["trigger"] != "" for token in found.tokens) == 3
    plain = read_as("usada pekora, mignon", triggers=known, bare=False)
    assert torch.equal(rows(plain), rows(read_as("usada pekora, mignon")))
    assert torch.equal(
        rows(read_as("mignon", dialect="comfy", triggers=known)), rows(read_as("mignon", dialect="comfy"))
    )


def test_an_embedding_changes_rows_only_from_its_trigger_on(read_as: Encode, vectors_of: VectorsOf) -> None:
    known = Words({"<x>": vectors_of("blue"), "never": torch.full((3, 64), 9.0)})
    assert torch.equal(rows(read_as("a red circle", triggers=known)), rows(read_as("a red circle")))
    plain, taught = rows(read_as("a red circle")), rows(read_as("a <x> circle", triggers=known))
    assert torch.equal(plain[:, :2], taught[:, :2])
    assert not torch.isclose(plain[:, 2], taught[:, 2]).all()


def test_half_precision_is_weighted_in_full(
    encoder: Any, tokenizer: Any, read_as: Encode, vectors_of: VectorsOf
) -> None:
    half = copy.deepcopy(encoder).half()
    known = Words({"<x>": vectors_of("blue star")})
    for dialect in ("a1111", "comfy"):
        prompt = "a (<x>:1.4) on (red:0.6)"
        settings = Settings(dialect=dialect, triggers=known)
        with torch.no_grad():
            found = rows(encode(prompt, tokenizer, half, settings))
        expected = rows(read_as(prompt, dialect=dialect, triggers=known))
        assert found.dtype == torch.float32
        assert torch.allclose(found, expected, rtol=0.02, atol=0.05)


def test_an_embedding_of_16_vectors_leaves_59_places(read_as: Encode) -> None:
    known = Words({"<style>": torch.randn(16, 64, generator=torch.Generator().manual_seed(1))})
    found = read_as("<style>", triggers=known)
    assert (found.used, found.left) == (16, 59)
    assert rows(read_as("red " * 59 + "<style>", triggers=known)).shape == (1, 77, 64)
    moved = read_as("red " * 60 + "<style>", triggers=known)
    assert rows(moved).shape == (1, 154, 64)
    assert (moved.used, moved.left) == (76, 59)


def test_an_embedding_that_no_chunk_holds_is_refused(read_as: Encode) -> None:
    known = Words({"<huge>": torch.zeros(76, 64)})
    with pytest.raises(PromptError, match=r"'<huge>' at character 3 has 76 vectors; .* room for 75"):
        read_as("a <huge>", triggers=known)


def test_unknown_triggers_give_warnings_with_similar_names(read_as: Encode, vectors_of: VectorsOf) -> None:
    known = Words({"<cat-toy>": vectors_of("red"), "<cat-bed>": vectors_of("red")})
    found = read_as("a <cat-toi> and <zebra>", triggers=known)
    first, second = map(str, found.warnings)
    assert "<cat-toi>" in first
    assert "<cat-toy>" in first
    assert first.endswith("(character 3)")
    assert "<zebra>" in second
    assert "LoadEmbeddings" in second
    assert torch.equal(rows(found), rows(read_as("a <cat-toi> and <zebra>")))
    left_out = read_as("a embedding:zebra mug", dialect="comfy", triggers=known)
    assert "is left out" in str(left_out.warnings[0])
    assert ids(left_out) == ids(read_as("a mug"))


@pytest.mark.parametrize("dialect", ["a1111", "comfy", "plain", "compel"])
@pytest.mark.parametrize("written", ["embedding:people\\ann", "<people\\ann>"])
def test_a_backslash_in_the_path_of_an_embedding_is_kept(
    read_as: Encode, vectors_of: VectorsOf, dialect: str, written: str
) -> None:
    known = Words({written: vectors_of("red")})
    found = read_as(f"a {written} mug", dialect=dialect, triggers=known)
    assert torch.equal(rows(found), rows(read_as("a red mug", dialect=dialect)))


def test_an_embedding_that_does_not_fit_is_told_and_no_more_than_once(
    read_as: Encode, vectors_of: VectorsOf
) -> None:
    known = Words(
        {"big": "the embedding big.pt has vectors of width 1024; wanted 64", "lent": vectors_of("red")}
    )
    found = read_as("big [big:lent:0.5]", triggers=known)
    assert [str(warning) for warning in found.warnings] == [
        "the embedding big.pt has vectors of width 1024; wanted 64; it is read as words (character 1)",
        "lent is lent (character 10)",
    ]


def test_a_vector_of_another_width_is_refused(read_as: Encode) -> None:
    known = Words({"<x>": torch.zeros(1, 65)})
    with pytest.raises(ValueError, match=r"\[1, 65\], this text encoder needs \[n, 64\]"):
        read_as("<x>", triggers=known)


def test_the_encoder_is_left_as_it_was(read_as: Encode, read: Any) -> None:
    before = read("a red circle").clone()
    read_as("<x> star", triggers=Words({"<x>": torch.ones(3, 64)}))
    assert torch.equal(read("a red circle"), before)


def test_each_reading_of_a_changing_prompt_is_encoded_once(read_as: Encode) -> None:
    found = read_as("[a red:a blue:0.5] [star|ring] AND a mug :0.5")
    changing, still = found.parts
    assert (len(changing.encodings), changing.weight) == (4, 1.0)
    assert (len(still.encodings), still.weight) == (1, 0.5)
    texts = ["a red star", "a red ring", "a blue star", "a blue ring"]
    for encoding, words in zip(changing.encodings, texts, strict=True):
        assert torch.equal(encoding, rows(read_as(words)))
    chosen = [texts[changing.timeline.at(step, 6)] for step in range(6)]
    assert chosen == ["a red star", "a red ring", "a red star", "a blue ring", "a blue star", "a blue ring"]


def test_a_second_encoder_gives_a_pooled_vector_of_the_first_chunk(tokenizer: Any) -> None:
    torch.manual_seed(5)
    config = CLIPTextConfig(
        hidden_size=32, intermediate_size=64, projection_dim=24, num_hidden_layers=3, num_attention_heads=4,
        bos_token_id=49406, eos_token_id=49407,
    )  # fmt: skip
    second = CLIPTextModelWithProjection(config).eval()
    settings = Settings(clip_skip=2, norm=False, encoder="clip_g")
    with torch.no_grad():
        found = encode("a (red:1.4) circle BREAK a star", tokenizer, second, settings)
        expected = second(text.tokenize(tokenizer, "a red circle").ids, output_hidden_states=True)
        plain = encode("a red circle", tokenizer, second, settings)
    assert found.pooled is not None
    assert torch.equal(found.pooled, expected.text_embeds)
    assert torch.equal(rows(plain), expected.hidden_states[-2])
