"""Converts the prompts of ComfyUI's nodes into EncodePrompt."""

from __future__ import annotations

from engine.document.graph import Entry, Literal
from nodes.interchange.comfyui.conversion import ComfyConversion
from nodes.interchange.comfyui.graph_data import ComfyNode
from nodes.interchange.comfyui.prompt_text import resolve_prompt
from nodes.interchange.graph_from_settings import entry
from nodes.interchange.import_problems import one_line
from nodes.prompt.encode_prompt import EncodePrompt

_SHOWN_CHOICES = 3


def encoded_prompt(made: ComfyConversion, node: ComfyNode, name: str = "text") -> Entry:
    """Make an EncodePrompt node for the text at an input of a ComfyUI node."""
    text = made.bind(node, name)
    if isinstance(text, Literal) and isinstance(text.value, str) and not made.is_from_server(node, name):
        text = Literal(_resolved(made, text.value))
    words = text.value if isinstance(text, Literal) and isinstance(text.value, str) else ""
    return entry(
        EncodePrompt,
        encoder=made.encoder_with_embeddings(made.bind(node, "clip"), words),
        prompt=text,
        dialect="comfy",
        clip_skip=made.clip_skip(node),
    )


def _resolved(made: ComfyConversion, text: str) -> str:
    """Return a prompt as ComfyUI's editor sends it to the server; warns if it has random choices."""
    resolved = resolve_prompt(text)
    if resolved.choices:
        shown = ", ".join(map(one_line, resolved.choices[:_SHOWN_CHOICES]))
        more = len(resolved.choices) - _SHOWN_CHOICES
        shown += f" and {more} more" if more > 0 else ""
        made.problems.warn(
            "first_choice",
            f"the first option of {shown} is used in a prompt; ComfyUI draws one at random in each run",
            "change the prompt to use another option, or use DynamicPrompt",
        )
    return resolved.text
