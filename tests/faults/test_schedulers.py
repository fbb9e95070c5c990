"""Schedulers are replaced, killed and paused while people talk: nobody loses a sentence (rows F1 to F5)."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import pytest

from kit.aftermath import ROOT
from kit.eventually import eventually
from kit.rig import rig
from lingua_state.loader import load

if TYPE_CHECKING:
    from pathlib import Path

    from kit.crowd import Crowd
    from kit.rig import Rig
    from kit.schedulers import SchedulerProcess

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]
PEOPLE = 8
#: So many, of whom each says something about each 20 s, so that two cores carry them.
MANY, RARELY_S = 200, 20.0
#: How long a killed scheduler may leave 99 of 100 without a connection.
GAP_MS = 5_000
#: How long after the first scheduler is ready everybody may wait for an answer, where all were killed.
RECOVERED_S = 10.0
#: Those who talk while all schedulers are killed, and how many an instance lets in in a second: all of them in the same
#: second would be too many.
CROWD, OFTEN_S, OPENINGS_PER_S = 80, 5.0, 15
#: What else may take time on a busy machine.
MARGIN_S = 5.0
#: Twice the lease of a node, and three times that of an instance: to all others it is dead.
SLEEP_S = 30.0


async def heard_more(talking: Crowd, count: int = 2 * PEOPLE) -> None:
    """Wait until people have heard so many more answers."""
    before = talking.answered
    await eventually(lambda: talking.answered >= before + count, within_s=90, what=f"{count} more answers")


async def ended(scheduler: SchedulerProcess) -> int:
    return await asyncio.to_thread(scheduler.wait)


def fenced(scheduler: SchedulerProcess) -> int:
    """Count what the store refused since a later generation holds the session."""
    return int(scheduler.metric("lingua_sessions_fenced_total"))


def assert_nobody_noticed(talking: Crowd) -> None:
    assert talking.lost() == []
    assert talking.broken() == []
    assert talking.violations() == []


@pytest.mark.row("F4")
async def test_a_rolling_update_costs_nobody_a_sentence_and_everybody_moves_in_time(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed, schedulers=2, nodes=3, delay_ms=200, drain_reconnect_ms=500) as system:
        old = list(system.schedulers)
        async with system.people(PEOPLE) as talking:
            for leaving in old:
                await system.add_scheduler()
                leaving.terminate()
                await eventually(lambda: leaving.process.poll() is not None, within_s=60, what="it has ended")  # noqa: B023
                assert await ended(leaving) == 0
                await heard_more(talking)
        assert_nobody_noticed(talking)
        assert len(talking.gaps_ms()) >= PEOPLE, "everybody moved at least once"
        assert talking.renewed() == 0
        assert sorted(talking.gaps_ms())[-1] < 5_000
        await system.settle(talking)
        figures |= system.figures | {"gap_ms": round(max(talking.gaps_ms(), default=0))}


@pytest.mark.row("F1")
@pytest.mark.parametrize("people", [PEOPLE, MANY])
async def test_a_scheduler_that_is_killed_costs_nobody_a_sentence(
    tmp_path: Path, seed: int, figures: dict[str, Any], people: int
) -> None:
    async with rig(tmp_path, seed, schedulers=2, nodes=3, delay_ms=200) as system:
        killed = system.schedulers[0]
        async with system.people(people, RARELY_S if people == MANY else 0.3) as talking:
            held = await asyncio.to_thread(killed.metric, "lingua_sessions_active")
            killed.kill()
            await system.add_scheduler()
            await eventually(lambda: len(talking.gaps_ms()) >= held, within_s=90, what="all of them go on")
            await heard_more(talking)
        assert_nobody_noticed(talking)
        assert held > 0
        assert talking.renewed() == 0
        gaps_ms = sorted(talking.gaps_ms())
        p99_ms = gaps_ms[math.ceil(len(gaps_ms) * 0.99) - 1]
        assert p99_ms <= GAP_MS
        await system.settle(talking)
        figures |= system.figures | {"sessions": people, "moved": int(held), "gap_p99_ms": round(p99_ms)}


def call_of(script: str, word: bytes = b"") -> re.Pattern[bytes]:
    """Find a call of a script for a job that has a word among its arguments; its group is the job's id."""
    sha = load(script).sha.encode()
    return re.compile(sha + rb"(?:(?!EVALSHA).)*?:job:([0-9a-f]{32})(?:(?!EVALSHA).)*?" + word, re.DOTALL)


def records_of_same_speech(system: Rig, job_id: str) -> list[tuple[str, str]]:
    """Read id and status of each job that was made of the same utterance of the same session as this one."""
    with system.store.client() as client:
        names: list[Any] = list(client.scan_iter(f"{ROOT}job:*", count=1000))
        found: dict[str, Any] = {str(name).removeprefix(f"{ROOT}job:"): client.hgetall(name) for name in names}
    requests = {name: json.loads(record["request"]) for name, record in found.items()}
    speech = {name: (one["session_id"], one.get("utterance_index", 0)) for name, one in requests.items()}
    return [(name, found[name]["status"]) for name in found if speech[name] == speech[job_id]]


