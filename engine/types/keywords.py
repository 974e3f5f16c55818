"""Reads and checks the class keywords of a node, such as `category` and `version`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from engine.types.bad_node import BadNode
from engine.types.inputs import Input
from engine.types.wires import Wire

MAX_VERSION = 999_999


@dataclass(frozen=True)
class Keywords:
    """The values of the class keywords; `engine.node.Node` documents each."""

    category: str = "other"
    version: int = 1
    pure: bool = True
    accelerator: bool = False
    libraries: tuple[str, ...] = ()
    extends: tuple[str, ...] = ()
    returns_graph: bool = False
    previews: bool = False
    passes: Mapping[str, str] = field(default_factory=dict)
    converts: bool | str = False
    aliases: tuple[str, ...] = ()
    deprecated: str = ""
    replaced_by: str = ""


def read_keywords(cls: str, given: Mapping[str, object]) -> Keywords:
    """Read and check the class keywords of a node class.

    Args:
        cls: the name of the class.
        given: the keywords in its `class` line, with their values.

    Raises:
        BadNode: a keyword is unknown or its value is of the wrong type.
    """
    unknown = [word for word in given if word not in _NAMES]
    if unknown:
        raise unknown_keyword(cls, unknown)
    keywords = Keywords(**given)  # type: ignore[arg-type]
    version = keywords.version
    if type(version) is not int or not 1 <= version <= MAX_VERSION:
        raise BadNode(cls, f"version is {version!r}; use a whole number of at least 1")
    for word, example in (
        ("libraries", '("torch",)'),
        ("aliases", '("KSampler",)'),
        ("extends", '("steps",)'),
    ):
        value = getattr(keywords, word)
        if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
            raise BadNode(cls, f"{word} is {value!r}; write a tuple of texts, such as {example}")
    if not isinstance(keywords.category, str):
        raise BadNode(cls, f'category is {keywords.category!r}; write text, such as "image"')
    if not isinstance(keywords.deprecated, str) or not isinstance(keywords.replaced_by, str):
        raise BadNode(cls, 'deprecated and replaced_by are text, such as deprecated="use Upscale2"')
    if not isinstance(keywords.passes, Mapping):
        raise BadNode(cls, f'passes is {keywords.passes!r}; write a dict, such as {{"out": "image"}}')
    return keywords


_NAMES = [item.name for item in fields(Keywords)]


def unknown_keyword(cls: str, words: list[str]) -> BadNode:
    """Make the error for unknown class keywords."""
    known = f"{', '.join(_NAMES[:-1])} and {_NAMES[-1]}"
    return BadNode(cls, f"unknown class keyword {', '.join(words)}; the keywords are {known}")


def converted_input(
    cls: str, converts: bool | str, inputs: Mapping[str, Input], outputs: Mapping[str, Wire]
) -> str | None:
    """Return the name of the input that a conversion node converts; None if the node is no conversion.

    The class keyword `converts` names it, or is True if the node has one required input.

    Raises:
        BadNode: the keyword does not determine one required input, or the node does not have one output.
    """
    if converts is False:
        return None
    if len(outputs) != 1:
        raise BadNode(cls, f"converts is for nodes with one output; this one has {len(outputs)}")
    required = [name for name, item in inputs.items() if item.required and not item.lazy]
    if converts is True and len(required) == 1:
        return required[0]
    if converts in required:
        return str(converts)
    which = f'; say which one, such as converts="{required[0]}"' if required else ""
    raise BadNode(cls, f"converts={converts!r} does not determine one required input{which}")


def check_extends(cls: str, extends: tuple[str, ...], inputs: Mapping[str, Input]) -> None:
    """Check that the class keyword `extends` names only inputs of the node.

    Raises:
        BadNode: there is no input of that name.
    """
    unknown = [name for name in extends if name not in inputs]
    if unknown:
        raise BadNode(
            cls, f"extends names {unknown[0]!r}, which is not an input; the inputs are {', '.join(inputs)}"
        )


def check_passes(
    cls: str, passes: Mapping[str, str], inputs: Mapping[str, Input], outputs: Mapping[str, Wire]
) -> None:
    """Check that each output in the class keyword `passes` can be replaced by the given input.

    Raises:
        BadNode: a name does not exist, or the types do not fit.
    """
    for output, input in passes.items():
        if output not in outputs or input not in inputs:
            raise BadNode(
                cls,
                f"passes has {output!r}: {input!r}; write an output"
                f" ({', '.join(outputs)}) and the input that replaces it ({', '.join(inputs)})",
            )
        if not inputs[input].wire.fits(outputs[output]):
            raise BadNode(
                cls,
                f"passes replaces {output} by {input},"
                f" but {output} is {outputs[output]} and {input} is {inputs[input].wire}",
            )
