"""Nodes that are declared: who may come in as which, within what bounds, and who must go."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kit import nodes
from kit.clients import Client
from kit.eventually import eventually, eventually_sync
from kit.nodes import EXTENSIONS, Node
from kit.proof import utterance
from kit.schedulers import SchedulerProcess, cluster, start_scheduler
from kit.state import can
from lingua_state import declarations
from lingua_state.client import RedisSettings, Store, open_store
from lingua_state.declarations import Credential, Declaration, Scheduling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from kit.schedulers import Cluster

#: A safety on a busy machine.
SOON_S = 60.0
LINGUA = str(Path(sys.executable).with_name("lingua"))
BOTH = pytest.mark.parametrize("extensions", [(), EXTENSIONS], ids=["base", "extended"])
_numbers = count(1)


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two schedulers on one store: the first takes declared nodes only, the second any."""
    directory = tmp_path_factory.mktemp("declared")
    often = {"instance_announce_ms": 200, "job_wait_ms": 8_000}
    with cluster(directory, 1, nodes_admission="declared", **often) as running:
        other = start_scheduler(directory, running.store.url, "open-1", **often)
        running.schedulers.append(other)
        try:
            eventually_sync(other.is_ready, within_s=SOON_S, what="the open scheduler is ready")
            yield running
        finally:
            other.stop()


@pytest.fixture
async def store(doors: Cluster) -> AsyncIterator[Store]:
    opened = await open_store(RedisSettings(url=doors.store.url))
    yield opened
    await opened.close()


@pytest.fixture
def node_id() -> str:
    """A node id that no other test uses."""
    return f"prod.gpu-{next(_numbers)}"


@pytest.fixture
def strict(doors: Cluster) -> SchedulerProcess:
    """The scheduler that takes declared nodes only."""
    return doors.schedulers[0]


@pytest.fixture
def lenient(doors: Cluster) -> SchedulerProcess:
    """The scheduler that takes any node."""
    return doors.schedulers[1]


def said(node_id: str, asr: str = "en", targets: str = "es", **more: Any) -> Declaration:
    fields: dict[str, Any] = {"uid": f"uid-{node_id}", "generation": 1, "capacity": 2}
    return Declaration(node_id=node_id, capability=can(asr, targets), **(fields | more))


def token(secret: str) -> Credential:
    return Credential("token", hashlib.sha256(secret.encode()).hexdigest())


def a_node(
    scheduler: SchedulerProcess, node_id: str | None, languages: tuple[str, str] = ("en", "es"), **more: Any
) -> Node:
    return Node(scheduler.url, (languages[0],), (languages[1],), node_id=node_id, **more)


async def refused(node: Node) -> tuple[str, int | None]:
    """Let a node try to come in; return the code it was told and that of the close."""
    await node.connect()
    try:
        await node.say(node.registration())
        close = await node.closed(SOON_S)
        (error,) = node.all("error")
        assert error["message"]
        return str(error["code"]), close
    finally:
        await node.disconnect()


def shown(scheduler: SchedulerProcess, node_id: str) -> Callable[[], Awaitable[Any]]:
    """Read a node from the API until it is known."""

    async def ask() -> Any:
        status, body = scheduler.ask(f"/api/v1/nodes/{node_id}")
        return body if status == 200 else None

    return ask


async def until_status(scheduler: SchedulerProcess, node_id: str, status: str) -> None:
    async def has() -> bool:
        found = await shown(scheduler, node_id)()
        return bool(found and found["status"] == status)

    await eventually(has, within_s=SOON_S, what=f"{node_id} is {status}")


# Admission


@BOTH
async def test_a_node_that_nobody_declared_is_refused_and_told_what_to_do(
    strict: SchedulerProcess, lenient: SchedulerProcess, node_id: str, extensions: tuple[str, ...]
) -> None:
    assert await refused(a_node(strict, node_id, extensions=extensions)) == ("NOT_DECLARED", 4403)
    assert await refused(a_node(strict, None, extensions=extensions)) == ("NOT_DECLARED", 4403)
    assert strict.ask(f"/api/v1/nodes/{node_id}")[0] == 404
    async with a_node(lenient, node_id, extensions=extensions) as node:
        assert node.node_id == node_id


@BOTH
async def test_a_declared_node_works_within_its_declaration(
    store: Store, strict: SchedulerProcess, node_id: str, extensions: tuple[str, ...]
) -> None:
    await declarations.declare(store, said(node_id, "en xa", "xb de", capacity=1))
    async with Node(
        strict.url, ("xa", "it"), ("xb", "fr"), nodes.answer, node_id=node_id, capacity=9, extensions=extensions
    ) as node:
        found = await eventually(shown(strict, node_id), within_s=SOON_S)
        assert (found["languages"]["hears"], found["languages"]["speaks"]) == (["xa"], ["xb"])
        assert (found["capacity"], found["status"]) == (1, "ready")
        audio = utterance()
        async with Client(strict.url) as client:
            await client.open("xa", "xb")
            await client.proven(await client.say(audio), audio)
        assert len(node.jobs) == 1
        if extensions:
            assert node.all("node_register_ack")[0]["max_jobs"] == 1


