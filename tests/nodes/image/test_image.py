"""Pictures in and out of files, in every mode and from hostile hands."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as pillow

from engine.cli import main
from engine.document import writer
from engine.errors import NodeError
from engine.packing import pack, unpack
from engine.session import Session
from engine.sources import source
from engine.testing import run_node
from nodes.image.load_image import LoadImage
from nodes.image.save_image import SaveImage
from nodes.image.size import ResizeImage
from nodes.values import Image
from tests.nodes.conftest import GRAPHS

RED, CLEAR = (255, 0, 0), (0, 0, 0, 0)


def pixels_of(outputs: Mapping[str, object]) -> NDArray[np.uint8]:
    image = outputs["out"]
    assert isinstance(image, Image)
    first: NDArray[np.uint8] = image.pixels[0]
    return first


def loaded(session: Session, path: Path) -> NDArray[np.uint8]:
    return pixels_of(run_node(session, LoadImage(image=str(path))))


def on_disk(path: Path) -> tuple[str | None, Any]:
    """A written picture's format and its first pixel."""
    with pillow.open(path) as picture:
        return picture.format, picture.getpixel((0, 0))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK", "I;16", "LA", "1"])
def test_every_mode_comes_out_as_colours(session: Session, tmp_path: Path, mode: str) -> None:
    picture = pillow.new("RGB", (8, 8), "white")
    converted = picture.convert("I").convert("I;16") if mode == "I;16" else picture.convert(mode)
    if mode == "I;16":
        converted = pillow.fromarray(np.full((8, 8), 65535, "uint16"))
    path = tmp_path / ("picture.tiff" if mode == "CMYK" else "picture.png")
    converted.save(path)
    pixels = loaded(session, path)
    assert pixels.shape == (8, 8, 3)
    assert (pixels >= 254).all()


def test_transparent_parts_lie_over_white(session: Session, tmp_path: Path) -> None:
    picture = pillow.new("RGBA", (2, 1), CLEAR)
    picture.putpixel((0, 0), (*RED, 255))
    picture.save(tmp_path / "picture.png")
    assert loaded(session, tmp_path / "picture.png").tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_the_camera_turned_is_turned_back(session: Session, tmp_path: Path) -> None:
    picture = pillow.new("RGB", (4, 2), "blue")
    exif = pillow.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "picture.png", exif=exif)
    assert loaded(session, tmp_path / "picture.png").shape == (4, 2, 3)


