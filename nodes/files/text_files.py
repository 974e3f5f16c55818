"""Reads text files for prompts: wildcards for DynamicPrompt, and A1111's styles."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from engine.errors import NodeError
from engine.files import Files
from engine.near_names import near

WILDCARDS = "wildcards"
STYLES = "styles"

_LARGEST = 4 << 20
_DEPTH = 8
_MOST = 10_000


def read_text(path: Path, *, input: str) -> str:
    """Read a text file in UTF-8 of at most 4 MB.

    Raises:
        NodeError: the file cannot be read, is larger, or is not UTF-8.
    """
    try:
        if path.stat().st_size > _LARGEST:
            message = f"{path} is larger than {_LARGEST >> 20} MB"
            raise NodeError(message, input=input, code="too_large")
        return path.read_text("utf-8-sig")
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise NodeError(message, input=input, code="unreadable") from None
    except UnicodeDecodeError:
        hint = "save it as UTF-8"
        raise NodeError(f"{path} is not text in UTF-8", hint=hint, input=input, code="bad_text") from None


class WildcardFiles:
    """Finds wildcard files by name, and records which ones were read.

    Args:
        files: finds the folders.
        given: a wildcard file or a folder of them; empty for the wildcard folders.

    Raises:
        NodeError: there is no such file or folder.
    """

    def __init__(self, files: Files, given: str = "") -> None:
        self.used: dict[str, Path] = {}
        """The files read so far, by name."""
        self._files: dict[str, Path] = {}
        place = files.find(WILDCARDS, given) if given else None
        if place is not None and not place.is_dir():
            self._files[place.stem] = place
            return
        for folder in files.folders(WILDCARDS) if place is None else [place]:
            for name, path in _text_files(folder):
                self._files.setdefault(name, path)

    def lines(self, name: str) -> list[str]:
        """Read the lines of the wildcard files that match a name, without empty lines and `#` comments.

        Args:
            name: the file's path inside its folder without `.txt`, or its stem; `*` matches any characters.

        Raises:
            NodeError: no file matches, a file cannot be read, or there are no lines.
        """
        wanted = name.replace("\\", "/").strip().casefold()
        matches = [known for known in self._files if fnmatchcase(known.casefold(), wanted)]
        if not matches:
            matches = [known for known in self._files if known.rpartition("/")[2].casefold() == wanted]
        if not matches:
            hint = near(name, self._files) or "put a text file of this name into `models/wildcards`"
            raise NodeError(
                f"there is no wildcard file {name!r}", hint=hint, input="prompt", code="missing_file"
            )
        lines = []
        for match in sorted(matches):
            self.used[match] = self._files[match]
            text = read_text(self._files[match], input="prompt")
            lines += [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
        if not lines:
            message = f"the wildcard file {name!r} has no lines"
            raise NodeError(message, input="prompt", code="empty_wildcard")
        return lines


def _text_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the `.txt` files in a folder and its sub-folders: name (inner path without suffix) and path."""
    ahead = [(folder, "", 0)]
    count = 0
    while ahead and count < _MOST:
        place, prefix, depth = ahead.pop()
        try:
            entries = sorted(place.iterdir())
        except OSError:
            continue
        for path in entries:
            if path.name.startswith("."):
                continue
            if path.is_dir():
                if depth < _DEPTH:
                    ahead.append((path, f"{prefix}{path.name}/", depth + 1))
            elif path.suffix.lower() == ".txt" and path.is_file():
                count += 1
                yield prefix + path.stem, path
