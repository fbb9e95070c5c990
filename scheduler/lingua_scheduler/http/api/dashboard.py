"""The dashboard: one page and its two files, from the package; it asks the API for everything it shows."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from aiohttp import web

from lingua_scheduler.http.endpoint import Call, Endpoint, Guard, Nothing

#: Nothing from elsewhere, nothing inline, no framing.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


def _page(name: str) -> Endpoint:
    """Make the route of one file; it is read once."""
    kind = _TYPES[name.rpartition(".")[2]]
    body = (files("lingua_scheduler.http") / "static" / name).read_bytes()

    async def show(call: Call[Nothing, None]) -> web.Response:
        del call
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

    media: dict[str, dict[str, Any]] = {kind: {"type": "string"}}
    path = "/dashboard" if name == "dashboard.html" else f"/dashboard/{name}"
    return Endpoint("GET", path, show, "dashboard", f"The dashboard ({name})", guard=Guard.OPEN, media=media)


ENDPOINTS = (_page("dashboard.html"), _page("dashboard.css"), _page("dashboard.js"))
