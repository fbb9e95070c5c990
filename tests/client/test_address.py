"""One address from the user, all others from it."""

from __future__ import annotations

import pytest

from lingua_client import address
from lingua_client.errors import LinguaError


@pytest.mark.parametrize(
    ("url", "http", "socket"),
    [
        ("127.0.0.1:5010", "http://127.0.0.1:5010", "ws://127.0.0.1:5010/ws/session"),
        ("http://a:1/", "http://a:1", "ws://a:1/ws/session"),
        ("wss://b.example/ws/session", "https://b.example", "wss://b.example/ws/session"),
        ("https://c.example/lingua", "https://c.example/lingua", "wss://c.example/lingua/ws/session"),
        ("ws://[::1]:5010", "http://[::1]:5010", "ws://[::1]:5010/ws/session"),
    ],
)
def test_http_and_socket_addresses_follow_from_any_form(url: str, http: str, socket: str) -> None:
    parsed = address.parse(url)
    assert (parsed.http, parsed.socket, parsed.api("/x")) == (http, socket, http + "/x")


@pytest.mark.parametrize("url", ["", "ftp://a", "http://", "http://a:port", "http://[::1", "http://a:99999"])
def test_what_is_no_address_is_refused_with_how_to_write_it(url: str) -> None:
    with pytest.raises(LinguaError, match="not a URL") as refused:
        address.parse(url)
    assert refused.value.code == "BAD_URL"
    assert "http://host:port" in refused.value.remedy
