"""The initial vectors of a text: A1111's rule for texts that are shorter or longer than the embedding."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nodes.sd.fine_tuning.initial_vectors import initial_vectors


class Encoder:
    """A text encoder whose vector for each token is its number."""

    def get_input_embeddings(self) -> Any:
        table = torch.nn.Embedding(50_000, 4)
        table.weight.data = torch.arange(50_000.0)[:, None].expand(-1, 4)
        return table


@pytest.mark.parametrize(
    ("text", "count", "places"),
    [
        ("red square", 4, [0, 0, 1, 1]),
        ("red square", 3, [0, 0, 1]),
        ("red square", 1, [0]),
        ("red blue square", 2, [0, 1]),
        ("red blue square", 0, [0, 1, 2]),
        ("red", 75, [0] * 75),
    ],
)
def test_vector_i_is_that_of_token_i_t_over_n(
    tokenizer: Any, text: str, count: int, places: list[int]
) -> None:
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert len(ids) == len(text.split())
    found = initial_vectors(tokenizer, Encoder(), text, count)
    assert found[:, 0].tolist() == [ids[place] for place in places]


def test_an_empty_text_gives_zeros(tokenizer: Any) -> None:
    found = initial_vectors(tokenizer, Encoder(), "", 3)
    assert found.shape == (3, 4)
    assert not found.any()


@pytest.mark.parametrize("text", ["", "red " * 76])
def test_the_number_of_vectors_must_be_given_for_an_empty_or_a_long_text(tokenizer: Any, text: str) -> None:
    with pytest.raises(ValueError, match="number of vectors"):
        initial_vectors(tokenizer, Encoder(), text, 0)
