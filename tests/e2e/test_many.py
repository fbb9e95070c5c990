"""Hundreds of random utterances over two schedulers and eight nodes that die all the time; ten thousand when asked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from kit.aftermath import ROOT, leftovers
from kit.eventually import eventually
from kit.schedulers import Cluster, cluster
from kit.seeds import chosen_seed
from kit.storm import Storm

if TYPE_CHECKING:
    from pathlib import Path

#: What a scheduler may grow by once it is warm.
GROWTH_BYTES = 32 * 1024 * 1024


async def test_three_hundred_utterances_have_one_outcome_each_while_nodes_die(
    two: Cluster, pair: tuple[str, str]
) -> None:
    await weather(two, pair, sessions=30, utterances=10)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_ten_thousand_utterances_have_one_outcome_each_while_nodes_die(
    tmp_path: Path, pair: tuple[str, str]
) -> None:
    with cluster(tmp_path, 2) as running:
        storm = await weather(running, pair, sessions=80, utterances=125)
    warm = storm.rss_bytes[len(storm.rss_bytes) // 3]
    assert storm.rss_bytes[-1] - warm < GROWTH_BYTES, storm.rss_bytes


async def weather(running: Cluster, pair: tuple[str, str], sessions: int, utterances: int) -> Storm:
    storm = Storm(running.urls, pair, chosen_seed(), sessions, utterances, running.schedulers)
    await storm.run()
    sys.stdout.write(f"{dict(storm.ends)}, {storm.kills} kills, at most {max(storm.rss_bytes) >> 20} MiB\n")
    results = storm.ends["translation_result:"]
    assert storm.kills > 0
    assert results > 0.9 * sessions * utterances, storm.ends
    assert all(node.peak <= node.capacity for node in storm.team), [(node.peak, node.capacity) for node in storm.team]
    assert all(len(tries) == len(set(tries)) and max(tries) <= 3 for tries in storm.executions.values())
    await eventually(lambda: left_over(running, storm) == [], what="nothing is left")
    running.assert_nothing_leaked()
    return storm


def left_over(running: Cluster, storm: Storm) -> list[str]:
    """Name what is left of jobs and sessions in the store, and what is left at the storm's nodes."""
    with running.redis() as redis:
        left = leftovers(redis)
        names = [str(node.node_id) for node in storm.team]
        left += [f"{name}'s job" for name in names if redis.exists(f"{ROOT}node:{name}:jobs")]
        left += [f"load of {name}" for name in names if int(redis.hget(f"{ROOT}node:{name}", "load") or 0)]
    return left
