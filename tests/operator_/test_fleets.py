"""TranslationFleets on a real API server and a real store, with real jobs: they grow, shrink, change and go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kit import operators
from kit.eventually import eventually
from kit.kube.api import path
from kit.operator_fleets import NODE, Fleets, processes
from kit.operators import SOON_S
from lingua_state import declarations, dispatch, jobs, sessions
from lingua_state.ids import new_job_id, new_session_id
from lingua_state.models import Assigned, DispatchRequest, JobStatus, Pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kit.kube.bed import Bed
    from lingua_state.client import Store

pytestmark = pytest.mark.usefixtures("operator", "machines")


@pytest.fixture
def fleets(bed: Bed, namespace: str) -> Fleets:
    return Fleets(bed.api, namespace)


@pytest.fixture
async def machines(store: Store) -> AsyncIterator[None]:
    async with processes(store):
        yield


async def work(store: Store, target: str = "es") -> Assigned:
    """Give a job of a new session to whoever is free."""
    session_id, job_id = new_session_id(), new_job_id()
    await sessions.attach(
        store, session_id=session_id, instance_id="s1", tenant="", source="en", target=target, mode="one_way",
        trace_id="test", ttl_ms=600_000,
    )  # fmt: skip
    request = DispatchRequest(job_id, session_id, "s1", Pair("en", target), 1, "turn-1", timeout_ms=600_000)
    given = await dispatch.dispatch(store, request)
    assert isinstance(given, Assigned), given
    return given


async def state_of(store: Store, job: Assigned) -> tuple[JobStatus, int, str]:
    record = await jobs.get(store, job.job_id)
    assert record is not None
    return record.status, record.attempt_id, record.node_id


async def test_a_fleet_makes_its_nodes_and_says_how_they_are(fleets: Fleets) -> None:
    fleets.create("es", 3)
    await fleets.until_ready("es", 3)
    for node in fleets.nodes("es"):
        assert node["metadata"]["name"].startswith("es-")
        assert len(node["metadata"]["name"]) == len("es-") + 5
        (owner,) = node["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["controller"]) == ("TranslationFleet", True)
        assert node["metadata"]["labels"]["lingua.dev/template-hash"] == fleets.status("es")["templateHash"]
    status = fleets.status("es")
    assert status["selector"] == "lingua.dev/fleet=es"
    assert (status["pairs"], status["drainingReplicas"]) == (2, 0)
    assert fleets.condition("es", "Available")["status"] == "True"
    assert fleets.condition("es", "Progressing")["reason"] == "Complete"
    assert "ScaledUp" in fleets.events("es")


async def test_kubectl_scale_and_the_scale_subresource_work(fleets: Fleets, bed: Bed) -> None:
    fleets.create("es", 1)
    await fleets.until_ready("es", 1)
    bed.kubectl("scale", "-n", fleets.namespace, "tfleet/es", "--replicas=4")
    await fleets.until_ready("es", 4)
    scale = bed.api.get(f"{fleets.where('es')}/scale").expect()
    assert scale["status"] == {"replicas": 4, "selector": "lingua.dev/fleet=es"}
    fleets.scale("es", 2)
    await fleets.until_ready("es", 2)


@pytest.mark.row("F37")
async def test_a_fleet_that_shrinks_while_it_works_loses_no_job(fleets: Fleets, store: Store) -> None:
    fleets.create("es", 3)
    await fleets.until_ready("es", 3)
    given = [await work(store) for _ in range(5)]
    busy = {job.node_id for job in given}
    assert len(busy) == 3
    fleets.scale("es", 1)
    await fleets.until("es", "ScalingDown", "Draining")
    await eventually(lambda: fleets.status("es")["drainingReplicas"] == 2, within_s=SOON_S)
    before = fleets.names("es")
    staying = [each for each in fleets.nodes("es") if each["spec"]["scheduling"] == "Active"]
    assert len(before) == 3
    assert len(staying) == 1
    # The busiest ones stay the longest: who has two jobs was not chosen while another had one.
    loads = {name: sum(job.node_id == f"{fleets.namespace}.{name}" for job in given) for name in before}
    assert loads[staying[0]["metadata"]["name"]] == max(loads.values())
    assert [await state_of(store, job) for job in given] == [(JobStatus.ASSIGNED, 1, job.node_id) for job in given]
    for job in given:
        await operators.finish(store, job)
    await fleets.until_ready("es", 1)
    assert [(await state_of(store, job))[:2] for job in given] == [(JobStatus.COMPLETED, 1)] * 5
    assert fleets.names("es") == {staying[0]["metadata"]["name"]}
    assert {"Draining", "Removed"} <= set(fleets.events("es"))


async def test_an_idle_node_leaves_before_a_busy_one(fleets: Fleets, store: Store) -> None:
    fleets.create("es", 3)
    await fleets.until_ready("es", 3)
    job = await work(store)
    fleets.scale("es", 1)
    await fleets.until_ready("es", 1)
    assert fleets.names("es") == {job.node_id.removeprefix(f"{fleets.namespace}.")}
    assert await state_of(store, job) == (JobStatus.ASSIGNED, 1, job.node_id)


async def test_a_scale_down_taken_back_keeps_the_nodes_that_drained(fleets: Fleets, store: Store) -> None:
    fleets.create("es", 2)
    await fleets.until_ready("es", 2)
    given = [await work(store) for _ in range(4)]
    before = fleets.names("es")
    fleets.scale("es", 0)
    await eventually(lambda: fleets.status("es")["drainingReplicas"] == 2, within_s=SOON_S)
    fleets.scale("es", 2)
    await fleets.until_ready("es", 2)
    assert fleets.names("es") == before
    assert "TakenBack" in fleets.events("es")
    assert [await state_of(store, job) for job in given] == [(JobStatus.ASSIGNED, 1, job.node_id) for job in given]


async def test_a_new_template_replaces_the_nodes_without_a_gap_and_busy_ones_last(fleets: Fleets, store: Store) -> None:
    fleets.create("es", 3, updateStrategy={"maxSurge": 1, "maxUnavailable": 0})
    await fleets.until_ready("es", 3)
    before = fleets.names("es")
    job = await work(store)
    lowest, most = await watched_update(fleets, {"template": {"spec": {**NODE, "weight": 50}}}, job, store)
    assert lowest >= 3
    assert most <= 4
    assert not before & fleets.names("es")
    assert {each["spec"]["weight"] for each in fleets.nodes("es")} == {50}
    assert (await state_of(store, job))[:2] == (JobStatus.COMPLETED, 1)


async def watched_update(fleets: Fleets, change: dict[str, object], job: Assigned, store: Store) -> tuple[int, int]:
    """Change a fleet, end the job when its node is the last old one, and count meanwhile who takes work and who is."""
    low, high = 99, 0
    hash_before = fleets.status("es")["templateHash"]
    fleets.patch("es", change)
    busy = job.node_id.removeprefix(f"{fleets.namespace}.")
    done = False

    def look() -> bool:
        nonlocal low, high, done
        nodes = [each for each in fleets.nodes("es") if "deletionTimestamp" not in each["metadata"]]
        old = [each["metadata"]["name"] for each in nodes
               if each["metadata"]["labels"]["lingua.dev/template-hash"] == hash_before]  # fmt: skip
        low = min(low, sum(is_ready(each) for each in nodes))
        high = max(high, len(nodes))
        if old and old != [busy]:
            assert busy in old, "the busy node went before an idle one"
        return old == [busy] if not done else not old

    await eventually(look, within_s=2 * SOON_S, what="only the busy old node is left")
    await operators.finish(store, job)
    done = True
    await eventually(look, within_s=2 * SOON_S, what="no old node is left")
    await fleets.until_ready("es", 3)
    return low, high


def is_ready(node: dict[str, object]) -> bool:
    status = node.get("status")
    assert isinstance(status, dict) or status is None
    found = (status or {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in found)


async def test_scheduling_of_the_template_reaches_the_nodes_in_place(fleets: Fleets, store: Store) -> None:
    fleets.create("es", 2)
    await fleets.until_ready("es", 2)
    before = fleets.names("es")
    fleets.patch("es", {"template": {"spec": {**NODE, "scheduling": "Cordoned"}}})
    await fleets.until("es", "Ready", "Cordoned")
    assert fleets.names("es") == before
    for name in before:
        declared = await declarations.get(store, f"{fleets.namespace}.{name}")
        assert declared is not None
        await eventually(lambda: _cordoned(store, f"{fleets.namespace}.{name}"), within_s=SOON_S)  # noqa: B023


async def _cordoned(store: Store, node_id: str) -> bool:
    declared = await declarations.get(store, node_id)
    return declared is not None and declared.scheduling is declarations.Scheduling.CORDONED


async def test_a_deleted_fleet_lets_its_nodes_finish(fleets: Fleets, store: Store) -> None:
    fleets.create("es", 2)
    await fleets.until_ready("es", 2)
    job = await work(store)
    fleets.delete("es")
    busy = job.node_id.removeprefix(f"{fleets.namespace}.")
    await eventually(lambda: fleets.names("es") == {busy}, within_s=SOON_S)
    assert fleets.get("es")
    assert await state_of(store, job) == (JobStatus.ASSIGNED, 1, job.node_id)
    await operators.finish(store, job)
    await fleets.gone("es")
    assert fleets.names("es") == set()


async def test_an_immediate_deletion_gives_the_jobs_away_at_once(fleets: Fleets, store: Store) -> None:
    fleets.create("es", 1, deletionPolicy="Immediate")
    await fleets.until_ready("es", 1)
    job = await work(store)
    fleets.delete("es")
    await fleets.gone("es")
    assert fleets.names("es") == set()
    assert await declarations.get(store, job.node_id) is None


async def test_a_fleet_deleted_while_it_is_updated_goes(fleets: Fleets, store: Store) -> None:
    fleets.create("es", 4, updateStrategy={"maxSurge": 2, "maxUnavailable": 1})
    await fleets.until_ready("es", 4)
    fleets.patch("es", {"template": {"spec": {**NODE, "weight": 50}}})
    await eventually(lambda: fleets.status("es")["updatedReplicas"] < 4, within_s=SOON_S)
    fleets.delete("es")
    await fleets.gone("es")
    assert fleets.names("es") == set()
    await eventually(lambda: _none_declared(store), within_s=SOON_S)


async def _none_declared(store: Store) -> bool:
    return not (await declarations.list_declared(store)).items


async def test_nodes_that_outlive_their_fleet_are_taken_in_by_the_next_of_its_name(fleets: Fleets) -> None:
    fleets.create("es", 2)
    await fleets.until_ready("es", 2)
    before = {each["metadata"]["uid"] for each in fleets.nodes("es")}
    fleets.delete("es", propagationPolicy="Orphan")
    await fleets.gone("es")
    assert {each["metadata"]["uid"] for each in fleets.nodes("es")} == before
    fleets.create("es", 2)
    await fleets.until_ready("es", 2)
    assert {each["metadata"]["uid"] for each in fleets.nodes("es")} == before


async def test_a_node_that_a_person_deletes_is_made_again(fleets: Fleets) -> None:
    fleets.create("es", 2)
    await fleets.until_ready("es", 2)
    victim = fleets.nodes("es")[0]["metadata"]
    fleets.api.delete(path("translationnodes", fleets.namespace, victim["name"])).expect()
    await eventually(
        lambda: victim["uid"] not in {each["metadata"]["uid"] for each in fleets.nodes("es")}, within_s=SOON_S
    )
    await fleets.until_ready("es", 2)


async def test_a_template_that_breaks_out_is_refused_with_field_and_rule_and_makes_no_node(fleets: Fleets) -> None:
    container = {"name": "node", "image": "n:1", "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}}
    node = {**NODE, "workload": {"podTemplate": {"spec": {"containers": [container]}}}}
    fleets.create("es", 2, node)
    told = await fleets.until("es", "Accepted", "PodTemplateRefused")
    assert "spec.containers[0].securityContext.capabilities.add" in told["message"]
    assert "Pod Security Standards, restricted: Capabilities" in told["message"]
    assert fleets.names("es") == set()
    await eventually(lambda: "PodTemplateRefused" in fleets.events("es"), within_s=SOON_S)
    fleets.patch("es", {"template": {"spec": {**NODE, "workload": None}}})
    await fleets.until_ready("es", 2)


async def test_a_fleet_at_rest_costs_no_writes(fleets: Fleets) -> None:
    fleets.create("es", 2)
    await fleets.until_ready("es", 2)

    def versions() -> list[str]:
        return [each["metadata"]["resourceVersion"] for each in (fleets.get("es"), *fleets.nodes("es"))]

    before = versions()
    await asyncio.sleep(3)
    assert versions() == before