@BOTH
async def test_a_node_that_names_its_languages_more_exactly_than_its_declaration_works_for_it(
    store: Store, strict: SchedulerProcess, node_id: str, extensions: tuple[str, ...]
) -> None:
    await declarations.declare(store, said(node_id, "yc", "yd-BR"))
    async with Node(strict.url, ("yc-US",), ("yd",), nodes.answer, node_id=node_id, extensions=extensions) as node:
        audio = utterance()
        async with Client(strict.url) as client:
            await client.open("yc", "yd-BR")
            await client.proven(await client.say(audio), audio)
        (job,) = node.jobs
    assert (job.assign["src_lang"], job.assign["tgt_lang"]) == ("yc-US", "yd")


@BOTH
async def test_a_node_that_loses_its_declaration_goes_at_once(
    store: Store, strict: SchedulerProcess, node_id: str, extensions: tuple[str, ...]
) -> None:
    await declarations.declare(store, said(node_id))
    async with a_node(strict, node_id, extensions=extensions) as node:
        await declarations.withdraw(store, node_id, f"uid-{node_id}")
        assert await node.closed(SOON_S) == 4403
        assert [error["code"] for error in node.all("error")] == (["NOT_DECLARED"] if extensions else [])
    assert await refused(a_node(strict, node_id)) == ("NOT_DECLARED", 4403)


async def test_where_any_node_may_come_in_one_that_is_declared_no_more_goes_on_by_itself(
    store: Store, lenient: SchedulerProcess, node_id: str
) -> None:
    await declarations.declare(store, said(node_id, "xc", "xd"))
    async with Node(lenient.url, ("xc", "xe"), ("xd",), node_id=node_id) as node:
        await declarations.withdraw(store, node_id, f"uid-{node_id}")

        async def free() -> bool:
            found = await shown(lenient, node_id)()
            return bool(found and found["status"] == "ready" and found["languages"]["hears"] == ["xc", "xe"])

        await eventually(free, within_s=SOON_S)
        assert not node.all("error")


async def test_an_undeclared_node_is_bounded_when_it_is_declared(
    store: Store, lenient: SchedulerProcess, node_id: str
) -> None:
    async with Node(lenient.url, ("xf", "xg"), ("xh",), node_id=node_id, capacity=7) as node:
        await declarations.declare(store, said(node_id, "xf", "xh xi", capacity=3))
        found = await shown(lenient, node_id)()
        assert (found["languages"]["hears"], found["capacity"]) == (["xf"], 3)
        await node.beat(language_capabilities={"asr_languages": ["xf", "xg"], "tts_languages": ["xh", "xi"]})

        async def wider() -> bool:
            found = await shown(lenient, node_id)()
            return bool(found["languages"]["speaks"] == ["xh", "xi"])

        await eventually(wider, within_s=SOON_S)
        assert (await shown(lenient, node_id)())["languages"]["hears"] == ["xf"]


@BOTH
async def test_a_node_that_can_do_nothing_of_what_is_declared_is_told_so(
    store: Store, strict: SchedulerProcess, node_id: str, extensions: tuple[str, ...]
) -> None:
    await declarations.declare(store, said(node_id, "xj", "xk"))
    assert await refused(a_node(strict, node_id, ("fr", "xk"), extensions=extensions)) == ("CONFLICT", 4400)
    async with a_node(strict, node_id, ("xj", "xk"), extensions=extensions) as node:
        await declarations.declare(store, said(node_id, "fr", "xk", generation=2))
        assert await node.closed(SOON_S) == 4400


async def test_a_cordoned_node_gets_nothing_and_what_waited_comes_with_its_return(
    store: Store, strict: SchedulerProcess, node_id: str
) -> None:
    await declarations.declare(store, said(node_id, "xl", "xm"))
    async with a_node(strict, node_id, ("xl", "xm")) as node, Client(strict.url) as client:
        await client.open("xl", "xm")
        await declarations.declare(store, said(node_id, "xl", "xm", generation=2, scheduling=Scheduling.CORDONED))
        await until_status(strict, node_id, "draining")
        audio = utterance()
        index = await client.say(audio)
        await eventually(lambda: strict.metric("lingua_waiting_jobs") >= 1, within_s=SOON_S)
        assert not node.jobs
        # The one that declares is no scheduler: the job's owner hears of the slot from the sweep, in time to send it.
        assert (await declarations.declare(store, said(node_id, "xl", "xm", generation=3))).assigned == 1
        await client.proven(index, audio)
        assert len(node.jobs) == 1


