"""Outputs as files: counted, shared when equal, never overwritten and never outside their folder."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from engine import whole_file
from engine.check import check
from engine.context import Context
from engine.document import reader
from engine.document.graph import Entry, From, Graph, GraphInput, Literal, Param
from engine.errors import SafelightError
from engine.file_facts import FileFacts
from engine.files import Digests, Files
from engine.node import Node
from engine.outputs.graph_in_picture import Inscriber
from engine.outputs.writer import OutputWriter
from engine.outputs.written_outputs import Written
from engine.packs.provenance import Annotate, Provenance
from engine.packs.registry import Registry
from engine.paths import slug
from engine.plan import plan
from engine.store.memory import Memory
from engine.store.store import Result
from engine.store.tiered import Tiered
from engine.values import Json, Packed, Part, Value


class Sketch(Value):
    """A value with a plain part."""

    def pack(self) -> Packed:
        return Packed("Sketch", {"lines": 3})

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Sketch:
        return cls()


class Draw(Node):
    """Draw lines."""

    lines: int

    def run(self, ctx: Context) -> Sketch:
        return Sketch()


class Ink(Node):
    """Draw over lines."""

    sketch: Sketch
    colour: str = "black"

    def run(self, ctx: Context) -> Sketch:
        return self.sketch


GRAPH = Graph(
    nodes={
        "draw": Entry("Draw@1", {"lines": Param("lines")}),
        "ink": Entry("Ink@1", {"sketch": From("draw", "out")}),
        "other": Entry("Draw@1", {"lines": Literal(1)}),
    },
    inputs={"lines": GraphInput("int", 3, False)},
    outputs={"a": From("ink", "out"), "b": From("other", "out")},
    title="Lines",
)


class NoFiles(Digests):
    facts = FileFacts()

    def digest(self, path: Path) -> str:
        raise FileNotFoundError(path)


Writer = Callable[..., dict[str, Written]]


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def write(tmp_path: Path, warnings: list[str]) -> Writer:
    """Writes packed outputs of the graph above into a folder."""
    store = Tiered(Memory(1 << 20))
    files = Files(lambda kind: [], NoFiles(), tmp_path)
    planned = plan.plan(check.check(GRAPH, Registry([Draw, Ink]), {"lines": 5}), store, files)
    key = planned.steps["draw"].key
    assert key is not None
    store.save(key, Result({"out": Sketch()}, 0.0, 0.0))

    def write(
        packed: Mapping[str, Packed],
        folder: Path = tmp_path,
        name: str = "name",
        annotators: tuple[Annotate, ...] = (),
    ) -> dict[str, Written]:
        inscriber = Inscriber(planned, store, annotators, lambda: None, warnings.append)
        writer = OutputWriter(planned, store, folder, name, inscriber, lambda: None)
        for output, value in packed.items():
            writer.take(output, planned.steps[GRAPH.outputs[output].node], value)
        if writer.problems:
            raise SafelightError(writer.problems[0].message)
        return writer.written()

    return write


def png(grey: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (4, 4), grey).save(file, "PNG")
    return file.getvalue()


def pictures(*greys: int) -> Packed:
    return Packed("Image", None, tuple(Part(str(n), "image/png", png(grey)) for n, grey in enumerate(greys)))


def text_of(path: Path) -> dict[str, str]:
    with Image.open(path) as image:
        assert isinstance(image, PngImageFile)
        image.load()
        return {key: str(text) for key, text in image.text.items()}


def names(written: Written) -> list[str]:
    return [path.name for path in written.files]


def test_files_are_counted_and_equal_ones_are_shared(write: Writer, tmp_path: Path) -> None:
    assert names(write({"a": pictures(1, 2)})["a"]) == ["name-a-0001.png", "name-a-0002.png"]
    assert names(write({"a": pictures(3)})["a"]) == ["name-a-0003.png"]
    assert names(write({"a": pictures(1, 2)})["a"]) == ["name-a-0001.png", "name-a-0002.png"]
    assert names(write({"a": pictures(2, 4)})["a"]) == ["name-a-0002.png", "name-a-0004.png"]
    assert len(list(tmp_path.iterdir())) == 4


def test_equal_pictures_of_one_batch_are_two_files_every_time(write: Writer) -> None:
    first = write({"a": pictures(1, 1)})
    assert names(first["a"]) == ["name-a-0001.png", "name-a-0002.png"]
    assert write({"a": pictures(1, 1)}) == first


def test_existing_output_files_are_not_overwritten(write: Writer, tmp_path: Path) -> None:
    (tmp_path / "name-a-0001.png").write_text("mine")
    (tmp_path / "name-a-0002.png").mkdir()
    (tmp_path / "name-a-0003.png").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "name-a-12.png").write_text("not of the series")
    assert names(write({"a": pictures(1)})["a"]) == ["name-a-0004.png"]
    assert (tmp_path / "name-a-0001.png").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()


def test_each_part_gets_the_suffix_of_its_media_type(write: Writer, tmp_path: Path) -> None:
    parts = (Part("t", "application/x-safetensors", b"tensors"), Part("x", "what/ever", b"bytes"))
    written = write({"a": Packed("Thing", None, parts)})["a"]
    assert names(written) == ["name-a-0001.safetensors", "name-a-0001.bin"]
    assert [path.read_bytes() for path in written.files] == [b"tensors", b"bytes"]


def test_plain_values_are_told_and_not_written(write: Writer, tmp_path: Path) -> None:
    packed = Packed("json", {"x": [1, None]})
    written = write({"a": packed}, tmp_path / "none")["a"]
    assert written == Written("json", (), packed.digest, {"x": [1, None]})
    assert not (tmp_path / "none").exists()
    assert write({"a": Packed("Recipe", {"x": 1})})["a"].value is None


def test_a_picture_carries_the_graph_with_the_values_that_were_used(write: Writer) -> None:
    (path,) = write({"a": pictures(1)})["a"].files
    carried = reader.parse(text_of(path)["safelight"])
    assert carried.made_with.keys() == {"safelight"}
    assert replace(carried, made_with={}) == GRAPH.with_defaults({"lines": 5})
    assert carried.inputs["lines"].default == 5


def test_annotators_see_the_steps_behind_an_output(write: Writer) -> None:
    seen: list[tuple[dict[str, Provenance], str, int]] = []

    def annotate(steps: Mapping[str, Provenance], target: str, index: int) -> Mapping[str, str]:
        seen.append((dict(steps), target, index))
        return {"parameters": f"picture {index}", "safelight": "not for you"}

    files = write({"a": pictures(1, 2)}, annotators=(annotate,))["a"].files
    steps, target, _ = seen[0]
    assert (target, [index for _, _, index in seen]) == ("ink", [0, 1])
    assert steps.keys() == {"ink", "draw"}
    assert steps["ink"].node_type == "Ink"
    assert steps["ink"].inputs == {"colour": "black"}
    assert steps["ink"].links == {"sketch": "draw"}
    assert steps["draw"].inputs == {"lines": 5}
    assert dict(steps["draw"].meta) == {"out": {"lines": 3}}
    assert dict(steps["ink"].meta) == {}, "its result was never kept"
    assert [text_of(path)["parameters"] for path in files] == ["picture 0", "picture 1"]
    assert "not for you" not in text_of(files[0]).values()


def test_a_run_reads_each_output_once_for_all_pictures_and_hooks(
    write: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    packed = Tiered.packed

    def counted(store: Tiered, key: str, output: str) -> Packed | None:
        reads.append(output)
        return packed(store, key, output)

    monkeypatch.setattr(Tiered, "packed", counted)

    def annotate(steps: Mapping[str, Provenance], target: str, index: int) -> Mapping[str, str]:
        return {"lines": str(steps["draw"].meta["out"])}

    files = write({"a": pictures(1, 2)}, annotators=(annotate, annotate))["a"].files
    assert [text_of(path)["lines"] for path in files] == ["{'lines': 3}"] * 2
    assert reads == ["out"]


def test_an_annotator_that_fails_is_a_warning(write: Writer, warnings: list[str]) -> None:
    def fails(steps: Mapping[str, Provenance], target: str, index: int) -> Mapping[str, str]:
        raise ValueError("lost for words")

    def odd(steps: Mapping[str, Provenance], target: str, index: int) -> Mapping[str, str]:
        return {"nul": "a\0b", "fine": "text"}

    (path,) = write({"a": pictures(1)}, annotators=(fails, odd))["a"].files
    assert text_of(path).keys() == {"safelight", "fine"}
    assert [("lost for words" in said, "'nul'" in said) for said in warnings] == [
        (True, False),
        (False, True),
    ]


def test_a_damaged_picture_is_written_as_it_is(write: Writer, warnings: list[str]) -> None:
    (path,) = write({"a": Packed("Image", None, (Part("0", "image/png", b"no png"),))})["a"].files
    assert path.read_bytes() == b"no png"
    assert "not a PNG, JPEG or WEBP file" in warnings[0]


@given(st.text())
def test_a_slug_is_a_name_and_never_a_path(title: str) -> None:
    made = slug(title)
    assert made == Path(made).name
    assert not set(made) & set('/\\:*?"<>|.\0\n ')
    assert 1 <= len(made) <= 40
    assert len(f"{made}-{'x' * 64}-0001.safetensors".encode()) <= 255


@pytest.mark.parametrize(
    ("title", "made"),
    [("A Mug,  on a_desk!", "a-mug-on-a-desk"), ("../../etc", "etc"), ("", "graph"), ("Кружка ☕", "кружка")],
)
def test_slugs(title: str, made: str) -> None:
    assert slug(title) == made


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_leaves_nothing_half_written(
    write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(SafelightError, match=os.strerror(code)):
        write({"a": pictures(1)}, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_system_without_hard_links_will_do(
    write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*paths: Path) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr("os.link", fail)
    first = write({"a": pictures(1)})
    assert names(first["a"]) == ["name-a-0001.png"]
    assert text_of(first["a"].files[0]).keys() == {"safelight"}
    assert write({"a": pictures(1)}) == first
    assert len(list(tmp_path.iterdir())) == 1


def test_a_name_taken_between_looking_and_writing_is_left_alone(
    write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = whole_file._name

    def late(draft: Path, path: Path) -> None:
        if path.name == "name-a-0001.png":
            path.write_text("of another process")
        elif path.name == "name-a-0002.png":
            path.write_bytes(draft.read_bytes())
        real(draft, path)

    monkeypatch.setattr(whole_file, "_name", late)
    assert names(write({"a": pictures(1)})["a"]) == ["name-a-0002.png"]
    assert (tmp_path / "name-a-0001.png").read_text() == "of another process"
    assert len(list(tmp_path.iterdir())) == 2


def test_only_the_path_of_a_file_in_the_folder_is_a_saved_file(tmp_path: Path) -> None:
    folder, outside = tmp_path / "outputs", tmp_path / "secret.bin"
    folder.mkdir()
    for file in (folder / "word.bin", outside):
        file.write_bytes(b"")
    (folder / "link.bin").symlink_to(outside)
    store = Tiered(Memory(1 << 20))
    files = Files(lambda kind: [], NoFiles(), folder)
    planned = plan.plan(check.check(GRAPH, Registry([Draw, Ink]), {"lines": 5}), store, files)
    inscriber = Inscriber(planned, store, (), lambda: None, lambda message: None)
    writer = OutputWriter(planned, store, folder, "name", inscriber, lambda: None)

    def found(value: Json) -> tuple[str, ...]:
        event = writer.take("a", planned.steps["ink"], Packed("json", value))
        assert event is not None
        return event.files

    saved = str(folder / "word.bin")
    assert found(saved) == (saved,)
    others = [str(outside), f"{folder}/../secret.bin", str(folder / "link.bin"), str(folder), "word.bin"]
    for other in (*others, f"{saved}\0", "/" + "x" * 9999, None, 7):
        assert found(other) == ()
