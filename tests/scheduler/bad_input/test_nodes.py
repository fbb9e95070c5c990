"""Bad input from nodes: what they say wrongly is refused or left out, and no session notices."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from kit import nodes
from kit.clients import Client
from kit.eventually import eventually
from kit.nodes import EXTENSIONS, Node
from kit.proof import utterance
from kit.wire_messages import FROM_NODE
from lingua_wire import frames

if TYPE_CHECKING:
    from kit.schedulers import SchedulerProcess

EN, ES = "en", "es"
BOTH = pytest.mark.parametrize("extensions", [(), EXTENSIONS], ids=["base", "extended"])


def a_node(scheduler: SchedulerProcess, extensions: tuple[str, ...], act: nodes.Act = nodes.answer) -> Node:
    """Make a node that nobody's job reaches: it serves a pair of its own."""
    return Node(scheduler.url, ("qya",), ("qyb",), act, extensions=extensions)


#: The connection ends: what is sent, the code of the error, the close code.
ENDS: dict[str, tuple[str | bytes, str, int]] = {
    "no JSON": ("{", "INVALID_MESSAGE", 1007),
    "NaN": ('{"type": "node_heartbeat", "timestamp": NaN}', "INVALID_MESSAGE", 1007),
    "a key twice": ('{"type": "job_ack", "type": "job_ack"}', "INVALID_MESSAGE", 1007),
    "a lone surrogate": ('{"type": "node_error", "message": "\\udc00"}', "INVALID_MESSAGE", 1007),
    "too deep": ('{"type": "job_result", "extra": ' + '{"a":' * 40 + "1" + "}" * 41, "INVALID_MESSAGE", 1007),
    "too large": ('{"type": "' + "x" * (4 * 1024 * 1024) + '"}', "TOO_LARGE", 1009),
    "a broken frame": (b"short", "INVALID_MESSAGE", 1003),
    "a frame of a client": (frames.pack(frames.Kind.CLIENT_AUDIO, b"12"), "INVALID_MESSAGE", 1003),
    "a frame of the scheduler": (frames.pack(frames.Kind.JOB_AUDIO, b"12", key="job"), "INVALID_MESSAGE", 1003),
}


@BOTH
@pytest.mark.parametrize("case", ENDS)
async def test_the_connection_ends_with_its_code(
    scheduler: SchedulerProcess, bystander: Client, case: str, extensions: tuple[str, ...]
) -> None:
    sent, code, close_code = ENDS[case]
    assert bystander.is_open
    counted = scheduler.metric("lingua_errors_total", side="node", code=code)
    async with a_node(scheduler, extensions) as node:
        await node.say_raw(sent)
        assert await node.closed() == close_code
        assert [error["code"] for error in node.all("error")] == ([code] if extensions else [])
    assert scheduler.metric("lingua_errors_total", side="node", code=code) == counted + 1


@BOTH
@pytest.mark.parametrize("name", [name for name in FROM_NODE if name != "node_register"])
async def test_each_field_of_each_message_is_judged(
    scheduler: SchedulerProcess, bystander: Client, name: str, extensions: tuple[str, ...]
) -> None:
    assert bystander.is_open
    counted = scheduler.metric("lingua_errors_total", side="node", code="INVALID_MESSAGE")
    async with a_node(scheduler, extensions) as node:
        example = FROM_NODE[name] | {"type": name}
        plain = [field for field, value in example.items() if isinstance(value, str | int) and field != "type"]
        for field in plain:
            await node.say_raw(orjson.dumps(example | {field: {"wrong": ["type"]}}).decode())
        await eventually(
            lambda: scheduler.metric("lingua_errors_total", side="node", code="INVALID_MESSAGE") == counted + len(plain)
        )
        await _still_there(node)
        told = [error["message"].split(":")[0].split(".")[:2] for error in node.all("error")]
        assert told == ([[name, field] for field in plain] if extensions else [])


async def _still_there(node: Node) -> None:
    """Let it register again, which is answered as before."""
    name = node.node_id
    ack = await node.register()
    assert (ack["node_id"], ack["status"]) == (name, "ready")


@pytest.mark.parametrize("field", ["version", "platform", "hardware", "accept_public_jobs"])
async def test_a_registration_without_what_it_needs_is_refused(
    scheduler: SchedulerProcess, bystander: Client, field: str
) -> None:
    assert bystander.is_open
    node = a_node(scheduler, ())
    await node.connect()
    said = node.registration()
    del said[field]
    await node.say(said)
    assert await node.closed() == 4400
    (error,) = node.all("error")
    assert error["code"] == "INVALID_MESSAGE"
    assert field in error["message"]
    await node.disconnect()


@pytest.mark.parametrize("name", ["job_ack", "job_started", "asr_partial", "job_result"])
async def test_words_about_jobs_before_the_registration_are_out_of_state(
    scheduler: SchedulerProcess, bystander: Client, name: str
) -> None:
    assert bystander.is_open
    node = a_node(scheduler, ())
    await node.connect()
    await node.say(FROM_NODE[name] | {"type": name})
    assert await node.closed() == 4400
    assert [error["code"] for error in node.all("error")] == ["OUT_OF_STATE"]
    await node.disconnect()


@BOTH
async def test_a_heartbeat_may_come_before_the_registration(
    scheduler: SchedulerProcess, bystander: Client, extensions: tuple[str, ...]
) -> None:
    assert bystander.is_open
    node = a_node(scheduler, extensions)
    node.node_id = f"early-{len(extensions)}"
    await node.connect()
    await node.beat()
    await _still_there(node)
    await node.disconnect()


