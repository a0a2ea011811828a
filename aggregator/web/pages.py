"""The page, its files, and the page about the API: what is shown to people. Nothing of it comes from elsewhere.

Files are found by their names in a list made of the directory, never by joining paths: what is not in the list is not
there.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from aggregator.web.asking import Refused

STATIC = Path(__file__).resolve().parent.parent / "static"
PAGE, ICON = "index.html", "favicon.svg"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
"""What may be served; files of other types are not."""


class File(NamedTuple):
    body: bytes
    type: str
    etag: str


def read_files(directory: Path = STATIC) -> dict[str, File]:
    """The files below a directory by their names, as `lib/chart.js`. Symbolic links and hidden files are left out."""
    found = {}
    for path in sorted(directory.rglob("*")):
        parts = path.relative_to(directory).parts
        kind = TYPES.get(path.suffix)
        if kind is None or path.is_symlink() or not path.is_file() or any(part.startswith(".") for part in parts):
            continue
        body = path.read_bytes()
        found["/".join(parts)] = File(body, kind, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
    return found


def pages_router(files: Mapping[str, File], description: Callable[[], dict[str, Any]]) -> APIRouter:
    """`description` gives the OpenAPI document."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page(request: Request) -> Response:
        return _file(files, PAGE, request)

    @router.get("/favicon.ico")
    async def icon(request: Request) -> Response:
        return _file(files, ICON, request)

    @router.get("/static/{name:path}")
    async def static(name: str, request: Request) -> Response:
        return _file(files, name, request)

    @router.get("/api")
    async def api() -> Response:
        return HTMLResponse(api_page(description()))

    return router


def _file(files: Mapping[str, File], name: str, request: Request) -> Response:
    file = files.get(name)
    if file is None:
        raise Refused(404, "not_found", f"there is no file {name[:100]!r}")
    headers = {"etag": file.etag, "cache-control": "no-cache"}
    if file.etag in [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(file.body, headers=headers, media_type=file.type)


def api_page(document: Mapping[str, Any]) -> str:
    """The resources of an OpenAPI document as a page of plain HTML: no script, and nothing from elsewhere."""
    resources = [
        _resource(method, path, about)
        for path, methods in document["paths"].items()
        for method, about in methods.items()
    ]
    title = html.escape(f"{document['info']['title']} {document['info']['version']}")
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}: the API</title>\n'
        '<meta name="viewport" content="width=device-width">\n<link rel="stylesheet" href="/static/api.css">\n'
        f"<h1>{title}</h1>\n<p>{html.escape(document['info']['description'])}</p>\n"
        '<p><a href="/">The page</a> · <a href="/v1/openapi.json">OpenAPI</a></p>\n'
        f"{''.join(resources)}</html>\n"
    )


def _resource(method: str, path: str, about: Mapping[str, Any]) -> str:
    parameters = "".join(
        f"<tr><th><code>{html.escape(one['name'])}</code></th><td>{html.escape(one['in'])}</td>"
        f"<td>{html.escape(str(one.get('description') or one.get('schema', {}).get('description') or ''))}</td></tr>"
        for one in about.get("parameters", ())
    )
    table = f"<table>{parameters}</table>\n" if parameters else ""
    return (
        f"<section>\n<h2><code>{html.escape(method.upper())} {html.escape(path)}</code></h2>\n"
        f"<p>{html.escape(about.get('summary', ''))}. {html.escape(about.get('description', ''))}</p>\n"
        f"{table}</section>\n"
    )