def is_done(system: Rig, job_id: str, moment: str) -> bool:
    with system.store.client() as client:
        status = client.hget(f"{ROOT}job:{job_id}", "status")
    return status is not None and (moment == "begun" or status == "completed")


@pytest.mark.row("F2")
@pytest.mark.parametrize(("moment", "call"), [
    ("begun", call_of("dispatch")), ("ended", call_of("update_job_status", b"\r\ncompleted\r\n")),
], ids=["begun", "ended"])  # fmt: skip
async def test_a_scheduler_killed_before_it_learns_what_its_script_did_costs_nobody_a_sentence(
    tmp_path: Path, seed: int, figures: dict[str, Any], moment: str, call: re.Pattern[bytes]
) -> None:
    async with rig(tmp_path, seed, schedulers=1, nodes=3, delay_ms=200, through=True) as system:
        assert system.way is not None
        async with system.people(PEOPLE) as talking:
            system.store_url = system.store.url
            await system.add_scheduler()
            held_before = system.way.held
            system.way.trap = call
            await eventually(lambda: system.way and system.way.held > held_before, within_s=30, what="a reply is lost")
            assert system.way.caught is not None
            job_id = system.way.caught[1].decode()
            await eventually(lambda: is_done(system, job_id, moment), within_s=30, what="the script has run")
            system.schedulers[0].kill()
            await heard_more(talking, 3 * PEOPLE)
        assert_nobody_noticed(talking)
        assert talking.renewed() == 0
        await system.settle(talking)
        ends = dict(await asyncio.to_thread(records_of_same_speech, system, job_id))
        assert ends.pop(job_id) == ("failed" if moment == "begun" else "completed")
        assert list(ends.values()) == ["completed"], "its client said it again elsewhere, once"
        figures |= system.figures | {"moment": moment, "gap_ms": round(max(talking.gaps_ms(), default=0))}


@pytest.mark.row("F3")
async def test_a_scheduler_that_is_paused_and_comes_back_disturbs_nobody(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(tmp_path, seed, schedulers=2, nodes=3, delay_ms=200) as system:
        paused = system.schedulers[0]
        async with system.people(PEOPLE) as talking:
            await eventually(lambda: paused.metric("lingua_sessions_active") > 0, what="it has sessions")
            paused.pause()
            try:
                await asyncio.sleep(SLEEP_S)
            finally:
                paused.go_on()
            await system.until(lambda: fenced(paused) > 0, within_s=60, what="what it still writes is refused")
            await heard_more(talking, 3 * PEOPLE)
        assert_nobody_noticed(talking)
        await system.settle(talking)
        stale = {"fenced": fenced(paused), "rejected": system.rejected()}
        figures |= system.figures | {"gap_ms": round(max(talking.gaps_ms(), default=0))} | stale


def most_in_a_second(times_s: list[float]) -> int:
    """Count the most of these times that lie within a second of each other."""
    return max((at - bisect_left(times_s, time_s - 1.0) + 1 for at, time_s in enumerate(times_s)), default=0)


async def ready_s(system: Rig) -> float:
    await system.add_scheduler()
    return time.monotonic()


@pytest.mark.row("F5")
async def test_all_schedulers_may_be_killed_and_started_again_under_load(
    tmp_path: Path, seed: int, figures: dict[str, Any]
) -> None:
    async with rig(
        tmp_path, seed, schedulers=2, nodes=3, delay_ms=200, session_openings_per_s=OPENINGS_PER_S
    ) as system:
        assert system.front is not None
        async with system.people(CROWD, OFTEN_S) as talking:
            for scheduler in system.schedulers:
                scheduler.kill()
            killed_s = time.monotonic()
            first_s = min(await asyncio.gather(ready_s(system), ready_s(system)))
            await eventually(lambda: not silent_since(talking, killed_s), within_s=90, what="everybody hears again")
            recovered_s = time.monotonic() - first_s
        assert_nobody_noticed(talking)
        rate = most_in_a_second([at for at in system.front.carried_s if at > killed_s])
        await system.settle(talking)
        assert recovered_s <= RECOVERED_S + MARGIN_S
        assert rate <= 2 * 2 * OPENINGS_PER_S, "two instances, each of which lets as many in"
        figures |= system.figures | {
            "down_s": round(first_s - killed_s, 1), "recovered_s": round(recovered_s, 2), "connects_per_s": rate,
            "gap_ms": round(max(talking.gaps_ms())),
        }  # fmt: skip


def silent_since(talking: Crowd, since_s: float) -> int:
    """Count those who heard nothing since then."""
    heard = [max((at for said in one.spoken.values() for at in said.answers), default=0.0) for one in talking.talkers]
    return sum(last_s < since_s for last_s in heard)