async def test_a_connection_cannot_become_another_node(scheduler: SchedulerProcess, bystander: Client) -> None:
    assert bystander.is_open
    async with a_node(scheduler, EXTENSIONS) as node:
        await node.say(node.registration() | {"node_id": "somebody-else"})
        await eventually(lambda: node.all("error"))
        assert node.all("error")[0]["code"] == "NODE_ID_CONFLICT"
        await _still_there(node)


@BOTH
async def test_the_newest_connection_of_a_node_holds_it(
    scheduler: SchedulerProcess, bystander: Client, extensions: tuple[str, ...]
) -> None:
    assert bystander.is_open
    async with a_node(scheduler, extensions) as older:
        newer = a_node(scheduler, extensions)
        newer.node_id = older.node_id
        async with newer:
            assert await older.closed() == 4409
            await _still_there(newer)


@BOTH
@pytest.mark.parametrize("name", ["job_ack", "job_started", "asr_partial", "job_result"])
async def test_words_about_jobs_that_it_never_had_change_nothing(
    scheduler: SchedulerProcess, bystander: Client, name: str, extensions: tuple[str, ...]
) -> None:
    async with Node(scheduler.url, ("qyc",), ("qyd",), nodes.confirm, extensions=EXTENSIONS) as holder:
        async with Client(scheduler.url) as client, a_node(scheduler, extensions) as stranger:
            await client.open("qyc", "qyd")
            index = await client.say(audio := utterance())
            job = await holder.job()
            await client.until(lambda: [e for e in client.all("ui_event") if e["event"] == "NODE_ACCEPTED"])
            forged: dict[str, Any] = FROM_NODE[name] | {
                "type": name,
                "job_id": job.job_id,
                "attempt_id": 1,
                "node_id": holder.node_id,
                "session_id": client.session_id,
                "utterance_index": index,
                "success": True,
            }
            await stranger.say(forged)
            await _still_there(stranger)
            assert not client.all("asr_partial")
            assert not client.outcomes()
            await holder.result(job)
            await client.proven(index, audio)
        assert bystander.is_open


async def test_speech_for_a_job_that_is_not_there_is_left_out(scheduler: SchedulerProcess, bystander: Client) -> None:
    assert bystander.is_open
    async with a_node(scheduler, EXTENSIONS) as node:
        rejected = scheduler.metric("lingua_results_rejected_total", reason="missing")
        await node.say_raw(frames.pack(frames.Kind.JOB_TTS, bytes(320), key="nobody", last=True))
        await eventually(lambda: scheduler.metric("lingua_results_rejected_total", reason="missing") == rejected + 1)
        await _still_there(node)


async def test_a_node_that_says_nothing_is_let_go(scheduler: SchedulerProcess) -> None:
    node = a_node(scheduler, ())
    await node.connect()
    assert await node.closed(5) == 4408
    await node.disconnect()


async def test_speech_without_end_is_cut_off(scheduler: SchedulerProcess, bystander: Client) -> None:
    async def drown(node: Node, job: nodes.Job) -> None:
        await node.ack(job)
        said = {"type": "job_result", "job_id": job.job_id, "attempt_id": 1, "node_id": node.node_id}
        said |= {name: job.assign[name] for name in ("session_id", "utterance_index", "trace_id")}
        await node.say(said | {"success": True, "text_asr": "x", "audio_follows": True})
        for _ in range(6):
            await node.say_raw(frames.pack(frames.Kind.JOB_TTS, bytes(1024 * 1024), key=job.job_id))

    async with (
        Node(scheduler.url, ("qye",), ("qyf",), drown, extensions=("binary_audio",)) as node,
        Client(scheduler.url) as client,
    ):
        await client.open("qye", "qyf")
        index = await client.say(utterance())
        assert await node.closed() == 1009
        failed = await client.outcome(index)
        assert (failed["type"], failed["code"]) == ("utterance_failed", "NODE_UNAVAILABLE")
    assert bystander.is_open


async def test_a_node_that_changes_its_languages_all_the_time_is_not_followed_and_told_why(
    scheduler: SchedulerProcess, bystander: Client
) -> None:
    async with a_node(scheduler, EXTENSIONS) as node:
        for one, two in product("abcdefg", repeat=2):
            languages = {"asr_languages": [f"x{one}{two}"], "semantic_languages": ["es"]}
            await node.beat(language_capabilities=languages)
            await asyncio.sleep(0.02)  # one that comes while the one before is told to the store is left out
        await eventually(lambda: node.all("error"))
        assert {error["code"] for error in node.all("error")} == {"RATE_LIMITED"}
        pools = scheduler.ask("/api/v1/pools")[1]["pools"]
        assert len([pool for pool in pools if pool["languages"]["hears"][0].startswith("x")]) <= 20
        assert scheduler.ask(f"/api/v1/nodes/{node.node_id}")[1]["status"] == "ready"


async def test_a_node_that_registers_all_the_time_stays_what_it_was(
    scheduler: SchedulerProcess, bystander: Client
) -> None:
    async with a_node(scheduler, EXTENSIONS) as node:
        for _ in range(25):
            await node.say(node.registration())
        await eventually(lambda: node.all("error"))
        assert {error["code"] for error in node.all("error")} == {"RATE_LIMITED"}


@BOTH
@pytest.mark.parametrize("kept", ["jobs", "waiting", "classes"])
async def test_a_node_can_t_take_the_name_of_what_the_store_keeps_of_another(
    scheduler: SchedulerProcess, bystander: Client, kept: str, extensions: tuple[str, ...]
) -> None:
    assert bystander.is_open
    node = Node(scheduler.url, ("qya",), ("qyb",), node_id=f"node-1:{kept}", extensions=extensions)
    await node.connect()
    await node.say(node.registration())
    assert await node.closed() == 4403
    assert node.all("error")[0]["code"] == "INVALID_MESSAGE"
    await node.disconnect()
