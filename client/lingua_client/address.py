"""The address of a scheduler: one URL from the user, the socket's and the HTTP API's from it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from lingua_client.errors import LinguaError

DEFAULT_URL: Final = "http://127.0.0.1:5010"
_HTTP: Final = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
_SOCKET: Final = {"http": "ws", "https": "wss"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a scheduler is: ``http`` and ``socket`` are base URLs without a slash at the end."""

    http: str

    @property
    def socket(self) -> str:
        """Give the URL of the session socket."""
        scheme, rest = self.http.split("://", 1)
        return f"{_SOCKET[scheme]}://{rest}/ws/session"

    def api(self, path: str) -> str:
        """Give the URL of an HTTP path that starts with a slash."""
        return self.http + path


def parse(url: str) -> Address:
    """Read ``http(s)://host:port``, ``ws(s)://...`` or ``host:port``; a path of the session socket is taken off.

    :raises LinguaError: it is none of these (``BAD_URL``).
    """
    bad = LinguaError("BAD_URL", "the address is not a URL", "Write it as http://host:port or wss://host.")
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        usable = parts.scheme in _HTTP and bool(parts.hostname) and parts.port != 0
    except ValueError as trouble:
        raise bad from trouble
    if not usable:
        raise bad
    path = parts.path.rstrip("/").removesuffix("/ws/session")
    return Address(f"{_HTTP[parts.scheme]}://{parts.netloc}{path}")
