"""Files that are named by their digest: uploaded bytes as an input of a graph."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image as pillow

from engine import testing, whole_file
from engine.document.reader import from_json
from engine.errors import NodeError
from engine.files import Files
from engine.session import Session
from engine.settings import load
from engine.values import sha256
from tests.engine.small_nodes import PlainDigests


@pytest.fixture(params=[True, False], ids=["local", "server"])
def files(tmp_path: Path, request: pytest.FixtureRequest) -> Files:
    return Files(lambda kind: [tmp_path / kind], PlainDigests(), tmp_path / "outputs", local=request.param)


def test_uploaded_bytes_are_found_by_their_digest_for_every_kind_of_file(files: Files) -> None:
    name = files.upload(b"bytes")
    assert name == "sha256:" + sha256(b"bytes")
    assert files.upload(b"bytes") == name
    for kind in ("inputs", "loras"):
        assert files.find(kind, name).read_bytes() == b"bytes"
        assert files.inside(kind, name) == files.find(kind, name)


def test_an_upload_is_mended_by_another(files: Files) -> None:
    name = files.upload(b"bytes")
    files.find("inputs", name).write_bytes(b"other")
    with pytest.raises(NodeError) as caught:
        files.find("inputs", name)
    assert caught.value.code == "damaged_file"
    files.upload(b"bytes")
    assert files.find("inputs", name).read_bytes() == b"bytes"


def test_a_copy_of_a_file_is_kept_like_an_upload_of_its_bytes(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(b"bytes")
    name = files.upload_copy(path)
    assert name == files.upload(b"bytes")
    files.find("inputs", name).write_bytes(b"other")
    assert files.upload_copy(path) == name
    path.write_bytes(b"later")
    assert files.find("inputs", name).read_bytes() == b"bytes"


def test_a_file_that_changes_while_it_is_copied_is_not_kept(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(b"bytes")
    copy = whole_file.copy

    def late(source: Path, target: Path) -> None:
        source.write_bytes(b"other")
        copy(source, target)

    monkeypatch.setattr(whole_file, "copy", late)
    with pytest.raises(NodeError) as caught:
        files.upload_copy(path)
    assert caught.value.code == "changed_file"
    assert files.inside("inputs", "sha256:" + sha256(b"bytes")) is None


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("sha256:" + "ab" * 32, "missing_file"),
        ("sha256:" + "AB" * 32, None),
        ("sha256:../../etc/passwd", None),
        ("sha256:", None),
    ],
)
def test_a_name_that_is_no_digest_of_an_upload_finds_nothing(
    files: Files, name: str, code: str | None
) -> None:
    with pytest.raises(NodeError) as caught:
        files.find("inputs", name)
    assert code in (None, caught.value.code)
    assert files.inside("inputs", name) is None


def test_a_path_that_does_not_exist_is_not_called_a_name_in_the_folders(files: Files, tmp_path: Path) -> None:
    for name, is_path in ((str(tmp_path / "nowhere.png"), True), ("nowhere.png", False)):
        with pytest.raises(NodeError) as caught:
            files.find("inputs", name)
        if is_path and not files.local:
            assert caught.value.code == "bad_name"
            continue
        assert caught.value.code == "missing_file"
        assert ("folders for inputs" in caught.value.message) is not is_path
        assert ("put the file into" in (caught.value.hint or "")) is not is_path


def test_an_uploaded_picture_is_an_input_of_a_graph(tmp_path: Path) -> None:
    data = io.BytesIO()
    pillow.new("RGB", (8, 8), (255, 0, 0)).save(data, "PNG")
    with Session(load(tmp_path, device="cpu"), local=False) as session:
        name = session.files.upload(data.getvalue())
        graph = {
            "safelight": 1,
            "inputs": {"picture": {"type": "text"}},
            "nodes": {"load": {"type": "LoadImage@1", "inputs": {"image": {"param": "picture"}}}},
            "outputs": {"image": {"from": "load.out"}},
        }
        report = session.run(from_json(graph), {"picture": name})
        assert testing.output(report).pixels[0, 0, 0].tolist() == [255, 0, 0]
        assert testing.cached(session.run(from_json(graph), {"picture": name})) == {"load"}


def test_a_server_reads_files_beside_a_saved_graph_and_none_outside(tmp_path: Path) -> None:
    graphs, outside = tmp_path / "graphs", tmp_path / "secret.png"
    (graphs / "pictures").mkdir(parents=True)
    picture = graphs / "pictures" / "a.png"
    for path in (picture, outside):
        path.write_bytes(b"x")
    with Session(load(tmp_path / "home", device="cpu"), local=False) as session:
        files = session.files.for_run(graphs)
        assert files.find("inputs", "pictures/a.png") == picture
        for name in (
            "../secret.png",
            "pictures/../../secret.png",
            str(outside),
            "pictures\\..\\..\\secret.png",
        ):
            with pytest.raises(NodeError):
                files.find("inputs", name)
        with pytest.raises(NodeError):
            session.files.for_run().find("inputs", "pictures/a.png")
