"""A node is lost after the scheduler let its copy of the audio go: the library sends it again, unasked by its user."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kit.eventually import eventually
from lingua_client import Failed, Finalized, Pace, Result, SessionSettings, connect
from lingua_client.api import Api
from lingua_client.cli.serve import node_settings
from lingua_client.cli.stack import Plan, Stack, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LONG = EXAMPLES / "speech" / "sense-and-sensibility-0920.wav"
SHORT = EXAMPLES / "speech" / "go-forward.wav"
SETTINGS = {
    **node_settings(EXAMPLES / "domain" / "travel.txt", EXAMPLES / "phrasebook" / "es.txt"),
    "LINGUA_NODE_LANGUAGES": "en,es",
}


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(Plan(nodes=2, node_settings=SETTINGS), tmp_path) as started:
        yield started
    assert started.stubborn == []


async def kill_at_work(stack: Stack, job_id: str) -> str:
    async def working() -> str:
        async with Api(stack.url) as api:
            job = await api.get(f"/api/v1/jobs/{job_id}")
        assert job["status"] not in {"completed", "failed"}
        return str(job["node_id"]) if job["status"] in {"accepted", "processing"} else ""

    node_id: str = await eventually(working)
    await stack.programs.kill(stack.nodes[node_id])
    return node_id


async def test_an_utterance_whose_node_died_is_sent_again_and_told_once(stack: Stack) -> None:
    events: list[object] = []
    victim = ""
    settings = SessionSettings(vad_silence_ms=0)
    async with connect(stack.url, source="en", target="es", settings=settings) as session:
        await session.stream(LONG, pace=Pace.FAST)
        async for event in session:
            events.append(event)
            if isinstance(event, Finalized) and not victim:
                victim = await kill_at_work(stack, event.job_id)
            if isinstance(event, Result):
                break
        await session.stream(SHORT, pace=Pace.FAST)
        await session.finish()
        events += [event async for event in session]
    results = [event for event in events if isinstance(event, Result)]
    assert [event.resent for event in events if isinstance(event, Failed)] == [True]
    assert results[0].utterance_index == 0
    assert results[0].text.startswith("had he married")
    assert results[1].text == "go forward ten meters"
    assert victim not in {result.node_id for result in results}
