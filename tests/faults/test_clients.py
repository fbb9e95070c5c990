"""Clients that read slowly or not, flood, or break the protocol, while others talk (rows F29 to F31)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kit.attackers import Attackers, attackers
from kit.rig import rig
from kit.unharmed import unharmed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kit.rig import Rig

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

SEND_MS = 1_000
#: What one client may cost the scheduler, whatever it does: its outbox and its journal, twice the largest message, and
#: what stays of that with the allocator.
CLIENT_BYTES = 8 * 1024 * 1024
#: What breaks the protocol, and how it is answered; None: it is read slowly, and never closed.
KINDS: dict[str, int | None] = {
    "flood": 4429, "flood_base": None, "length": 1009, "bomb": 1002, "fragments": 1009, "empty": 1008, "pings": None,
}  # fmt: skip


class Memory:
    """How much the schedulers' memory grew at most."""

    def __init__(self, system: Rig) -> None:
        self._system = system
        self._before = [each.rss_bytes for each in system.schedulers]

    @property
    def grown_bytes(self) -> int:
        """Compare now with the beginning."""
        now = (each.rss_bytes for each in self._system.schedulers)
        return max(after - before for after, before in zip(now, self._before, strict=True))


@asynccontextmanager
async def all_of(kinds: dict[str, int], url: str) -> AsyncIterator[dict[str, Attackers]]:
    """Start so many of each kind."""
    async with AsyncExitStack() as stack:
        yield {kind: await stack.enter_async_context(attackers(kind, url, count)) for kind, count in kinds.items()}


async def begin(groups: dict[str, Attackers]) -> None:
    await asyncio.gather(*(group.begin() for group in groups.values()))


async def stop(groups: dict[str, Attackers]) -> None:
    await asyncio.gather(*(group.stop() for group in groups.values()))


@pytest.mark.row("F29")
async def test_who_reads_slowly_or_not_at_all_is_closed_and_nobody_else_notices(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed, http_send_ms=SEND_MS, session_resume_ms=3_000) as system:
        await system.add_node("loud", hears="fr", speaks="it", speech_ms=4_000, delay_ms=50, capacity=16)
        kinds = {"stopped": 4, "slow": 4}
        async with system.people() as talking, all_of(kinds, system.schedulers[0].url) as groups:
            memory = Memory(system)
            compared = await unharmed(talking, lambda: begin(groups), lambda: stop(groups), 6.0)
            grown = memory.grown_bytes
            closed = system.metric("lingua_sessions_closed_total", code="1013")
            blamed = system.metric("lingua_errors_total", side="client", code="SLOW_CONSUMER")
        for kind, group in groups.items():
            assert group.told["cut off"] > 0, f"{kind}: {group.told}"
        assert groups["slow"].told["read_bytes"] > 0
        assert closed >= blamed > 0
        assert grown <= sum(kinds.values()) * CLIENT_BYTES, f"{grown} bytes more"
        await system.settle(talking)
        longest_ms = max(group.told["longest_ms"] for group in groups.values())
        figures |= system.figures | compared | {"closed": closed, "grown_mb": grown >> 20, "longest_ms": longest_ms}


@pytest.mark.row("F30")
async def test_who_floods_or_breaks_the_protocol_is_closed_and_nobody_else_notices(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed, flow_close_after_ms=2_500) as system:
        async with system.people() as talking, all_of(dict.fromkeys(KINDS, 1), system.schedulers[0].url) as groups:
            memory = Memory(system)
            compared = await unharmed(talking, lambda: begin(groups), lambda: stop(groups), 6.0)
            grown = memory.grown_bytes
        told = {kind: group.told for kind, group in groups.items()}
        for kind, code in KINDS.items():
            ends = {name for name in told[kind] if name.startswith("closed:")}
            assert ends == ({f"closed:{code}"} if code else set()), f"{kind}: {told[kind]}"
        assert told["bomb"]["compression granted"] == 0
        assert told["flood"]["backpressure"] > 0, "it is warned before"
        assert told["flood"]["error:RATE_LIMITED"] > 0
        assert told["flood_base"]["backpressure"] == 0, "existing pages mute themselves then"
        assert system.metric("lingua_sessions_throttled_total", rule="pause") > 0, "it is read more slowly"
        assert grown <= len(KINDS) * CLIENT_BYTES, f"{grown} bytes more"
        await system.settle(talking)
        sent_mb = sum(told[kind]["sent_bytes"] for kind in KINDS) >> 20
        figures |= system.figures | compared | {"sent_mb": sent_mb, "grown_mb": grown >> 20}
