"""Whose address counts: the socket's, or what the proxies in front say, and never the caller's own word."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from lingua_scheduler.address import address_of


@pytest.mark.parametrize(
    ("forwarded", "hops", "address"),
    [
        ("192.0.2.1", 0, "203.0.113.9"),
        (None, 1, "203.0.113.9"),
        ("192.0.2.1", 1, "192.0.2.1"),
        ("1.1.1.1, 192.0.2.1", 1, "192.0.2.1"),
        ("1.1.1.1, 192.0.2.1, 10.0.0.1", 2, "192.0.2.1"),
        ("10.0.0.1", 2, "203.0.113.9"),
    ],
)
def test_only_what_the_proxies_added_counts(forwarded: str | None, hops: int, address: str) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    request = make_mocked_request("GET", "/", headers=headers).clone(remote="203.0.113.9")
    assert address_of(request, hops) == address
