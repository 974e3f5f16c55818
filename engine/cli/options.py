"""A graph's inputs as options: `--prompt TEXT`, `--steps 20`, `--tiled`, and `--set node.input=VALUE`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine import strict_json
from engine.check import upgraded
from engine.errors import GraphError, Problem
from engine.graph import Graph, GraphInput, Literal
from engine.paths import expanded
from engine.registry import near
from engine.values import Json
from engine.widgets import SEED_MAX

if TYPE_CHECKING:
    from engine.registry import Registry

OWN = frozenset("all debug device events help home json out quiet set sweep to trace version".split())
"""Options of Safelight itself; a graph input of such a name is given as `--input.NAME`."""

TRUE, FALSE = ("true", "yes"), ("false", "no")

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,300}(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE | re.ASCII)


def flag(name: str) -> str:
    """The option that gives the graph input of this name."""
    return f"--input.{name}" if name in OWN else f"--{name.replace('_', '-')}"


def parse(graph: Graph, words: Sequence[str]) -> dict[str, Json]:
    """Values for a graph's inputs from the words of a command line.

    Raises:
        GraphError: with every problem found: unknown options, missing and unfitting values.
    """
    known = _options(graph)
    values: dict[str, Json] = {}
    found: list[Problem] = []
    ahead = list(words)
    while ahead:
        word = ahead.pop(0)
        option, inline, text = word.partition("=")
        if not word.startswith("--") or option not in known:
            found.append(_unknown(option if word.startswith("--") else word, known))
            if ahead and word.startswith("--") and not inline and not ahead[0].startswith("--"):
                ahead.pop(0)  # most likely its value
            continue
        name, wanted = known[option]
        item = graph.inputs[name]
        if item.type == "bool" and not inline:
            says = bool(ahead) and ahead[0].lower() in TRUE + FALSE and wanted
            text = ahead.pop(0) if says else str(wanted).lower()
        elif not inline:
            if not ahead or ahead[0].partition("=")[0] in known:
                hint = f"write {option}=VALUE"
                found.append(Problem("missing_value", f"{option} has no value", hint=hint))
                continue
            text = ahead.pop(0)
        elif not wanted:
            found.append(Problem("bad_option", f"{option} takes no value", hint=f"write {option} alone"))
            continue
        try:
            values[name] = value(item, text)
        except ValueError as error:
            message, *hints = error.args
            found.append(Problem("invalid_value", f"{option} {message}", hint=next(iter(hints), None)))
    if found:
        raise GraphError(found)
    return values


def _options(graph: Graph) -> dict[str, tuple[str, bool]]:
    """Each option with its input, and what it says of a bool; where two claim a word, the exact name wins."""
    known: dict[str, tuple[str, bool]] = {}
    for name, item in graph.inputs.items():
        for spelling in (name.replace("_", "-"), name.replace("-", "_")):
            known.setdefault(f"--{spelling}", (name, True))
            if item.type == "bool":
                known.setdefault(f"--no-{spelling}", (name, False))
    for name in graph.inputs:
        known[f"--{name}"] = known[f"--input.{name}"] = (name, True)
    return {option: meant for option, meant in known.items() if option[2:] not in OWN}


def _unknown(word: str, known: Mapping[str, object]) -> Problem:
    if not word.startswith("--"):
        return Problem("bad_option", f"{word!r} belongs to no option", hint="quote text that has spaces")
    if word[2:] in OWN:
        message = f"{word} is no option of this command"
        hint = f"to fill the graph's input write --input.{word[2:]}"
        return Problem("unknown_option", message, hint=hint if f"--input.{word[2:]}" in known else None)
    shown = [option for option in known if not option.startswith("--input.")]
    listed = f"the graph has {', '.join(shown)}" if shown else "the graph has no inputs"
    return Problem("unknown_option", f"there is no option {word}", hint=near(word, shown) or listed)


def value(item: GraphInput, text: str) -> Json:
    """The value for an input that a word stands for.

    Raises:
        ValueError: it stands for none; with a message and perhaps a hint.
    """
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("is not valid UTF-8 text")
    match item.type:
        case "seed" | "int":
            if not _WHOLE.fullmatch(text):
                raise ValueError(f"takes a whole number, not {text!r}")
            number = int(text)
            if item.type == "seed" and not 0 <= number <= SEED_MAX:
                raise ValueError(f"is {number}, which is no seed", f"use 0 to {SEED_MAX}")
            return number
        case "float":
            if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
                raise ValueError(f"takes a number, not {text!r}")
            return float(text)
        case "bool":
            if text.lower() not in TRUE + FALSE:
                raise ValueError(f"is {text!r}", "write true or false")
            return text.lower() in TRUE
        case "choice":
            choices = {str(choice): choice for choice in item.choices}
            if text not in choices:
                raise ValueError(f"is {text!r}", near(text, choices) or f"choose one of {', '.join(choices)}")
            return choices[text]
        case "file":
            try:
                return str(expanded(text)) if text.startswith("~") else text
            except GraphError as error:
                raise ValueError(
                    f"takes a path: {error.problems[0].message}", error.problems[0].hint
                ) from None
        case _ if is_json(item):
            try:
                tree: Json = strict_json.parse(text)
            except GraphError as error:
                raise ValueError(f"takes JSON: {error.problems[0].message}") from None
            return tree
    return text


def is_json(item: GraphInput) -> bool:
    """True if the values for an input are written as JSON: anything, or lists of a type."""
    return item.type == "json" or item.type.startswith("list of ")


def with_sets(graph: Graph, sets: Sequence[str], registry: Registry) -> Graph:
    """The graph with single inputs set by hand, each as `node.input=VALUE`.

    VALUE is JSON if it reads as JSON and the input takes anything but text; else it is the text as it stands.

    Raises:
        GraphError: with every one that has no such node, is not written like this, or whose node was saved by
            an older version of its type and cannot be brought to this one.
    """
    nodes = dict(graph.nodes)
    found: list[Problem] = []
    for item in sets:
        place, separator, text = item.partition("=")
        node, dot, name = place.partition(".")
        if not separator or not dot or not name:
            hint = "write --set node.input=VALUE"
            found.append(Problem("bad_option", f"--set {item!r} names no input", hint=hint))
            continue
        if node not in nodes:
            hint_near = near(node, nodes)
            found.append(Problem("unknown_node", f"--set: there is no node {node!r}", hint=hint_near))
            continue
        entry = nodes[node]
        node_type = registry.types.get(entry.name)
        if node_type is not None:
            try:
                entry = upgraded(node, entry, node_type)
            except GraphError as error:
                found += error.problems
                continue
        known = node_type.inputs.get(name) if node_type is not None else None
        is_text = known is not None and str(known.wire) == "text"
        value = Literal(text if is_text else _json_or_text(text))
        nodes[node] = replace(entry, inputs={**entry.inputs, name: value})
    if found:
        raise GraphError(found)
    return replace(graph, nodes=nodes)


def _json_or_text(text: str) -> Json:
    try:
        tree: Json = strict_json.parse(text)
    except GraphError:
        return text
    return tree


def described(item: GraphInput) -> str:
    """What an option takes, in a word."""
    match item.type:
        case "choice":
            return "|".join(map(str, item.choices))
        case "bool":
            return "true|false"
        case "seed" | "int":
            return "NUMBER"
        case "float":
            return "DECIMAL"
        case "file":
            return "PATH"
    return "JSON" if is_json(item) else item.type.upper()
