"""What means an embedding in a prompt, and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nodes.sd.embeddings.catalogue import Catalogue, Source
from nodes.sd.formats.embedding import ONLY, Term, Vectors
from nodes.sd.inspection.facts import Facts

WIDTHS = {"clip_l": 768}


def source(
    file: str, *names: str | None, width: int = 768, count: int = 1, folder: str = "", **more: Any
) -> Source:
    shape = Vectors(("t",), count, width)
    terms = tuple(Term(name, {ONLY: shape}) for name in names or (None,))

    def read() -> Mapping[str, Tensor]:
        return {"t": torch.full((count, width), float(len(file)))}

    facts = Facts("embedding", "A1111", terms, **more)
    return Source(file, facts, read, f"digest of {folder}:{file}", folder)


def meant(text: str, *sources: Source) -> list[tuple[str, str]]:
    """What is written for each embedding in a text, and the embedding, from left to right."""
    catalogue = Catalogue(sources, WIDTHS)
    found, at = [], 0
    while at < len(text):
        match = catalogue.match(text, at)
        if match is not None:
            found.append((text[at : at + match[1]], match[0]))
        at += match[1] if match else 1
    return found


CAT = source("cat.pt")


@pytest.mark.parametrize("written", ["cat", "Cat", "<cat>", "<CAT>", "embedding:cat", "embedding:cat.pt"])
def test_every_spelling_of_a_trigger_matches(written: str) -> None:
    for text in (
        written,
        f"a {written}",
        f"{written}, b",
        f"({written})",
        f"[{written}:1]",
        f"a\n{written}!",
    ):
        assert meant(text, CAT) == [(written, "cat.pt")]


@pytest.mark.parametrize(
    "text", ["cats", "zcat", "concatenate", "cat_toy", "scat cats", "猫cat", "cat1", "ca t"]
)
def test_a_trigger_inside_a_word_does_not_match(text: str) -> None:
    assert meant(text, CAT) == []


def test_a_sign_is_a_name_only_where_it_is_marked() -> None:
    assert meant("a , b <,> embedding:,", source(",.pt")) == [("<,>", ",.pt"), ("embedding:,", ",.pt")]
    assert meant("a 😀 <😀>", source("😀.pt")) == [("😀", "😀.pt"), ("<😀>", "😀.pt")]


def test_hyphens_and_signs_end_a_word() -> None:
    assert meant("cat-toy cat's", CAT) == [("cat", "cat.pt"), ("cat", "cat.pt")]


def test_the_longest_of_several_is_meant() -> None:
    sources = source("usada.pt"), source("usada pekora.pt"), source("usada pekora smiling.pt")
    assert meant("usada pekora, usada  Pekora smile, usada", *sources) == [
        ("usada pekora", "usada pekora.pt"),
        ("usada  Pekora", "usada pekora.pt"),
        ("usada", "usada.pt"),
    ]


def test_the_name_in_a_file_and_its_key_count_as_well() -> None:
    concept = source("concepts/cat-toy/learned_embeds.bin", "<cat-toy>")
    for written in ("<cat-toy>", "<Cat-Toy>", "cat-toy", "embedding:cat-toy", "concepts/cat-toy"):
        assert meant(f"a {written} here", concept) == [(written, concept.file)]
    assert meant("MUG", source("x17.pt", "mug")) == [("MUG", "x17.pt")]


def test_the_terms_of_one_file_go_by_their_own_names() -> None:
    both = source("pets.bin", "<cat>", "<dog>")
    assert meant("<dog> <cat> pets", both) == [("<dog>", "pets.bin: <dog>"), ("<cat>", "pets.bin: <cat>")]


def test_names_that_differ_in_case_alone_mean_what_is_written_so() -> None:
    sources = source("Cat.pt"), source("cat.pt")
    assert meant("cat Cat CAT", *sources) == [("cat", "cat.pt"), ("Cat", "Cat.pt"), ("CAT", "Cat.pt")]


def test_two_files_of_one_name_are_both_reached_and_the_clash_is_told() -> None:
    sources = source("cat.pt"), source("old/cat.pt"), source("cat.pt", folder="archive")
    assert meant("cat <old/cat> old/cat embedding:old/cat archive/cat", *sources) == [
        ("cat", "cat.pt"),
        ("<old/cat>", "old/cat.pt"),
        ("old/cat", "old/cat.pt"),
        ("embedding:old/cat", "old/cat.pt"),
        ("archive/cat", "cat.pt'"),
    ]
    catalogue = Catalogue(sources, WIDTHS)
    for written, ways in (
        ("cat", ("'old/cat'", "'archive/cat'")),
        ("Cat", ("'old/cat'", "'archive/cat'")),
        ("<cat>", ("'<old/cat>'", "'<archive/cat>'")),
        ("embedding:cat", ("'embedding:old/cat'", "'embedding:archive/cat'")),
    ):
        messages = catalogue.warnings("cat.pt", written)
        assert len(messages) == len(ways)
        for message, way in zip(messages, ways, strict=True):
            assert "cat.pt" in message
            assert way in message
    assert catalogue.warnings("old/cat.pt", "<old/cat>") == []


def test_a_second_file_with_the_same_token_is_told() -> None:
    sources = source("a.bin", "<toy>"), source("b.bin", "<toy>")
    catalogue = Catalogue(sources, WIDTHS)
    assert meant("<toy>", *sources) == [("<toy>", "a.bin")]
    (message,) = catalogue.warnings("a.bin", "<toy>")
    assert "b.bin" in message
    assert "'<b>'" in message
    assert catalogue.warnings("a.bin", "<a>") == []
    several = source("c.bin", "<toy>", "<dog>"), source("d.bin", "<toy>", "<fox>")
    (message,) = Catalogue(several, WIDTHS).warnings("c.bin: <toy>", "<toy>")
    assert "d.bin" in message


@pytest.mark.parametrize("written", ["people\\ann", "<people\\ann>", "embedding:people\\ann"])
def test_a_sub_folder_may_be_written_with_either_slash(written: str) -> None:
    sources = source("ann.pt"), source("people/ann.pt")
    for spelling in (written, written.replace("\\", "/")):
        assert meant(f"a {spelling}", *sources) == [(spelling, "people/ann.pt")]
    assert Catalogue(sources, WIDTHS).sources_of("people/ann.pt", written) == {1}


def test_a_stem_goes_before_a_name_inside_another_file() -> None:
    sources = source("a.pt", "cat"), source("cat.pt")
    assert meant("cat", *sources) == [("cat", "cat.pt")]
    assert meant("a", *sources) == [("a", "a.pt")]


def test_equal_files_do_not_clash() -> None:
    first, second = source("cat.pt"), source("b/cat.pt")
    same = Source(second.file, second.facts, second.read, first.digest)
    assert Catalogue([first, same], WIDTHS).warnings("cat.pt", "cat") == []


def test_vectors_come_as_wide_as_the_encoder_reads() -> None:
    catalogue = Catalogue([source("cat.pt", count=3), source("wide.pt", width=1024, base="SD 2")], WIDTHS)
    assert torch.equal(catalogue.vectors("cat.pt", "clip_l"), torch.full((3, 768), 6.0))
    with pytest.raises(ValueError, match=r"wide\.pt has vectors of width 1024 \(SD 2\); .* needs 768"):
        catalogue.vectors("wide.pt", "clip_l")


def test_a_broken_file_is_named_by_whoever_means_it() -> None:
    broken = Source("cat.pt", Facts("unknown", code="bad", message="is cut short"), dict, "d")
    catalogue = Catalogue([broken], WIDTHS)
    match = catalogue.match("a cat", 2)
    assert match is not None
    with pytest.raises(ValueError, match=r"cat\.pt cannot be used: it is cut short"):
        catalogue.vectors(match[0], "clip_l")


def test_a_lora_among_them_does_not_take_a_plain_word() -> None:
    lora = Source("cat.safetensors", Facts("lora"), dict, "d")
    assert meant("cat <cat>", lora) == [("<cat>", "cat.safetensors")]


def test_two_files_of_diffusers_are_the_halves_of_one_embedding() -> None:
    halves = [
        Source(f"mug/learned_embeds{end}.safetensors", Facts("embedding", "diffusers", (term,)), read, end)
        for end, term, read in (
            ("", Term("<mug>", {ONLY: Vectors(("t",), 1, 768)}), lambda: {"t": torch.zeros(1, 768)}),
            ("_2", Term("<mug>", {ONLY: Vectors(("t",), 1, 1280)}), lambda: {"t": torch.ones(1, 1280)}),
        )
    ]
    catalogue = Catalogue(halves, {"clip_l": 768, "clip_g": 1280})
    match = catalogue.match("<mug>", 0)
    assert match is not None
    assert catalogue.vectors(match[0], "clip_l").shape == (1, 768)
    assert torch.equal(catalogue.vectors(match[0], "clip_g"), torch.ones(1, 1280))
    assert catalogue.warnings(match[0], "<mug>") == []


def test_another_base_model_is_told_by_both_names() -> None:
    trained = source("cat.pt", base_hash="cc6cb27103", base_name="v1-5-pruned")
    (message,) = Catalogue([trained], WIDTHS, ("tiny", "ab" * 32)).warnings("cat.pt", "cat")
    assert "v1-5-pruned [cc6cb27103]" in message
    assert "tiny" in message
    assert Catalogue([trained], WIDTHS, ("x", "cc6cb27103" + "0" * 54)).warnings("cat.pt", "cat") == []


NAMES = ["cat", "cat toy", "a-b", "<x>", "naïve", "c's"]


@given(st.lists(st.sampled_from([*NAMES, "cats", " ", ", ", "(", "<", ">", "-", "toy", "b"]), max_size=12))
def test_catalogue_matches_a_naive_search(words: list[str]) -> None:
    """Against a search that tries every name at every place, spelt as the rule is."""
    text = "".join(words)
    sources = [source(f"{number}/{name}.pt") for number, name in enumerate(NAMES)]
    known = {trigger: id for id, trigger in _spelt(sources)}
    expected, at = [], 0
    while at < len(text):
        fits = [
            name
            for name in known
            if text.startswith(name, at) and not _in_word(text, at) and not _in_word(text, at + len(name))
        ]
        best = max(fits, key=len, default="")
        if best:
            expected.append((best, known[best]))
        at += len(best) or 1
    assert meant(text, *sources) == expected


def _spelt(sources: list[Source]) -> list[tuple[str, str]]:
    found = []
    for each in sources:
        folder, _, stem = each.file.removesuffix(".pt").partition("/")
        bare = [stem, f"{folder}/{stem}"]
        found += [(each.file, text) for name in bare for text in (name, f"<{name}>", f"embedding:{name}")]
    return found


def _in_word(text: str, at: int) -> bool:
    return 0 < at < len(text) and text[at - 1].isalnum() and text[at].isalnum()
