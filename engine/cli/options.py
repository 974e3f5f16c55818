"""Reads a graph's inputs from options (`--prompt TEXT`, `--steps 20`, `--tiled`), and `--set` and `--off`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine import strict_json
from engine.check.upgrade import upgraded
from engine.document.graph import Graph, GraphInput, Literal
from engine.document.random_seeds import RANDOM
from engine.errors import GraphError, Problem
from engine.near_names import near
from engine.paths import expanded
from engine.values import Json
from engine.widgets import SEED_MAX

if TYPE_CHECKING:
    from engine.packs.registry import Registry

OWN = frozenset(
    "all debug device events format help home json no-metadata off out previews quiet set sweep to trace "
    "version".split()
)
"""Options of Safelight itself; a graph input of the same name is written as `--input.NAME`."""

TRUE, FALSE = ("true", "yes"), ("false", "no")

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,300}(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE | re.ASCII)


def flag(name: str) -> str:
    """Return the option for the graph input of this name, such as `--prompt`."""
    return f"--input.{name}" if name in OWN else f"--{name.replace('_', '-')}"


def parse(graph: Graph, words: Sequence[str]) -> dict[str, Json]:
    """Read the values of a graph's inputs from the words of a command line.

    Raises:
        GraphError: an option is unknown, a value is missing, or a value does not fit.
    """
    known = _options(graph)
    values: dict[str, Json] = {}
    problems: list[Problem] = []
    ahead = list(words)
    while ahead:
        word = ahead.pop(0)
        option, inline, text = word.partition("=")
        if not word.startswith("--") or option not in known:
            problems.append(_unknown(option if word.startswith("--") else word, known))
            if ahead and word.startswith("--") and not inline and not ahead[0].startswith("--"):
                ahead.pop(0)  # probably its value
            continue
        name, meaning = known[option]
        item = graph.inputs[name]
        if item.type == "bool" and not inline:
            has_value = bool(ahead) and ahead[0].lower() in TRUE + FALSE and meaning
            text = ahead.pop(0) if has_value else str(meaning).lower()
        elif not inline:
            if not ahead or ahead[0].partition("=")[0] in known:
                hint = f"write {option}=VALUE"
                problems.append(Problem("missing_value", f"{option} has no value", hint=hint))
                continue
            text = ahead.pop(0)
        elif not meaning:
            problems.append(Problem("bad_option", f"{option} takes no value", hint=f"write {option} alone"))
            continue
        try:
            values[name] = value(item, text)
        except ValueError as error:
            message, *hints = error.args
            problems.append(Problem("invalid_value", f"{option} {message}", hint=next(iter(hints), None)))
    if problems:
        raise GraphError(problems)
    return values


def _options(graph: Graph) -> dict[str, tuple[str, bool]]:
    """Map each option to the name of its input and the value of a switch, which is False for `--no-NAME`. An
    input's exact name has priority over other spellings."""
    known: dict[str, tuple[str, bool]] = {}
    for name, item in graph.inputs.items():
        for spelling in (name.replace("_", "-"), name.replace("-", "_")):
            known.setdefault(f"--{spelling}", (name, True))
            if item.type == "bool":
                known.setdefault(f"--no-{spelling}", (name, False))
    for name in graph.inputs:
        known[f"--{name}"] = known[f"--input.{name}"] = (name, True)
    return {option: target for option, target in known.items() if option[2:] not in OWN}


def _unknown(word: str, known: Mapping[str, object]) -> Problem:
    if not word.startswith("--"):
        return Problem(
            "bad_option", f"{word!r} does not belong to an option", hint="put quotes around text with spaces"
        )
    if word[2:] in OWN:
        message = f"this command has no option {word}"
        hint = f"for the graph's input write --input.{word[2:]}"
        return Problem("unknown_option", message, hint=hint if f"--input.{word[2:]}" in known else None)
    shown = [option for option in known if not option.startswith("--input.")]
    listed = f"its options are {', '.join(shown)}" if shown else "it has no inputs"
    return Problem("unknown_option", f"the graph has no option {word}", hint=near(word, shown) or listed)