def claiming(width: int, height: int) -> bytes:
    """A PNG that is no more than a header with this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_picture"),
        (b"no picture", "bad_picture"),
        (b"<svg/>", "bad_picture"),
        (claiming(60_000, 60_000), "too_large"),
    ],
    ids=["empty", "text", "svg", "bomb"],
)
def test_load_image_refuses_files_that_are_not_pictures(
    session: Session, tmp_path: Path, data: bytes, code: str
) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    with pytest.raises(NodeError, match=r"picture\.png") as caught:
        loaded(session, path)
    assert (caught.value.code, caught.value.input) == (code, "image")


def test_a_large_picture_is_read_up_to_our_own_limit(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(claiming(10_001, 10_000))
    with pytest.raises(NodeError, match=r"picture\.png is 10001 x 10000"):
        loaded(session, path)
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", 8000)  # above which Pillow warns
    pillow.new("1", (100, 90), 1).save(path)
    assert loaded(session, path).shape == (90, 100, 3)


def test_the_release_of_pillow_is_part_of_the_key() -> None:
    for node in (LoadImage, ResizeImage, SaveImage):
        assert node.node_type.libraries == ("pillow",)


def test_a_cut_file_is_refused(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype("uint8")
    pillow.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(Exception, match="cannot be read as a picture"):
        loaded(session, path)


def test_a_script_gets_pictures_of_pillow_and_an_array_that_it_cannot_write_into() -> None:
    image = Image(np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3))
    assert image.array().shape == (2, 3, 4, 3)
    assert not image.array().flags.writeable
    assert image.pil(1).size == (4, 3)
    assert np.asarray(image.pil(1)).tolist() == image.array()[1].tolist()


def test_packing_keeps_every_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 8, 16, 3)).astype("uint8")
    packed = pack(Image(pixels))
    back = unpack(packed.type, packed.meta, {part.name: part.data for part in packed.parts})
    assert isinstance(back, Image)
    assert np.array_equal(back.pixels, pixels)


def test_pictures_on_wires_cannot_be_written_into() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Image(np.zeros((1, 8, 8, 3), "uint8")).pixels[0, 0, 0, 0] = 1


def test_pictures_do_not_change_with_what_they_were_made_of() -> None:
    base = np.zeros((1, 8, 8, 3), "uint8")
    image = Image(base[:])
    base[:] = 9
    assert image.pixels.max() == 0
    assert base.flags.writeable


@pytest.mark.parametrize(
    "pixels", [np.zeros((1, 8, 8, 3)), np.zeros((8, 8, 3), "uint8"), np.zeros(0, "uint8")]
)
def test_invalid_pixels_are_refused_by_image(pixels: NDArray[Any]) -> None:
    with pytest.raises(TypeError, match=r"an Image holds uint8 \[pictures, height, width, 3\], not"):
        Image(pixels)


def test_crop_keeps_proportions_and_stretch_does_not(session: Session) -> None:
    pixels = np.zeros((1, 64, 128, 3), "uint8")
    pixels[:, :, 32:96] = 255
    whole = run_node(session, ResizeImage(image=Image(pixels), width=64, height=64, fit="crop"))
    assert pixels_of(whole).min() == 255
    squeezed = run_node(session, ResizeImage(image=Image(pixels), width=64, height=64, fit="stretch"))
    assert pixels_of(squeezed)[32, [0, 32, 63], 0].tolist() == [0, 255, 0]


def test_saving_never_replaces_unless_told_to(session: Session, home: Path) -> None:
    red, blue = (Image(np.full((1, 8, 8, 3), colour, "uint8")) for colour in (RED, (0, 0, 255)))
    first = run_node(session, SaveImage(image=red, path="a.png"))["out"]
    second = run_node(session, SaveImage(image=blue, path="a.png"))["out"]
    assert first == [str(home / "outputs" / "a.png")]
    assert second == [str(home / "outputs" / "a_0002.png")]
    assert on_disk(home / "outputs" / "a.png") == ("PNG", RED)
    run_node(session, SaveImage(image=blue, path="a.png", overwrite=True))
    assert on_disk(home / "outputs" / "a.png") == ("PNG", (0, 0, 255))
    assert not list((home / "outputs").glob(".*"))


@pytest.mark.parametrize(("suffix", "kind"), [("jpg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
def test_the_suffix_chooses_the_format(session: Session, home: Path, suffix: str, kind: str) -> None:
    run_node(session, SaveImage(image=Image(np.full((1, 8, 8, 3), RED, "uint8")), path=f"sub/a.{suffix}"))
    assert on_disk(home / "outputs" / "sub" / f"a.{suffix}")[0] == kind


def test_a_lossless_webp_keeps_every_pixel(session: Session, home: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), "uint8")
    run_node(session, SaveImage(image=Image(pixels), path="a.webp", lossless=True))
    run_node(session, SaveImage(image=Image(pixels), path="b.webp"))
    exact, lossy = (loaded(session, home / "outputs" / name) for name in ("a.webp", "b.webp"))
    assert np.array_equal(exact, pixels[0])
    assert not np.array_equal(lossy, pixels[0])
    with pytest.raises(NodeError, match="never lossless"):
        run_node(session, SaveImage(image=Image(pixels), path="a.jpg", lossless=True))


def test_an_unknown_suffix_is_explained(session: Session) -> None:
    with pytest.raises(NodeError, match=r"'\.gif'") as error:
        run_node(session, SaveImage(image=Image(np.zeros((1, 8, 8, 3), "uint8")), path="a.gif"))
    assert (error.value.code, error.value.input) == ("unknown_format", "path")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "name", ["{outside}", "../a.png", "sub/../../a.png", "~/a.png", "C:/a.png", "..\\a.png"]
)
def test_no_name_leads_out_of_the_outputs_folder(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, overwrite: bool
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in (tmp_path / "a.png", tmp_path / "home" / "a.png"):
        place.parent.mkdir(exist_ok=True)
        place.write_text("mine")
    image = Image(np.zeros((1, 8, 8, 3), "uint8"))
    path = name.replace("{outside}", str(tmp_path / "a.png"))
    with pytest.raises(NodeError, match="outside the outputs folder"):
        run_node(session, SaveImage(image=image, path=path, overwrite=overwrite))
    assert {found.read_text() for found in tmp_path.rglob("a*.png")} == {"mine"}


def test_two_at_once_with_one_name_both_keep_their_picture(session: Session, home: Path) -> None:
    def save(grey: int) -> str:
        image = Image(np.full((1, 64, 64, 3), grey, "uint8"))
        (path,) = cast("list[str]", run_node(session, SaveImage(image=image, path="a.png"))["out"])
        return path

    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(save, range(32)))
    assert [on_disk(Path(path))[1] for path in paths] == [(grey, grey, grey) for grey in range(32)]
    assert len(list((home / "outputs").iterdir())) == 32


def test_a_folder_without_hard_links_will_do(
    session: Session, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr("os.link", refuse)
    image = Image(np.full((1, 8, 8, 3), RED, "uint8"))
    for _ in range(2):
        run_node(session, SaveImage(image=image, path="a.png"))
    assert {path.name for path in (home / "outputs").iterdir()} == {"a.png", "a_0002.png"}


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_a_plan_takes_every_format_for_what_it_is_whatever_its_name(
    session: Session, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "picture.dat"
    pillow.new("RGB", (8, 8), "red").save(path, form)
    digest = session.files.digest(path)
    assert LoadImage(image=str(path)).fingerprint(session.files) == digest


@pytest.mark.parametrize("data", [b"", b"a note", b"RIFF\0\0\0\0WAVEfmt ", b"II", b"%PDF-1.7", b"<svg/>"])
def test_check_finds_a_file_that_is_no_picture(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes
) -> None:
    (tmp_path / "picture.png").write_bytes(data)
    graph = tmp_path / "graph.json"
    graph.write_text(
        '{"safelight": 1, "outputs": {"out": {"from": "load.out"}}, '
        '"nodes": {"load": {"type": "LoadImage", "inputs": {"image": "picture.png"}}}}'
    )
    assert main(["check", str(graph), "--json", "--home", str(session.settings.home)]) == 2
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["node"], problem["input"]) == ("load", "image")
    assert problem["message"].startswith("picture.png cannot be read as a picture")
    assert "PNG, JPEG, WEBP, BMP, TIFF, GIF" in problem["hint"]


def test_what_save_image_writes_lies_in_the_folder_asked_for_and_carries_what_outputs_carry(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = json.loads((GRAPHS / "text_to_image.json").read_text())
    for name in ("picture.png", "small.jpg"):
        tree["nodes"][name.partition(".")[0]] = {
            "type": "SaveImage",
            "inputs": {"image": {"from": "decode.out"}, "path": f"kept/{name}"},
        }
    graph = tmp_path / "graph.json"
    graph.write_text(json.dumps(tree))
    out = tmp_path / "out"
    words = ["run", str(graph), "--json", "--home", str(session.settings.home), "--device", "cpu"]
    for where in (["--out", str(out)], []):
        folder = out if where else session.settings.home / "outputs"
        assert main([*words, *where, "--steps", "2", "--prompt", "a mug"]) == 0
        answer = json.loads(capsys.readouterr().out)
        (declared,) = answer["outputs"]["image"]["files"]
        saved = folder / "kept" / "picture.png"
        with pillow.open(declared) as one, pillow.open(saved) as two:
            assert np.array_equal(np.asarray(one), np.asarray(two))
            theirs, ours = dict(one.info), dict(two.info)
        assert ours.keys() == theirs.keys() >= {"safelight", "parameters"}
        assert ours == theirs
        assert ours["parameters"].startswith("a mug\n")
        assert (folder / "kept" / "small.jpg").is_file()


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_a_jpeg_and_a_webp_carry_the_graph_and_a1111_s_text(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    home = session.settings.home
    tree = json.loads((GRAPHS / "text_to_image.json").read_text())
    save = {"image": {"from": "decode.out"}, "path": f"a.{suffix}", "overwrite": True}
    tree["nodes"]["save"] = {"type": "SaveImage", "inputs": save}
    (tmp_path / "graph.json").write_text(json.dumps(tree))
    picture = home / "outputs" / f"a.{suffix}"

    def run(file: Path, *words: str) -> dict[str, Any]:
        place = ["--json", "--home", str(home), "--device", "cpu"]
        assert main(["run", str(file), *place, *words]) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    first = run(tmp_path / "graph.json", "--steps", "2", "--seed", "3", "--prompt", "a Größe 猫")
    with pillow.open(picture) as opened:
        block = opened.getexif()
        comment = block.get_ifd(0x8769)[0x9286]
    assert comment[:8] == b"UNICODE\0"
    assert comment[8:].decode("utf-16-be").startswith("a Größe 猫\nSteps: 2, ")
    with pillow.open(first["outputs"]["image"]["files"][0]) as png:
        carried = json.loads(png.info["safelight"])
    assert json.loads(writer.dump(source.load(picture))) == carried
    assert carried["inputs"]["prompt"]["default"] == "a Größe 猫"
    again = run(picture)
    assert again["outputs"]["image"]["digest"] == first["outputs"]["image"]["digest"]
    run(tmp_path / "graph.json", "--no-metadata", "--steps", "2")
    with pillow.open(picture) as opened:
        assert not opened.getexif()


def test_outside_of_a_run_from_the_command_line_a_picture_carries_nothing(session: Session) -> None:
    picture = Image(np.zeros((1, 8, 8, 3), "uint8"))
    run_node(session, SaveImage(image=picture))
    with pillow.open(session.settings.home / "outputs" / "picture.png") as written:
        assert written.info == {}
