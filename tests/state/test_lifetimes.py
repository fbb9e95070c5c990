"""Every key has a time to live or an owner that lives; when all owners are gone, so are the keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lingua_state import dispatch, instances, jobs, nodes, sessions
from lingua_state.epoch import ensure_epoch
from lingua_state.ids import new_job_id
from lingua_state.models import Assigned, Capability, DispatchRequest, JobStatus, NodeRegistration, Pair, Waiting
from lingua_state.sweep import sweep

if TYPE_CHECKING:
    from lingua_state.client import Store

NODE = "node-1"
INCARNATION = "i1"
SESSION = "session-1"
#: What has no time to live, because something that lives owns it: the store itself, a node, a class, a waiting job, or
#: an index that is bounded and swept.
OWNED = (
    r"epoch|sessions|instances|nodes:all|nodes:lease|node:node-1(:jobs|:waiting)?|pools:all|pool:\w+:(def|nodes|names)"
    r"|pool:(en|auto):es|jobs:\w+|waiting|waiting:en:es@acme|waits|waits:en:es(@acme)?"
)
#: What stays for ever.
ALWAYS = {"epoch"}


async def names(store: Store) -> dict[str, int]:
    """List every key without its root, with its time to live (-1: none)."""
    keys = [key async for key in store.redis.scan_iter(count=1_000)]
    roots = (store.keys.session_root, store.keys.root)
    assert all(key.startswith(roots) for key in keys)
    return {key.removeprefix(store.keys.root): await store.call("PTTL", key) for key in keys}


def request(index: int) -> DispatchRequest:
    return DispatchRequest(
        job_id=new_job_id(),
        session_id=SESSION,
        owner="s1",
        pair=Pair("en", "es"),
        utterance_index=index,
        turn_id=f"turn-{index}",
        request_id=f"r{index}",
        tenant="acme",
    )


async def busy(store: Store) -> tuple[Assigned, Waiting, int]:
    """Make one of everything: a node at work, a job that waits, one that is done, a session, an instance."""
    await ensure_epoch(store)
    await instances.announce(
        store, instance_id="s1", address="a", version="1", sessions=1, nodes=1, draining=False, ttl_ms=60_000
    )
    generation = await sessions.attach(
        store,
        session_id=SESSION,
        instance_id="s1",
        tenant="acme",
        source="en",
        target="es",
        mode="one_way",
        trace_id="",
        ttl_ms=60_000,
    )
    capability = Capability(asr=("en",), targets=("es",))
    await nodes.register(store, NodeRegistration(NODE, INCARNATION, "s1", capability, capacity=1, lease_ms=60_000))
    done = await dispatch.dispatch(store, request(0))
    assert isinstance(done, Assigned)
    await finish(store, done)
    working, waiting = await dispatch.dispatch(store, request(1)), await dispatch.dispatch(store, request(2))
    assert isinstance(working, Assigned)
    assert isinstance(waiting, Waiting)
    return working, waiting, generation


async def finish(store: Store, job: Assigned) -> None:
    told = await jobs.complete(
        store, job.job_id, job.attempt_id, job.node_id, job.incarnation, status=JobStatus.COMPLETED
    )
    assert told.outcome == "ok"


async def test_every_key_has_a_time_to_live_or_an_owner_that_lives(store: Store) -> None:
    await busy(store)
    lasting = {name for name, ttl in (await names(store)).items() if ttl < 0}
    assert {name for name in lasting if not re.fullmatch(OWNED, name)} == set()
    assert {"epoch", f"node:{NODE}", "nodes:all"} <= lasting


async def test_when_all_owners_are_gone_nothing_stays_without_a_time_to_live(store: Store) -> None:
    working, waiting, generation = await busy(store)
    await finish(store, working)
    ended = await jobs.end(store, waiting.job_id, status=JobStatus.CANCELLED, error_code=None, error_message=None)
    assert ended.outcome == "ok"
    await nodes.offline(store, NODE, INCARNATION)
    assert await sessions.close(store, SESSION, generation)
    await instances.leave(store, "s1")
    await sweep(store, idle_ms=0)
    lasting = {name for name, ttl in (await names(store)).items() if ttl < 0}
    finished = {name for name in lasting if name.startswith("jobs:")}
    assert lasting - finished - ALWAYS == set()
    # The lists of ended jobs are bounded, by number and by age.
    assert finished <= {"jobs:completed", "jobs:cancelled"}
