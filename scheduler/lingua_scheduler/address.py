"""Whose address a request comes from. Behind proxies only what they themselves added counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web


def address_of(request: web.Request, hops: int) -> str:
    """Give the address of the caller.

    :param hops: how many proxies stand in front, each of which adds to ``X-Forwarded-For`` (RFC 7239 5.2 tells of its
        dangers: what is left of those entries is the caller's own word); 0: the socket's other end.
    """
    told = [part.strip() for line in request.headers.getall("X-Forwarded-For", []) for part in line.split(",")]
    if hops and len(told) >= hops:
        return told[-hops]
    return request.remote or ""
