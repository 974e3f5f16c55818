"""LoadText: reads a text file, such as a list of prompts or the template of a training."""

from __future__ import annotations

from typing import Annotated

from engine.context import Context
from engine.files import Files
from engine.node import Node
from engine.values import Json
from engine.widgets import FileIn
from nodes.files.text_files import read_text

KIND = "inputs"


class LoadText(Node, category="prompt", aliases=("ReadTextFile",)):
    """Load the text of a file.

    Connect it to `template_text` of a training, to a prompt, or to Lines for a list of its lines.
    """

    file: Annotated[str, FileIn(KIND)]
    """The name of a file in the `inputs` folder, or a path. Text in UTF-8, at most 4 MB."""

    def fingerprint(self, files: Files) -> Json:
        """Return the digest of the file, so that a changed file gives a new result.

        Raises:
            NodeError: there is no such file.
        """
        return files.digest(files.find(KIND, self.file))

    def run(self, ctx: Context) -> str:
        """Read the file.

        Raises:
            NodeError: the file cannot be read, is too large, or is not text.
        """
        with ctx.files.unchanged():
            return read_text(ctx.files.find(KIND, self.file), input="file")
