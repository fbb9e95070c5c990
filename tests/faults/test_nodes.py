"""Nodes that die, keep quiet, lie and come back while people talk (rows F6 to F14)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from kit.eventually import eventually
from kit.measures import taken_again_s
from kit.node_program import POISON
from kit.proof import utterance
from kit.proxy import proxy_to
from kit.rig import PAIR, rig
from kit.verdict import read
from lingua_client import Failed, SessionSettings, connect

if TYPE_CHECKING:
    from pathlib import Path

    from kit.fleet import NodeProcess
    from kit.rig import Rig

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

#: A silent node is found when its lease of 15 s has run out and the next sweep has come (guarantees, N1).
DETECTED_S = 17.0
#: A killed node's socket closes, and its jobs go elsewhere.
AGAIN_S = 1.0
#: A scheduler that has just begun spares all nodes for one base lease of 45 s: here that is as short as theirs.
LEASE_MS = 15_000
#: What an answer takes beyond that on a busy machine.
MARGIN_S = 5.0


async def at_work(system: Rig) -> NodeProcess:
    found = await eventually(lambda: system.team.working()[:1], within_s=30, what="a node is at work")
    return found[0]  # type: ignore[no-any-return]


@pytest.mark.row("F6")
async def test_a_node_killed_in_mid_job_costs_nobody_an_answer(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed, delay_ms=300) as system:
        async with system.people() as talking:
            for _ in range(4):
                victim = await at_work(system)
                victim.kill()
                await asyncio.sleep(system.source.random())
                victim.start()
        await system.settle(talking)
        again_s = max(taken_again_s(read(tmp_path)), default=0.0)
        assert again_s <= AGAIN_S + MARGIN_S
        figures |= system.figures | {"kills": 4, "taken_again_s": round(again_s, 2)}


@pytest.mark.row("F7")
async def test_a_node_that_falls_silent_is_found_within_its_lease(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with (
        rig(tmp_path, seed, nodes=3, delay_ms=300, nodes_lease_ms=LEASE_MS) as system,
        proxy_to(urlsplit(system.url).port or 0) as way,
    ):
        silent = await system.add_node("silent", f"http://127.0.0.1:{way.port}", delay_ms=300, capacity=16)
        async with system.people() as talking:
            await eventually(lambda: silent in system.team.working(), within_s=30, what="the node is at work")
            way.hole = True
            found_s = await system.until(
                lambda: system.node_is("silent", "offline"), within_s=DETECTED_S + MARGIN_S, what="it is found"
            )
        await system.settle(talking)
        assert talking.worst_wait_s() <= DETECTED_S + MARGIN_S
        figures |= system.figures | {"found_s": round(found_s, 1)}


@pytest.mark.row("F8")
async def test_a_node_that_was_paused_beyond_its_lease_comes_back_and_its_old_answers_count_no_more(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed, delay_ms=400, nodes_lease_ms=LEASE_MS) as system:
        async with system.people() as talking:
            victim = await at_work(system)
            victim.pause()
            await system.until(
                lambda: system.node_is(victim.node_id, "offline"), within_s=DETECTED_S + MARGIN_S, what="it is found"
            )
            victim.go_on()
            # Not yet ready, as a rule: it failed what it had, and has to prove itself.
            await system.until(lambda: not system.node_is(victim.node_id, "offline"), within_s=30, what="it is in")
        await system.settle(talking)
        assert talking.worst_wait_s() <= DETECTED_S + MARGIN_S
        figures |= system.figures


@pytest.mark.row("F9")
async def test_an_answer_that_is_given_three_times_is_heard_once(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed, nodes=0) as system:
        for number in range(3):
            await system.add_node(f"echo-{number}", repeat=3)
        async with system.people() as talking:
            await eventually(lambda: talking.answered > 60, within_s=60)
        await system.settle(talking)
        rejected = system.rejected()
        assert rejected > 0
        figures |= system.figures | {"rejected": rejected}


@pytest.mark.row("F10")
async def test_an_answer_after_its_job_has_expired_is_told_to_nobody(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed, nodes=3, job_timeout_ms=2_000) as system:
        await system.add_node("slow", delay_ms=5_000, late=True)
        async with system.people() as talking:
            await system.until(lambda: system.rejected() > 0, within_s=60, what="a late answer")
        await system.settle(talking)
        figures |= system.figures | {"rejected": system.rejected()}


@pytest.mark.row("F11")
async def test_speech_that_kills_every_node_that_hears_it_is_given_up_after_three(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed, nodes=6) as system:
        async with system.people() as talking:
            ends = await say_poison(system)
            await eventually(lambda: len(dead(system)) >= 1, within_s=10)
            for node in dead(system):
                node.start()
        assert ends, "the poison was answered"
        killed = sum(1 for tries in system.team.executions().values() if len(tries) > 1)
        await system.settle(talking)
        assert max(map(len, system.team.executions().values())) <= 3
        figures |= system.figures | {"told": ends[-1], "retried": killed}


async def say_poison(system: Rig) -> list[str]:
    """Say what kills nodes, and tell how it ended."""
    audio = POISON + utterance(500, system.source)[len(POISON) :]
    # It may be sent again by the library as often as a node was lost after its acknowledgement.
    settings = SessionSettings(vad_silence_ms=0)
    async with connect(system.url, source=PAIR[0], target=PAIR[1], settings=settings) as session:
        await session.send(audio)
        await session.finish()
        return [event.code async for event in session if isinstance(event, Failed) and not event.resent]


def dead(system: Rig) -> list[NodeProcess]:
    return [node for node in system.team.nodes if node.process.poll() is not None]


@pytest.mark.row("F12")
async def test_a_node_that_fails_everything_is_taken_out_and_costs_nobody_an_answer(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed, nodes=2) as system:
        await system.add_node("bad", fail="PROCESSING_ERROR", capacity=16)
        async with system.people(count=16) as talking:
            await system.until(
                lambda: system.schedulers[0].ask("/api/v1/nodes/bad")[1]["quarantined"],
                within_s=60, what="the bad node is taken out",
            )  # fmt: skip
        await system.settle(talking)
        figures |= system.figures


@pytest.mark.row("F13")
async def test_a_node_that_comes_and_goes_leaves_nothing_behind(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed) as system:
        flapping = system.team.nodes[0]
        async with system.people() as talking:
            for _ in range(6):
                await flap(flapping)
                await asyncio.sleep(system.source.random())
        await system.settle(talking)
        figures |= system.figures | {"flaps": 6}


async def flap(node: NodeProcess) -> None:
    """Kill a node, start it, and wait until it is in again."""
    node.kill()
    before = len(node.events("registered"))
    node.start()
    await eventually(lambda: len(node.events("registered")) > before, within_s=30, what=f"{node.node_id} is in again")


@pytest.mark.row("F14")
async def test_half_of_the_nodes_may_die_at_once(tmp_path: Path, seed: int, figures: dict[str, Any]) -> None:
    async with rig(tmp_path, seed, nodes=6, delay_ms=300) as system:
        async with system.people(count=16) as talking:
            await eventually(lambda: len(system.team.working()) >= 3, within_s=30)
            for node in system.team.nodes[:3]:
                node.kill()
            heard = talking.answered
            await eventually(lambda: talking.answered > heard + 30, within_s=60, what="the other half serves all")
        await system.settle(talking)
        figures |= system.figures