def value(item: GraphInput, text: str) -> Json:
    """Convert a text from the command line to a value for a graph input.

    Raises:
        ValueError: the text does not fit the input. Its arguments are a message without a subject, and a hint
            if there is one.
    """
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("is not valid UTF-8 text")
    match item.type:
        case "seed" if text.lower() in (RANDOM, "-1"):  # -1 as in A1111
            return RANDOM
        case "seed" | "int":
            if not _WHOLE.fullmatch(text):
                raise ValueError(f"must be a whole number, not {text!r}")
            number = int(text)
            if item.type == "seed" and not 0 <= number <= SEED_MAX:
                raise ValueError(f"must be a seed from 0 to {SEED_MAX} or {RANDOM}, not {number}")
            return number
        case "float":
            if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
                raise ValueError(f"must be a number, not {text!r}")
            return float(text)
        case "bool":
            if text.lower() not in TRUE + FALSE:
                raise ValueError(f"must be true or false, not {text!r}")
            return text.lower() in TRUE
        case "choice":
            choices = {str(choice): choice for choice in item.choices}
            if text not in choices:
                hint = near(text, choices) or f"choose one of {', '.join(choices)}"
                raise ValueError(f"cannot be {text!r}", hint)
            return choices[text]
        case "file":
            try:
                return str(expanded(text)) if text.startswith("~") else text
            except GraphError as error:
                raise ValueError(
                    f"must be a path: {error.problems[0].message}", error.problems[0].hint
                ) from None
        case _ if is_json(item):
            try:
                tree: Json = strict_json.parse(text)
            except GraphError as error:
                raise ValueError(f"must be JSON: {error.problems[0].message}") from None
            return tree
    return text


def is_json(item: GraphInput) -> bool:
    """Return True if the values of an input are written as JSON, as for lists and inputs of type `json`."""
    return item.type == "json" or item.type.startswith("list of ")


def with_sets(graph: Graph, sets: Sequence[str], registry: Registry) -> Graph:
    """Return a copy of a graph with inputs of nodes set as `--set NODE.INPUT=VALUE` says.

    VALUE is read as JSON if it is valid JSON and the input's type is not text; otherwise as text.

    Raises:
        GraphError: an option has another form, names an unknown node, or names a node of an older version
            that cannot be upgraded.
    """
    nodes = dict(graph.nodes)
    problems: list[Problem] = []
    for item in sets:
        place, separator, text = item.partition("=")
        node, dot, name = place.partition(".")
        if not separator or not dot or not name:
            hint = "write --set NODE.INPUT=VALUE, such as --set denoise.steps=30"
            problems.append(Problem("bad_option", f"--set {item!r} is not NODE.INPUT=VALUE", hint=hint))
            continue
        if node not in nodes:
            problems.append(_no_node("--set", node, nodes))
            continue
        entry = nodes[node]
        node_type = registry.types.get(entry.name)
        if node_type is not None:
            try:
                entry = upgraded(node, entry, node_type)
            except GraphError as error:
                problems += error.problems
                continue
        known = node_type.inputs.get(name) if node_type is not None else None
        is_text = known is not None and str(known.wire) == "text"
        value = Literal(text if is_text else _json_or_text(text))
        nodes[node] = replace(entry, inputs={**entry.inputs, name: value})
    if problems:
        raise GraphError(problems)
    return replace(graph, nodes=nodes)


def with_off(graph: Graph, off: Sequence[str]) -> Graph:
    """Return a copy of a graph with the nodes of `--off NODE` switched off.

    Raises:
        GraphError: an option names an unknown node.
    """
    if problems := [_no_node("--off", node, graph.nodes) for node in off if node not in graph.nodes]:
        raise GraphError(problems)
    nodes = {name: replace(entry, off=True) if name in off else entry for name, entry in graph.nodes.items()}
    return replace(graph, nodes=nodes)


def _no_node(option: str, node: str, nodes: Mapping[str, object]) -> Problem:
    hint = near(node, nodes) or f"the nodes are {', '.join(nodes)}"
    return Problem("unknown_node", f"{option}: the graph has no node {node!r}", hint=hint)


def _json_or_text(text: str) -> Json:
    try:
        tree: Json = strict_json.parse(text)
    except GraphError:
        return text
    return tree


def described(item: GraphInput) -> str:
    """Return the type of an option's value as one word, for the help."""
    match item.type:
        case "choice":
            return "|".join(map(str, item.choices))
        case "bool":
            return "true|false"
        case "seed":
            return f"NUMBER|{RANDOM}"
        case "int":
            return "NUMBER"
        case "float":
            return "DECIMAL"
        case "file":
            return "PATH"
    return "JSON" if is_json(item) else item.type.upper()
