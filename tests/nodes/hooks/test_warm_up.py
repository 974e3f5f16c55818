"""The imports ahead of the first run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.bench import GRAPH
from tests.bench.first_picture import HIDDEN

RUN = """
import json, sys
sys.modules.update(dict.fromkeys(sys.argv[3:]))
from pathlib import Path
from engine import settings
from engine.document import reader
from engine.document.run_request import RunRequest
from engine.session import Session

LIBRARIES = ("torch", "diffusers", "transformers", "tokenizers", "safetensors")
with Session(settings.load(Path(sys.argv[1]), device="cpu")) as session:
    for warm_up in session.registry.warm_ups:
        list(warm_up())
    before = set(sys.modules)
    graph = reader.parse(Path(sys.argv[2]).read_bytes())
    report = session.run(RunRequest(graph, {"steps": 2}), previews=True)
    late = [name for name in sys.modules if name not in before and name.split(".")[0] in LIBRARIES]
print(json.dumps([report.state, late]))
"""


@pytest.mark.slow
def test_a_first_picture_imports_nothing_of_the_large_libraries(tmp_path: Path) -> None:
    words = [sys.executable, "-c", RUN, str(tmp_path), str(GRAPH), *HIDDEN]
    ended = subprocess.run(words, capture_output=True, text=True, check=True, timeout=600)
    assert json.loads(ended.stdout.splitlines()[-1]) == ["done", []]
