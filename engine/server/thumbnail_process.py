"""The process that decodes pictures from clients: `python -m engine.server.thumbnail_process`.

Picture decoders have had many vulnerabilities, so they run outside the server, with limited memory, and only
for three formats. The server sends a line of JSON, `{"width": W, "bytes": N}`, and then N bytes of a picture.
The process replies with a line of JSON, `{"media": M, "w": W, "h": H, "bytes": N}` or
`{"error": TEXT, "bytes": 0}`, and the N bytes of the thumbnail. W and H are the size of the picture. With a
width of 0, only the size is read.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
from typing import BinaryIO

from PIL import Image, ImageOps

FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
MAX_PIXELS = 64 << 20
MEMORY_BYTES = 2 << 30
QUALITY = 85


def main(incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Handle the server's requests until it closes the pipe."""
    _limit_memory()
    warnings.simplefilter("ignore")
    while line := incoming.readline():
        request = json.loads(line)
        answer, thumbnail = _answer(incoming.read(request["bytes"]), request["width"])
        outgoing.write(json.dumps({**answer, "bytes": len(thumbnail)}).encode() + b"\n" + thumbnail)
        outgoing.flush()


def _answer(data: bytes, width: int) -> tuple[dict[str, object], bytes]:
    try:
        with Image.open(io.BytesIO(data), formats=list(FORMATS)) as picture:
            w, h = picture.size
            if w * h > MAX_PIXELS:
                return {"error": f"the picture has more than {MAX_PIXELS:,} pixels"}, b""
            described: dict[str, object] = {"media": FORMATS[str(picture.format)], "w": w, "h": h}
            if not width:
                picture.verify()
                return described, b""
            picture.draft("RGB", (width, width))  # a JPEG decoder can skip detail
            turned = ImageOps.exif_transpose(picture)
            has_alpha = turned.mode in ("RGBA", "LA", "PA") or "transparency" in turned.info
            small = turned.convert("RGBA" if has_alpha else "RGB")
            small.thumbnail((width, width), Image.Resampling.LANCZOS)
            small.info.clear()
            file = io.BytesIO()
            small.save(file, "WEBP", quality=QUALITY)
            return described, file.getvalue()
    except Exception as error:  # a decoder may raise anything for a damaged file
        return {"error": f"the picture cannot be read: {type(error).__name__}"}, b""


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
