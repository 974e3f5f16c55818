"""Hostile bytes on the wire, hostile files and hostile names, each with its outcome; the server answers on.

`test_security.py` has the table of hosts, origins, tokens and JSON bodies.
"""

from __future__ import annotations

import io
import json
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable

import pytest
from PIL import Image

from tests.engine.server.conftest import App, RunningServer

CLOSED = 0
"""The outcome of a connection that the server closes without an answer."""


def head(server: RunningServer, method: str = "GET", path: str = "/api/v1/info", *lines: str) -> bytes:
    """The head of a request with the token."""
    host, token = f"Host: 127.0.0.1:{server.port}", f"Authorization: Bearer {server.token}"
    end = [] if any(line.startswith("Connection:") for line in lines) else ["Connection: close"]
    return "\r\n".join([f"{method} {path} HTTP/1.1", host, token, *lines, *end, "", ""]).encode("latin-1")


Wire = Callable[[RunningServer], bytes]
JSON = "Content-Type: application/json"

WIRE: dict[str, tuple[Wire, set[int]]] = {
    "no HTTP": (lambda s: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200, {400, CLOSED}),
    "a line without a version": (lambda s: b"GET /\r\n\r\n", {400, CLOSED}),
    "HTTP 0.9": (lambda s: b"GET / HTTP/0.9\r\n\r\n", {400, 403}),
    "HTTP 1.0 without a host": (lambda s: b"GET /api/v1/info HTTP/1.0\r\n\r\n", {403}),
    "an absolute address of another host": (
        lambda s: head(s, "GET", "http://evil.example/api/v1/info"),
        {404},
    ),
    "CONNECT": (lambda s: head(s, "CONNECT", "evil.example:443"), {400, 404, 405}),
    "TRACE": (lambda s: head(s, "TRACE"), {405}),
    "a method of 2,000 letters": (lambda s: head(s, "A" * 2000), {400, 405, CLOSED}),
    "a line break in a header": (lambda s: head(s, "GET", "/api/v1/info", "X: a\r Y: b"), {400, CLOSED}),
    "NUL in a header": (lambda s: head(s, "GET", "/api/v1/info", "X: a\0b"), {400, CLOSED}),
    "NUL in the path": (lambda s: head(s, "GET", "/api/v1/graphs/a%00b"), {404, 422}),
    "a path that climbs": (lambda s: head(s, "GET", "/assets/../../../../etc/passwd"), {404}),
    "a path that climbs, encoded": (lambda s: head(s, "GET", "/assets/%2e%2e%2f%2e%2e%2fetc/passwd"), {404}),
    "a graph id that climbs": (lambda s: head(s, "GET", "/api/v1/graphs/..:..:settings"), {404}),
    "a head of 100 KiB": (lambda s: head(s, "GET", "/", "X: " + "a" * 100_000), {400, 431, CLOSED}),
    "two lengths": (
        lambda s: head(s, "POST", "/api/v1/runs", JSON, "Content-Length: 2", "Content-Length: 20") + b"{}",
        {400, CLOSED},
    ),
    "a length and chunks": (
        lambda s: head(s, "POST", "/api/v1/runs", JSON, "Content-Length: 4", "Transfer-Encoding: chunked")
        + b"0\r\n\r\n",
        {400, 422, CLOSED},
    ),
    "another encoding": (
        lambda s: head(s, "POST", "/api/v1/runs", JSON, "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
        {400, 415, 501, CLOSED},
    ),
    "a chunk of no size": (
        lambda s: head(s, "POST", "/api/v1/runs", JSON, "Transfer-Encoding: chunked") + b"zz\r\n{}\r\n",
        {400, CLOSED},
    ),
    "a chunk of a huge size": (
        lambda s: head(s, "POST", "/api/v1/runs", JSON, "Transfer-Encoding: chunked") + b"f" * 30 + b"\r\n",
        {400, 413, CLOSED},
    ),
    "a request after a refused one": (
        lambda s: head(s, "POST", "/api/v1/runs", "Content-Type: text/plain", "Content-Length: 40")
        + head(s, "DELETE", "/api/v1/graphs/add"),
        {415},
    ),
    "a WebSocket where there is none": (
        lambda s: head(
            s, "GET", "/api/v1/events", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        ),
        {403, 404},
    ),
}  # fmt: skip


def exchanged(server: RunningServer, data: bytes) -> list[int]:
    """The statuses of all answers to some bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        received = b""
        try:
            connection.sendall(data)
            while piece := connection.recv(1 << 16):
                received += piece
        except OSError:
            pass
    lines = received.split(b"\r\n")
    return [int(line.split()[1]) for line in lines if line.startswith(b"HTTP/1.")]


@pytest.mark.parametrize("name", WIRE)
def test_hostile_bytes_have_one_outcome(server: RunningServer, name: str) -> None:
    made, expected = WIRE[name]
    statuses = exchanged(server, made(server))
    assert len(statuses) <= 1, "the bytes are one request"
    assert set(statuses or [CLOSED]) <= expected, statuses
    with server.client() as client:
        assert any(row["id"] == "add" for row in client.graphs())


@pytest.mark.parametrize(
    "frame", [b"\x81\x05hello", b"\x81\xff" + struct.pack(">Q", 1 << 31), b"\xff\x80abcd"]
)
def test_a_hostile_frame_closes_its_websocket(server: RunningServer, frame: bytes) -> None:
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", key)
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head(server, "GET", "/ws", *lines))
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 101")
        connection.sendall(frame)
        received = b""
        while piece := connection.recv(1 << 16):
            received += piece
        assert b"\x88" in received, "a close frame"


def png(*chunks: tuple[bytes, bytes], size: tuple[int, int] = (1, 1)) -> bytes:
    """A PNG of these chunks after its header."""
    header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in ((b"IHDR", header), *chunks, (b"IEND", b"")):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        parts.append(struct.pack(">I", len(data)) + kind + data + crc)
    return b"".join(parts)


def zipped(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return file.getvalue()


def real(format: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, format)
    return file.getvalue()


BOMB = zlib.compress(b"\0" * (64 << 20), 9)
FILES: dict[str, tuple[bytes, bool, int]] = {
    # Each file, whether an upload says that it is a picture, and the status of an import of a graph in it.
    "nothing": (b"\n", False, 422),
    "a page": (b"<html><script>alert(1)</script>", False, 422),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", False, 422),
    "a page behind the head of a PNG": (b"\x89PNG\r\n\x1a\n<script>alert(1)</script>", False, 422),
    "a picture of 4 Gpixel": (png(size=(65_535, 65_535)), False, 422),
    "a picture that decompresses to 64 MiB": (png((b"IDAT", BOMB), size=(30_000, 30_000)), False, 422),
    "a text that decompresses to 64 MiB": (png((b"zTXt", b"safelight\0\0" + BOMB)), False, 422),
    "a chunk longer than the file": (png()[:33] + b"\xff\xff\xff\xffIDAT", False, 422),
    "half a picture": (real("PNG")[:-30], False, 422),
    "a picture without a graph": (real("JPEG"), True, 422),
    "a zip with a path that climbs": (zipped("../../server.json", b"{}"), False, 422),
    "a zip bomb": (zipped("a.json", b"0" * (64 << 20)), False, 422),
    "JSON 10,000 levels deep": (b'{"safelight":' + b"[" * 10_000, False, 422),
    "a pickle": (b"cos\nsystem\n(S'touch /tmp/harmed'\ntR.", False, 422),
    "a graph whose type climbs": (
        json.dumps({"safelight": 1, "nodes": {"a": {"type": "./../../../etc/passwd"}}}).encode(),
        False,
        422,
    ),
    "a workflow of 20,000 nodes": (
        json.dumps({str(n): {"class_type": "KSampler", "inputs": {}} for n in range(20_000)}).encode(),
        False,
        422,
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_has_one_outcome(app: App, name: str) -> None:
    data, is_picture, status = FILES[name]
    upload = app.web.post("/api/v1/blobs", content=data)
    assert upload.status_code == 201
    assert (upload.json()["w"] is not None) == is_picture
    file = app.web.get(f"/api/v1/blobs/{upload.json()['hash']}")
    assert file.content == data
    assert file.headers["content-type"] == "application/octet-stream"
    assert file.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in file.headers["content-security-policy"]
    thumbnail = app.web.get(f"/api/v1/blobs/{upload.json()['hash']}?w=64")
    assert thumbnail.status_code == (200 if is_picture else 422)
    imported = app.web.post("/api/v1/import?name=../../x.png", content=data)
    assert imported.status_code == status, imported.text[:500]


NAMES = (
    "..",
    "../x",
    "a/b",
    "a\\b",
    "C:/x",
    "",
    " ",
    ".",
    "a\0b",
    "a\nb",
    "con\r\nX: y",
    "x" * 500,
    "a:b:c:d:e",
    "-",
)


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_graph_leads_out_of_its_folder(app: App, name: str) -> None:
    from urllib.parse import quote

    before = sorted(app.services.settings.home.parent.rglob("*"))
    body = {"graph": {"safelight": 1, "nodes": {}}}
    answer = app.web.put(f"/api/v1/graphs/{quote(name, safe='')}", json=body)
    assert answer.status_code in (404, 405, 422), answer.text
    after = sorted(app.services.settings.home.parent.rglob("*"))
    assert [path for path in after if path not in before and path.suffix == ".json"] == []