async def test_jobs_of_a_withdrawn_node_go_on_elsewhere(store: Store, strict: SchedulerProcess) -> None:
    first, second = f"prod.gpu-{next(_numbers)}", f"prod.gpu-{next(_numbers)}"
    for name in (first, second):
        await declarations.declare(store, said(name, "xn", "xo"))
    async with (
        a_node(strict, first, ("xn", "xo"), act=nodes.ignore) as lost,
        a_node(strict, second, ("xn", "xo")) as other,
        Client(strict.url) as client,
    ):
        await declarations.declare(store, said(second, "xn", "xo", generation=2, weight=0))
        await client.open("xn", "xo")
        audio = utterance()
        index = await client.say(audio)
        await eventually(lambda: lost.jobs, within_s=SOON_S)
        await declarations.withdraw(store, first, f"uid-{first}")
        await client.proven(index, audio)
        assert len(other.jobs) == 1


async def test_after_the_store_was_emptied_declared_nodes_stay_and_come_back_by_themselves(
    doors: Cluster, store: Store, strict: SchedulerProcess, node_id: str
) -> None:
    await declarations.declare(store, said(node_id, "xp", "xq"))
    async with a_node(strict, node_id, ("xp", "xq")) as node:
        epoch = (await declarations.summary(store)).epoch
        doors.redis().flushall()

        async def noticed() -> bool:
            return strict.ask(f"/api/v1/nodes/{node_id}")[0] == 404 and any(
                line.get("event", "").startswith("the store lost its past") for line in strict.lines()
            )

        await eventually(noticed, within_s=SOON_S)
        assert await refused(a_node(strict, f"{node_id}-x")) == ("SCHEDULER_DEPENDENCY_DOWN", 1013)
        await node.beat()
        assert (await declarations.summary(store)).epoch != epoch
        await declarations.declare(store, said(node_id, "xp", "xq"))
        await node.beat()
        await until_status(strict, node_id, "ready")
        assert not node.all("error")


async def test_the_command_line_tells_which_declared_nodes_are_not_connected(
    store: Store, strict: SchedulerProcess, node_id: str
) -> None:
    await declarations.declare(store, said(node_id, "xt", "xu"))
    absent = f"{node_id}-x"
    await declarations.declare(store, said(absent, "xt", "xu", scheduling=Scheduling.CORDONED))
    async with a_node(strict, node_id, ("xt", "xu")):
        asked = await asyncio.create_subprocess_exec(
            LINGUA, "nodes", "--url", strict.url, "--limit", "500",
            stdout=asyncio.subprocess.PIPE, env={**os.environ, "COLUMNS": "240"},
        )  # fmt: skip
        out, _ = await asked.communicate()
    rows = {line.split()[0]: line for line in out.decode().splitlines() if node_id in line}
    assert " ready " in rows[node_id]
    assert " active " in rows[node_id]
    assert " not connected " in rows[absent]
    assert " cordoned " in rows[absent]


# Credentials


async def test_a_node_that_is_declared_with_a_token_must_show_that_one(
    store: Store, strict: SchedulerProcess, lenient: SchedulerProcess, node_id: str
) -> None:
    other = f"{node_id}-other"
    await declarations.declare(store, said(node_id, credential=token("s3cret-of-one")))
    await declarations.declare(store, said(other, credential=token("s3cret-of-two")))
    for scheduler in (strict, lenient):
        assert await refused(a_node(scheduler, node_id)) == ("UNAUTHENTICATED", 4401)
        assert await refused(a_node(scheduler, node_id, token="s3cret-of-two")) == ("UNAUTHENTICATED", 4401)
        async with a_node(scheduler, node_id, token="s3cret-of-one") as node:
            assert node.node_id == node_id


async def test_who_lacks_the_token_pushes_nobody_out(store: Store, strict: SchedulerProcess, node_id: str) -> None:
    await declarations.declare(store, said(node_id, "xr", "xs", credential=token("s3cret-of-one")))
    async with a_node(strict, node_id, ("xr", "xs"), token="s3cret-of-one") as node:
        assert await refused(a_node(strict, node_id, ("xr", "xs"), token="wrong")) == ("UNAUTHENTICATED", 4401)
        audio = utterance()
        async with Client(strict.url) as client:
            await client.open("xr", "xs")
            await client.proven(await client.say(audio), audio)
        assert len(node.jobs) == 1


async def test_a_node_whose_token_was_changed_must_show_the_new_one(
    store: Store, strict: SchedulerProcess, node_id: str
) -> None:
    await declarations.declare(store, said(node_id, credential=token("s3cret-of-one")))
    async with a_node(strict, node_id, token="s3cret-of-one") as node:
        await declarations.declare(store, said(node_id, credential=token("s3cret-of-two")))
        assert await node.closed(SOON_S) == 4401
    async with a_node(strict, node_id, token="s3cret-of-two"):
        pass


async def test_a_service_account_needs_a_scheduler_that_reviews_tokens(
    store: Store, strict: SchedulerProcess, node_id: str
) -> None:
    await declarations.declare(store, said(node_id, credential=Credential("service_account", "prod/gpu")))
    assert await refused(a_node(strict, node_id, token="eyJ")) == ("FORBIDDEN", 4403)


async def test_no_token_is_in_the_store_or_in_a_log(doors: Cluster) -> None:
    doors.assert_nothing_leaked("s3cret-of-one", "s3cret-of-two")
