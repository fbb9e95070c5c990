"""Hundreds of random utterances over two schedulers and eight nodes that die all the time; ten thousand when asked."""

from __future__ import annotations

import os
import random
import sys
from typing import TYPE_CHECKING

import pytest

from kit.eventually import eventually
from kit.schedulers import Cluster, cluster
from kit.storm import Storm

if TYPE_CHECKING:
    from pathlib import Path

UNFINISHED = ("pending", "assigned", "dispatched", "accepted", "processing")
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
    seed = int(os.environ.get("LINGUA_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    sys.stdout.write(f"LINGUA_SEED={seed}\n")
    storm = Storm(running.urls, pair, seed, sessions, utterances, running.schedulers)
    await storm.run()
    sys.stdout.write(f"{dict(storm.ends)}, {storm.kills} kills, at most {max(storm.rss_bytes) >> 20} MiB\n")
    results = storm.ends["translation_result:"]
    assert storm.kills > 0
    assert results > 0.9 * sessions * utterances, storm.ends
    assert all(node.peak <= node.capacity for node in storm.team), [(node.peak, node.capacity) for node in storm.team]
    assert all(len(tries) == len(set(tries)) and max(tries) <= 3 for tries in storm.executions.values())
    await eventually(lambda: leftovers(running, storm) == [], within_s=15, what="nothing is left")
    running.assert_nothing_leaked()
    return storm


def leftovers(running: Cluster, storm: Storm) -> list[str]:
    """Name what is left of jobs and sessions in the store but the records of what has ended."""
    root = "lingua:v1:"
    with running.redis() as redis:
        mine = list(redis.zrange(root + "jobs:deadline", 0, -1))
        left = [f"deadline {name!r}" for name in mine]
        left += [f"{status} {name!r}" for status in UNFINISHED for name in redis.zrange(f"{root}jobs:{status}", 0, -1)]
        left += [f"waiting {name!r}" for name in redis.zrange(root + "waiting", 0, -1)]
        left += [f"session {name!r}" for name in redis.zrange(root + "sessions", 0, -1)]
        names = [str(node.node_id) for node in storm.team]
        left += [f"{name}'s job" for name in names if redis.exists(f"{root}node:{name}:jobs")]
        left += [f"load of {name}" for name in names if int(redis.hget(f"{root}node:{name}", "load") or 0)]
    return left
