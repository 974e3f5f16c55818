"""ReplaceText: replaces words in a text, such as a placeholder in a prompt."""

from __future__ import annotations

from engine.context import Context
from engine.node import Node
from engine.widgets import Text


class ReplaceText(
    Node,
    category="prompt",
    passes={"out": "text"},
    aliases=("StringReplace", "JoinText", "StringConcatenate"),
):
    """Replace words in a text, such as a placeholder in a prompt.

    With `a <[name]> on a table`, `[name]` and a connected name, the prompt has the name of a trained word.
    """

    text: Text
    """The text, or a list of texts."""
    find: str = "[name]"
    """What to replace, wherever it stands; small and capital letters differ. Empty: nothing."""
    replace: str = ""
    """What to put in its place."""

    def run(self, ctx: Context) -> str:
        return self.text.replace(self.find, self.replace) if self.find else self.text
