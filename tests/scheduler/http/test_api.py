"""The API tells what is in the store, on real records."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lingua_state import declarations, jobs, nodes
from lingua_state.declarations import Declaration, Scheduling
from lingua_state.models import Access, Capability, JobStatus, NodeStatus
from scheduler.http.world import add_instance, add_job, add_node, add_session, finish

if TYPE_CHECKING:
    from scheduler.http.conftest import Served


async def test_a_node_shows_what_it_can_do_and_how_busy_it_is(served: Served) -> None:
    await add_node(served.port.store, "n1", Capability(asr=("en", "fr"), targets=("es",)), capacity=3)
    await add_job(served.port.store)
    node = (await served.get("/api/v1/nodes"))["nodes"][0]
    assert (node["node_id"], node["status"], node["load"], node["capacity"]) == ("n1", "ready", 1, 3)
    assert node["languages"] == {"hears": ["en", "fr"], "speaks": ["es"], "excluded": [], "detects": False}
    assert node["quarantined"] is False
    detail = await served.get("/api/v1/nodes/n1")
    assert detail["document"] == {"platform": "linux"}


async def test_ages_can_be_told_from_the_stores_own_clock(served: Served) -> None:
    await add_node(served.port.store, "n1")
    page = await served.get("/api/v1/nodes")
    assert 0 <= page["now_ms"] - page["nodes"][0]["heartbeat_ms"] < 10_000


async def test_a_pairing_code_is_never_shown_not_even_its_digest(served: Served) -> None:
    digest = "d" * 64
    await add_node(served.port.store, "n1", Capability(("en",), ("es",), access=Access(public=False, pairing=digest)))
    for path in ("/api/v1/nodes", "/api/v1/nodes/n1", "/api/v1/pools", "/api/v1/pairs"):
        _, told, _ = await served.ask(path)
        assert digest not in str(told), path
    assert (await served.get("/api/v1/nodes/n1"))["access"]["by_pairing_code"] is True


async def test_all_nodes_come_over_several_pages_each_once(served: Served) -> None:
    names = {f"n{number:03}" for number in range(130)}
    for name in sorted(names):
        await add_node(served.port.store, name)
    found: list[str] = []
    path = "/api/v1/nodes?limit=20"
    page = await served.get(path)
    while True:
        found += [node["node_id"] for node in page["nodes"]]
        if page["next_cursor"] is None:
            break
        page = await served.get(f"{path}&cursor={page['next_cursor']}")
    assert set(found) == names


async def test_a_declared_node_is_shown_though_no_process_holds_it(served: Served) -> None:
    said = Declaration("n1", "u1", 4, Capability(("en",), ("es",)), capacity=7, weight=50)
    await declarations.declare(served.port.store, said)
    await add_node(served.port.store, "n2")
    listed = {node["node_id"]: node for node in (await served.get("/api/v1/nodes"))["nodes"]}
    assert set(listed) == {"n1", "n2"}
    declared, other = listed["n1"], listed["n2"]
    assert (declared["status"], declared["connected"], declared["origin"]) == ("offline", False, "declared")
    assert (declared["capacity"], declared["weight"], declared["generation"]) == (7, 50, 4)
    assert (declared["scheduling"], declared["languages"]["hears"]) == ("active", ["en"])
    assert (other["connected"], other["origin"], other["scheduling"]) == (True, "registered", "")
    assert (await served.get("/api/v1/nodes/n1"))["connected"] is False
    (pool,) = (await served.get("/api/v1/pools"))["pools"]
    assert (pool["nodes"], pool["declared"]) == (1, 1)
    (pair,) = (await served.get("/api/v1/pairs"))["pairs"]
    assert (pair["nodes"], pair["declared"]) == (1, 1)
    assert (await served.ask("/api/v1/nodes/n1/drain", "POST"))[0] == 404


async def test_what_a_declaration_holds_back_is_not_undrained_by_hand(served: Served) -> None:
    await add_node(served.port.store, "n1")
    said = Declaration("n1", "u1", 1, Capability(("en",), ("es",)), scheduling=Scheduling.CORDONED)
    await declarations.declare(served.port.store, said)
    status, told, _ = await served.ask("/api/v1/nodes/n1/undrain", "POST")
    assert (status, told["code"]) == (409, "CONFLICT")
    assert "scheduling: cordoned" in told["detail"]


async def test_draining_a_node_gives_it_nothing_new_and_undraining_gives_it_work_again(served: Served) -> None:
    await add_node(served.port.store, "n1")
    status, told, _ = await served.ask("/api/v1/nodes/n1/drain", "POST")
    assert (status, told) == (200, {"node_id": "n1", "status": "draining"})
    job_id = await add_job(served.port.store)
    assert (await served.get(f"/api/v1/jobs/{job_id}"))["status"] == "pending"
    await served.ask("/api/v1/nodes/n1/undrain", "POST")
    node = await nodes.get(served.port.store, "n1")
    assert node is not None
    assert node.status is NodeStatus.READY
    assert (await served.get(f"/api/v1/jobs/{job_id}"))["node_id"] == "n1"


async def test_a_job_tells_where_it_is_and_why(served: Served) -> None:
    await add_node(served.port.store, "n1")
    job_id = await add_job(served.port.store, tenant="acme", details={"dialect": "x"})
    await finish(served.port.store, job_id)
    job = await served.get(f"/api/v1/jobs/{job_id}")
    assert (job["status"], job["node_id"], job["attempt_id"]) == ("completed", "n1", 1)
    assert (job["finalize_reason"], job["affinity"], job["audio_ms"]) == ("IsFinal", "none", 1_200)
    assert job["pair"] == {"source": "en", "target": "es"}
    assert job["timings"]["asr_ms"] == 80
    assert job["created_ms"] <= job["assigned_ms"] <= job["ended_ms"]


async def test_jobs_are_listed_by_status_and_over_pages(served: Served) -> None:
    await add_node(served.port.store, "n1", capacity=100)
    made = {await add_job(served.port.store) for _ in range(25)}
    done = next(iter(made))
    await finish(served.port.store, done)
    listed = await served.get("/api/v1/jobs?status=completed")
    assert [job["job_id"] for job in listed["jobs"]] == [done]
    found: set[str] = set()
    cursor = ""
    while True:
        page = await served.get(f"/api/v1/jobs?limit=10{cursor}")
        found |= {job["job_id"] for job in page["jobs"]}
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == made


async def test_a_failed_job_tells_its_error(served: Served) -> None:
    await add_node(served.port.store, "n1")
    job_id = await add_job(served.port.store)
    await finish(served.port.store, job_id, JobStatus.FAILED, "NMT_TIMEOUT")
    assert (await served.get(f"/api/v1/jobs/{job_id}"))["error_code"] == "NMT_TIMEOUT"


async def test_cancelling_a_job_ends_it_once(served: Served) -> None:
    await add_node(served.port.store, "n1")
    job_id = await add_job(served.port.store)
    _, first, _ = await served.ask(f"/api/v1/jobs/{job_id}/cancel", "POST")
    _, second, _ = await served.ask(f"/api/v1/jobs/{job_id}/cancel", "POST")
    assert (first["cancelled"], first["status"]) == (True, "cancelled")
    assert (second["cancelled"], second["status"]) == (False, "cancelled")
    job = await jobs.get(served.port.store, job_id)
    assert job is not None
    assert job.status is JobStatus.CANCELLED


async def test_pairs_tell_what_is_offered_and_who_waits(served: Served) -> None:
    await add_node(served.port.store, "n1", Capability(("en",), ("es", "ca")), capacity=1)
    await add_job(served.port.store)
    await add_job(served.port.store)
    pairs = (await served.get("/api/v1/pairs"))["pairs"]
    assert [(row["pair"]["target"], row["free"], row["waiting"]) for row in pairs] == [("es", 0, 1), ("ca", 0, 0)]
    only = (await served.get("/api/v1/pairs?tgt=CA"))["pairs"]
    assert [row["pair"] for row in only] == [{"source": "en", "target": "ca"}]


async def test_pairs_and_pools_come_in_pages_too(served: Served) -> None:
    await add_node(served.port.store, "n1", Capability(("en",), ("ca", "es", "fr")))
    first = await served.get("/api/v1/pairs?limit=2")
    second = await served.get(f"/api/v1/pairs?limit=2&cursor={first['next_cursor']}")
    targets = [row["pair"]["target"] for row in first["pairs"] + second["pairs"]]
    assert (targets, second["next_cursor"]) == (["ca", "es", "fr"], None)
    for cursor in ("x", "-1", "99999999999"):
        assert (await served.problem(f"/api/v1/pools?cursor={cursor}"))["code"] == "INVALID_MESSAGE"


async def test_pools_group_nodes_of_the_same_capability(served: Served) -> None:
    for name in ("n1", "n2"):
        await add_node(served.port.store, name)
    await add_node(served.port.store, "n3", Capability(("fr",), ("en",)))
    pools = (await served.get("/api/v1/pools"))["pools"]
    assert sorted((pool["nodes"], pool["free"]) for pool in pools) == [(1, 2), (2, 4)]


async def test_sessions_and_instances_are_listed(served: Served) -> None:
    await add_session(served.port.store, "s1", tenant="acme")
    await add_instance(served.port.store, "here")
    await add_instance(served.port.store, "there", draining=True)
    session = (await served.get("/api/v1/sessions"))["sessions"][0]
    assert (session["session_id"], session["tenant"], session["source"]) == ("s1", "acme", "en")
    cluster = await served.get("/api/v1/cluster")
    assert cluster["instance_id"] == "here"
    assert {row["instance_id"]: row["draining"] for row in cluster["instances"]} == {"here": False, "there": True}


async def test_sessions_come_over_pages(served: Served) -> None:
    names = {f"s{number}" for number in range(30)}
    for name in names:
        await add_session(served.port.store, name)
    first = await served.get("/api/v1/sessions?limit=20")
    second = await served.get("/api/v1/sessions", params={"limit": "20", "cursor": first["next_cursor"]})
    assert {row["session_id"] for row in first["sessions"] + second["sessions"]} == names


async def test_stats_add_everything_up(served: Served) -> None:
    store = served.port.store
    await add_node(store, "n1", capacity=1)
    await finish(store, await add_job(store))
    await add_job(store)
    await add_job(store)
    await add_session(store, "s1")
    await add_instance(store, "here")
    stats = await served.get("/api/v1/stats")
    assert (stats["sessions"], stats["nodes"], stats["instances"]) == (1, 1, 1)
    assert (stats["capacity"], stats["free"], stats["waiting"]) == (1, 0, 1)
    assert (stats["jobs"]["completed"], stats["jobs"]["assigned"], stats["jobs"]["pending"]) == (1, 1, 1)
    assert stats["store_ping_ms"] > 0


async def test_explain_tells_the_chosen_node_and_why_not_each_other(served: Served) -> None:
    store = served.port.store
    await add_node(store, "full", capacity=1)
    await add_job(store)
    await add_node(store, "free")
    await add_node(store, "other", Capability(("fr",), ("en",)))
    await add_node(store, "drained")
    await nodes.drain(store, "drained")
    told = await served.get("/api/v1/explain?src=en&tgt=es")
    reasons = {row["node_id"]: row["reason"] for row in told["candidates"]}
    assert told["chosen"] == "free"
    assert reasons == {"free": "chosen", "full": "full", "other": "not_offered", "drained": "draining"}
    assert (await served.get("/api/v1/stats"))["free"] == 4, "explaining takes nothing"


async def test_explain_for_a_session_prefers_the_node_it_has(served: Served) -> None:
    store = served.port.store
    await add_session(store, "s1")
    await add_node(store, "n1")
    await finish(store, await add_job(store, session_id="s1"))
    await add_node(store, "n2")
    assert (await served.get("/api/v1/explain?src=en&tgt=es&session=s1"))["chosen"] == "n1"


async def test_explain_both_ways_wants_a_node_for_both_directions(served: Served) -> None:
    store = served.port.store
    await add_node(store, "one-way")
    await add_node(store, "both", Capability(("en", "es"), ("es", "en"), auto=True))
    told = await served.get("/api/v1/explain?src=en&tgt=es&both_ways=true")
    assert told["chosen"] == "both"


@pytest.mark.parametrize(
    "path", ["/api/v1/nodes", "/api/v1/jobs", "/api/v1/sessions", "/api/v1/pools", "/api/v1/pairs"]
)
async def test_an_empty_list_is_a_list(served: Served, path: str) -> None:
    page = await served.get(path)
    assert page[path.rpartition("/")[2]] == []
    assert page["next_cursor"] is None


async def test_many_callers_at_once_get_their_answers(served: Served) -> None:
    await add_node(served.port.store, "n1")
    paths = ["/api/v1/nodes", "/api/v1/stats", "/api/v1/pairs", "/health"] * 25
    answers = await asyncio.gather(*(served.ask(path) for path in paths))
    assert {status for status, _, _ in answers} == {200}
