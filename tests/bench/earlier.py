"""The sources of an earlier commit of Safelight, as a peer in the same run."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.bench import ROOT

EARLIER = "c145c80"
"""The commit before the packages of the engine and the model families."""


@contextmanager
def earlier_sources() -> Iterator[Path | None]:
    """A folder with the sources of the earlier commit; None if the repository does not have it."""
    packed = subprocess.run(["git", "archive", EARLIER], cwd=ROOT, check=False, capture_output=True).stdout
    if not packed:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="safelight-bench-") as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder)
