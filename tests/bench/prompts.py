"""What reading a prompt costs with three embeddings, against compel and against transformers alone."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from tests.bench.bench import ROOT, Row, bench, stopwatch

ROUNDS = 60
VECTORS = {"<mine>": 1, "<toy>": 4, "<style>": 8}
"""Three embeddings, and how many vectors each has."""

PROMPT = "a photo of (<toy>){}1.2{} next to <mine>, (sharp){}1.1{}, in the style of <style>, number {}"
PLAIN = "a photo of a toy next to a thing, sharp, in the style of a picture, number {}"

Read = Callable[[int], Any]


class Three:
    """The embeddings, as our reader asks for them."""

    def __init__(self, vectors: dict[str, Any]) -> None:
        self._vectors = vectors

    def match(self, text: str, at: int) -> tuple[str, int] | None:
        """A trigger is all from `<` to `>`."""
        name = text[at : text.find(">", at) + 1] if text[at] == "<" else ""
        return (name, len(name)) if name in self._vectors else None

    def vectors(self, trigger: str, encoder: str) -> Any:
        """Those of one embedding."""
        return self._vectors[trigger]

    def warnings(self, trigger: str, written: str) -> list[str]:
        """None."""
        return []

    def names(self) -> list[str]:
        """The three triggers."""
        return list(self._vectors)


def ours(tokenizer: Any, encoder: Any, vectors: dict[str, Any], dialect: Any) -> Read:
    """What EncodePrompt does, without the graph around it."""
    from nodes.sd.prompts.encoded import Settings
    from nodes.sd.prompts.encoding import encode

    settings = Settings(dialect=dialect, triggers=Three(vectors))
    colon = ("", "") if dialect == "compel" else (":", ")")
    prompt = PROMPT if dialect == "compel" else PROMPT.replace("){}", "{}")
    return lambda n: (
        encode(prompt.format(*colon, *colon, n), tokenizer, encoder, settings).parts[0].encodings[0]
    )


def compel(tokenizer: Any, encoder: Any, vectors: dict[str, Any]) -> Read:
    """compel around a tokenizer and an encoder that have a token more for each vector.

    Its own manager of embeddings decodes and encodes each text anew, which transformers 5 answers with other
    words where tokens were added; so this one puts the further tokens in place itself, and faster.
    """
    import torch
    from compel import Compel

    words, network = copy.deepcopy(tokenizer), copy.deepcopy(encoder)
    further: dict[int, list[int]] = {}
    for trigger, given in vectors.items():
        first = len(words)
        words.add_tokens([trigger, *(f"{trigger}-{number}" for number in range(1, len(given)))])
        network.resize_token_embeddings(len(words), mean_resizing=False)
        with torch.no_grad():
            network.get_input_embeddings().weight[first:] = given
        further[first] = list(range(first, len(words)))

    class Expanded:
        def expand_textual_inversion_token_ids_if_necessary(self, ids: list[int]) -> list[int]:
            return [token for id in ids for token in further.get(id, [id])]

    reader = Compel(words, network, textual_inversion_manager=Expanded(), truncate_long_prompts=False)
    return lambda n: reader(PROMPT.format("", "", "", "", n))


def plain(tokenizer: Any, encoder: Any) -> Read:
    """transformers alone: one chunk of words of about the same number, no weights, no embeddings."""

    def read(n: int) -> Any:
        ids = tokenizer(PLAIN.format(n), padding="max_length", truncation=True, return_tensors="pt").input_ids
        return encoder(ids).last_hidden_state

    return read


@bench
def prompts() -> Iterator[Row]:
    """All sides in turn, a new prompt each time; medians of CPU time."""
    import torch

    from nodes.sd.models import weights
    from nodes.sd.models.folder import describe_folder
    from nodes.sd.models.tokenizer import load_tokenizer
    from tests.nodes.sd.in_transformers import encoder_of, tokenizer_of

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = describe_folder(ROOT / "nodes" / "sd" / "tiny" / "weights")
    model = load_tokenizer(folder), weights.load_text_encoder(folder)
    oracle = tokenizer_of(folder.path / "tokenizer"), encoder_of(model[1])
    generator = torch.Generator().manual_seed(1)
    vectors = {name: torch.randn(count, 64, generator=generator) for name, count in VECTORS.items()}
    sides = {"ours": ours(*model, vectors, "a1111"), "transformers": plain(*oracle)}
    equal = True
    agreement = ""
    with torch.no_grad():
        if find_spec("compel") is not None:
            sides["compel"] = compel(*oracle, vectors)
            equal = torch.allclose(ours(*model, vectors, "compel")(7), sides["compel"](7), atol=1e-5)
            agreement = f"; in compel's dialect {'' if equal else 'NOT '}equal to compel"
        took: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(-2, ROUNDS):
            for name, read in sides.items():
                with stopwatch() as one:
                    read(number)
                if number >= 0:
                    took[name].append(one.cpu * 1e3)
    torch.set_num_threads(threads)
    mine = statistics.median(took["ours"])
    for peer, limit in (("transformers", 1.5), ("compel", 1.0)):
        if peer in took:
            theirs = statistics.median(took[peer])
            yield Row(
                f"a prompt with 3 embeddings and 2 weights, against {peer}",
                round(mine, 3),
                "ms CPU",
                f"<= {limit:g} of the peer",
                mine <= limit * theirs and equal,
                f"safelight-tiny, {sum(VECTORS.values())} vectors, 1 thread, medians of {ROUNDS} new prompts;"
                f" {peer} {version(peer)}{', words alone' if peer == 'transformers' else ''}{agreement}",
                peer=round(theirs, 3),
                ratio=round(theirs / mine, 3),
            )
