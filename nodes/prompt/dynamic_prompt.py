"""DynamicPrompt and ApplyStyles: prompts with random choices, and A1111's styles."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from engine.context import Context
from engine.errors import NodeError
from engine.files import Files
from engine.near_names import near
from engine.node import Node
from engine.values import Json
from engine.widgets import FileIn, Seed, Text
from nodes.files.text_files import STYLES, WILDCARDS, WildcardFiles, read_text
from nodes.node_problem import node_problem
from nodes.sd.prompts.dynamic import choose
from nodes.sd.prompts.styles import Style, add_styles, read_styles


class DynamicPrompt(Node, category="prompt", passes={"out": "prompt"}, aliases=("Wildcards", "RandomPrompt")):
    r"""Replace random choices in a prompt: `{red|green}` and `__colour__` (wildcard files).

    `{2$$a|b|c}` takes two of the options, `{2::a|b}` prefers `a`, and `__colour__` is a line of `colour.txt`.
    Write `\{` and `\}` for braces. The same seed gives the same prompt.
    """

    prompt: Text = ""
    """The prompt with its choices."""
    seed: Seed = 0
    """The seed of the choices. Another seed gives other choices; connect Seeds for several prompts."""
    wildcards: Annotated[str, FileIn(WILDCARDS)] = ""
    """A wildcard file or a folder of them: text files with one option per line. Empty: all files in
    `models/wildcards` and the further wildcard folders of the settings."""

    def fingerprint(self, files: Files) -> Json:
        """Return the names and digests of the wildcard files that are read, so that a change is noticed.

        Raises:
            NodeError: the prompt cannot be read, or a wildcard file is missing or unusable.
        """
        return [[name, files.digest(path)] for name, path in self._choose(files)[1].used.items()]

    def run(self, ctx: Context) -> str:
        return self._choose(ctx.files)[0]

    def _choose(self, files: Files) -> tuple[str, WildcardFiles]:
        wildcards = WildcardFiles(files, self.wildcards)
        with node_problem(input="prompt"):
            return choose(self.prompt, self.seed, wildcards.lines), wildcards


class Styled(NamedTuple):
    """A prompt and a negative prompt with styles added."""

    prompt: str
    negative: str


class ApplyStyles(Node, category="prompt", passes={"prompt": "prompt", "negative": "negative"}):
    """Add styles from A1111's `styles.csv` to a prompt and a negative prompt."""

    prompt: Text = ""
    negative: Text = ""
    styles: list[str] = []  # noqa: RUF012  # pydantic copies defaults
    """The names of the styles, applied in this order."""
    file: Annotated[str, FileIn(STYLES)] = "styles.csv"
    """The styles file: the name of a file in `models/styles`, or a path."""

    def fingerprint(self, files: Files) -> Json:
        """Return the digest of the styles file, so that a changed file gives a new result.

        Raises:
            NodeError: there is no such file.
        """
        return files.digest(files.find(STYLES, self.file)) if self.styles else None

    def run(self, ctx: Context) -> Styled:
        """Add the styles.

        Raises:
            NodeError: the file cannot be used, or does not have one of the styles.
        """
        chosen = self._chosen(ctx.files) if self.styles else []
        return Styled(
            add_styles(self.prompt, [style.prompt for style in chosen]),
            add_styles(self.negative, [style.negative for style in chosen]),
        )

    def _chosen(self, files: Files) -> list[Style]:
        path = files.find(STYLES, self.file)
        text = read_text(path, input="file")
        try:
            known = read_styles(text)
        except ValueError as error:
            raise NodeError(f"{path} {error}", input="file", code="bad_styles") from None
        for name in self.styles:
            if name not in known:
                hint = near(name, known) or f"there are {', '.join(list(known)[:10]) or 'none'}"
                message = f"{path.name} has no style {name!r}"
                raise NodeError(message, hint=hint, input="styles", code="missing_style")
        return [known[name] for name in self.styles]
