"""The page of the canvas: the files that the build of `ui/` has put into `static/`."""

from __future__ import annotations

import mimetypes
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Response

from engine.server.files_out import IMMUTABLE
from engine.server.refusal import refused
from engine.server.security.access import PAGES
from engine.server.security.headers import PAGE_POLICY

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).parents[1] / "static"
_PLAIN = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>Safelight</title><h1>Safelight runs</h1>"
    "<p>This installation has no canvas; programs use <code>/api/v1</code>, which "
    '<a href="/api/v1/openapi.json">openapi.json</a> describes.</p></html>'
)


@cache
def page_files() -> dict[str, Path]:
    """List the files of the page once, by URL path; a URL is only looked up here, never used as a path."""
    files = [path for path in STATIC.rglob("*") if path.is_file()] if STATIC.is_dir() else []
    return {f"/{path.relative_to(STATIC).as_posix()}": path for path in files}


def page() -> Response:
    """Send the page."""
    index = page_files().get("/index.html")
    text = _PLAIN if index is None else index.read_text(encoding="utf-8")
    headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
    return Response(text, media_type="text/html", headers=headers)


for address in PAGES:
    router.get(address)(page)


@router.get("/assets/{name:path}")
def page_file(name: str) -> Response:
    """Send a script, style or font of the page. Its name contains its digest, so browsers may cache it."""
    path = page_files().get(f"/assets/{name}")
    if path is None:
        raise refused(404, "unknown_address", f"the page has no file {name!r}")
    media = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Response(path.read_bytes(), media_type=media, headers={"Cache-Control": IMMUTABLE})
