"""Names of the files of trained results, which are refused if a file would need another name."""

from __future__ import annotations

import pytest

from engine.errors import NodeError
from engine.session import Session
from engine.testing import run_node
from nodes.files.new_file import LONGEST_NAME, require_file_name
from nodes.model.embeddings import SaveEmbedding
from nodes.model.save_hypernetwork import SaveHypernetwork
from nodes.model.save_lora import SaveLoRA
from nodes.sd.embeddings.embedding import Embedding
from nodes.sd.hypernetworks.hypernetwork_value import Hypernetwork
from nodes.sd.hypernetworks.layout import Layout
from nodes.sd.lora.lora_value import LoRA

UNUSABLE = [
    "../../x",
    "a b:c",
    "",
    " ",
    " a",
    "a.",
    "..",
    "a/b",
    "a\\b",
    "<a>",
    "a\0",
    "x" * (LONGEST_NAME + 1),
]


@pytest.mark.parametrize("name", ["lumo", "my style_2.1-b", "Möwe", "花", "x" * LONGEST_NAME])
def test_a_usable_name_stays_as_it_is(name: str) -> None:
    assert require_file_name(name, input="name") == name


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_name_that_would_be_changed_is_refused(name: str) -> None:
    with pytest.raises(NodeError) as caught:
        require_file_name(name, input="name")
    assert (caught.value.code, caught.value.input) == ("bad_name", "name")


@pytest.mark.parametrize(
    ("node", "input"),
    [
        (SaveEmbedding(embedding=Embedding("a b:c", {})), "embedding"),
        (SaveLoRA(lora=LoRA("../../x", {}, {})), "lora"),
        (
            SaveHypernetwork(hypernetwork=Hypernetwork("a/b", {}, Layout(), "Normal", 0, "", "", {})),
            "hypernetwork",
        ),
    ],
)
def test_no_file_is_saved_under_a_changed_name(
    session: Session, node: SaveEmbedding | SaveLoRA | SaveHypernetwork, input: str
) -> None:
    with pytest.raises(NodeError) as caught:
        run_node(session, node)
    assert (caught.value.code, caught.value.input) == ("bad_name", input)
    assert not list(session.files.outputs.rglob("*"))
