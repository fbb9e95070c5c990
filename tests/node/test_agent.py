"""The node's life at a scheduler: a real socket to a small real server; engines that the test holds in its hand."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSCloseCode

from kit.eventually import PATIENCE_S, eventually
from lingua_node.agent import NodeAgent
from lingua_node.backoff import Backoff
from lingua_node.engines.base import EngineError, Listening, Recognition, Speech, Translation
from lingua_node.pipeline import Engines
from lingua_node.settings import NodeSettings
from lingua_wire import frames
from lingua_wire.audio import decode_base64
from lingua_wire.codes import ErrorCode
from lingua_wire.frames import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from kit.small_scheduler import SmallScheduler

ALL = ["binary_audio", "carried", "digest", "fast_lease", "stable_partials"]
AUDIO = b"\1\0" * 8000


@dataclass
class HeldAsr:
    """Hear nothing until the test lets go."""

    name: str = "held"
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    partials: tuple[str, ...] = ()
    heard: list[bytes] = field(default_factory=list)
    cancelled: int = 0
    closed: int = 0
    languages: frozenset[str] = frozenset({"en"})

    def note(self, language: str) -> str:
        return f"held {language}"

    async def start(self) -> None: ...

    async def close(self) -> None:
        self.closed += 1

    async def recognise(self, pcm: bytes, listening: Listening) -> Recognition:
        self.heard.append(pcm)
        for text in self.partials:
            if listening.on_partial is not None:
                await listening.on_partial(text)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return Recognition("one two three", listening.language, quality=0.9)


@dataclass
class Reversing:
    """Translate by turning words around, speak silence."""

    name: str = "reversing"
    pairs: frozenset[tuple[str, str]] = frozenset({("en", "es")})
    languages: frozenset[str] = frozenset({"en", "es"})

    def note(self, src: str, tgt: str) -> str:
        return ""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def translate(self, text: str, src: str, tgt: str) -> Translation:
        return Translation(" ".join(reversed(text.split())), (src, tgt))

    async def speak(self, text: str, language: str) -> Speech:
        return Speech(b"\2\0" * 1600, 16_000)


@pytest.fixture
def asr() -> HeldAsr:
    return HeldAsr()


Rebuild = Callable[[], Awaitable[Engines]]


@dataclass
class Start:
    """Start agents against the small scheduler."""

    url: str
    asr: HeldAsr
    agents: list[NodeAgent] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __call__(self, rebuild: Rebuild | None = None, **fields: Any) -> NodeAgent:
        settings = NodeSettings(**{"url": self.url, "reconnect_max_s": 0.2, "drain_s": 5, **fields})
        agent = NodeAgent(settings, Engines(self.asr, Reversing(), Reversing()), rebuild)
        self.agents.append(agent)
        self.tasks.append(asyncio.create_task(agent.run()))
        return agent


@pytest.fixture
async def start(scheduler: SmallScheduler, asr: HeldAsr) -> AsyncIterator[Start]:
    begin = Start(scheduler.url, asr)
    yield begin
    asr.gate.set()
    for agent in begin.agents:
        await agent.drain_and_stop()
    await asyncio.wait_for(asyncio.gather(*begin.tasks, return_exceptions=True), PATIENCE_S)


async def test_a_node_says_all_it_can_when_it_registers(scheduler: SmallScheduler, start: Start) -> None:
    start(node_id="node-7", max_jobs=3, token="secret", private=True, pairing_code="1234", tenant_id="acme")
    (register,) = (await scheduler.line()).of("node_register")
    assert (register["node_id"], register["platform"]) == ("node-7", "linux")
    assert register["capability_schema_version"] == "2.0"
    assert register["hardware"]["cpu_cores"] >= 1
    assert register["hardware"]["memory_gb"] > 0
    assert {service["type"] for service in register["installed_services"]} == {"asr", "nmt", "tts"}
    assert all(service["status"] == "running" for service in register["installed_services"])
    assert all(kind["ready"] for kind in register["capability_by_type"])
    languages = register["language_capabilities"]
    assert (languages["asr_languages"], languages["tts_languages"]) == (["en"], ["en", "es"])
    assert register["pair_notes"]["en:es"] == "held en"
    assert (register["accept_public_jobs"], register["pairing_code"], register["tenant_id"]) == (False, "1234", "acme")
    assert register["max_jobs"] == 3
    assert sorted(register["extensions"]) == ALL
    assert scheduler.headers[0]["Authorization"] == "Bearer secret"


async def test_a_token_in_a_file_is_read_again_at_each_connection(
    scheduler: SmallScheduler, start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    start(token_file=file)
    line = await scheduler.line()
    assert scheduler.headers[0]["Authorization"] == "Bearer first"
    file.write_text("second\n")
    await line.socket.close(code=WSCloseCode.GOING_AWAY)
    await scheduler.line(2)
    assert scheduler.headers[1]["Authorization"] == "Bearer second"


async def test_heartbeats_come_at_the_interval_of_the_ack_with_real_use(
    scheduler: SmallScheduler, start: Start
) -> None:
    scheduler.ack = {"heartbeat_ms": 50, "lease_ms": 150, "extensions": ["fast_lease"]}
    start()
    beats = await (await scheduler.line()).wait("node_heartbeat", 4)
    assert all(beat["node_id"] == "named-by-scheduler" and beat["status"] == "ready" for beat in beats)
    assert all(0 < beat["resource_usage"]["mem_percent"] < 100 for beat in beats)
    assert all(0 <= beat["resource_usage"]["cpu_percent"] <= 100 for beat in beats)
    assert 20 <= beats[3]["timestamp"] - beats[2]["timestamp"] < 2000


async def test_a_job_of_a_base_scheduler_is_acknowledged_started_and_answered(
    scheduler: SmallScheduler, start: Start, asr: HeldAsr
) -> None:
    asr.gate.set()
    start()
    line = await scheduler.line()
    await line.assign(AUDIO, group_id="group", part_index=4)
    (result,) = await line.wait("job_result")
    order = [message["type"] for message in line.messages if message["type"].startswith(("job", "asr"))]
    assert order == ["job_ack", "job_started", "asr_partial", "job_result"]
    assert result["success"]
    assert (result["text_asr"], result["text_translated"]) == ("one two three", "three two one")
    assert decode_base64(result["tts_audio"]) == b"\2\0" * 1600
    assert result["tts_format"] == "pcm16"
    assert (result["group_id"], result["part_index"], result["trace_id"]) == ("group", 4, "trace-1")
    assert set(result["extra"]["service_timings"]) == {"asr_ms", "nmt_ms", "tts_ms", "total_ms"}
    assert {"covered", "carried_from", "audio_sha256", "audio_follows"}.isdisjoint(result)
    assert "audio_sha256" not in line.of("job_ack")[0]
    assert asr.heard == [AUDIO]


async def test_a_job_with_every_extension_has_binary_audio_digest_and_range(
    scheduler: SmallScheduler, start: Start, asr: HeldAsr
) -> None:
    scheduler.ack = {"extensions": ALL}
    asr.gate.set()
    asr.partials = ("one", "one two three four", "one two three four five")
    start()
    line = await scheduler.line()
    await line.assign(audio=None, audio_follows=True, start_sample=800, enable_streaming_asr=True)
    half = len(AUDIO) // 2
    await line.socket.send_bytes(frames.pack(Kind.JOB_AUDIO, AUDIO[:half], key="job-1"))
    await line.socket.send_bytes(frames.pack(Kind.JOB_AUDIO, AUDIO[half:], seq=1, last=True, key="job-1"))
    (result,) = await line.wait("job_result")
    digest = hashlib.sha256(AUDIO).hexdigest()
    assert line.of("job_ack")[0]["audio_sha256"] == result["audio_sha256"] == digest
    assert result["covered"] == [800, 800 + 8000]
    assert result["audio_follows"] is True
    assert "tts_audio" not in result
    (speech,) = await eventually(lambda: line.frames)
    assert (speech.kind, speech.key, bytes(speech.audio), speech.last) == (Kind.JOB_TTS, "job-1", b"\2\0" * 1600, True)
    assert speech.samples == 1600
    partials = line.of("asr_partial")
    assert [partial["is_final"] for partial in partials] == [False, False, False, True]
    assert partials[2]["stable"] == "one two three"
    assert (partials[-1]["stable"], partials[-1]["tentative"]) == ("one two three", "")


async def test_jobs_run_side_by_side_up_to_the_limit_and_more_are_refused(
    scheduler: SmallScheduler, start: Start, asr: HeldAsr
) -> None:
    start(max_jobs=2)
    line = await scheduler.line()
    for number in range(3):
        await line.assign(AUDIO, job_id=f"job-{number}", turn_id=f"turn-{number}")
    (refused,) = await line.wait("job_result")
    assert (refused["job_id"], refused["success"]) == ("job-2", False)
    assert refused["error"]["code"] == "NODE_OVERLOADED"
    await eventually(lambda: len(asr.heard) == 2)
    asr.gate.set()
    results = await line.wait("job_result", 3)
    assert {result["job_id"] for result in results if result["success"]} == {"job-0", "job-1"}


async def test_the_same_attempt_again_is_done_once(scheduler: SmallScheduler, start: Start, asr: HeldAsr) -> None:
    agent = start()
    line = await scheduler.line()
    await line.assign(AUDIO)
    await line.assign(AUDIO)
    await line.wait("job_ack", 2)
    asr.gate.set()
    await line.wait("job_result")
    await eventually(lambda: not agent.running_jobs)
    await line.assign(AUDIO)
    first, again = await line.wait("job_result", 2)
    assert first == again
    assert len(asr.heard) == 1


async def test_a_newer_attempt_takes_the_place_of_the_older(
    scheduler: SmallScheduler, start: Start, asr: HeldAsr
) -> None:
    start(max_jobs=1)
    line = await scheduler.line()
    await line.assign(AUDIO)
    await eventually(lambda: asr.heard)
    await line.assign(AUDIO, attempt_id=2)
    await eventually(lambda: len(asr.heard) == 2)
    asr.gate.set()
    (result,) = await line.wait("job_result")
    assert (result["attempt_id"], asr.cancelled) == (2, 1)


async def test_a_cancelled_job_stops_at_once_and_nothing_more_is_said_about_it(
    scheduler: SmallScheduler, start: Start, asr: HeldAsr
) -> None:
    agent = start(max_jobs=1)
    line = await scheduler.line()
    await line.assign(AUDIO)
    await eventually(lambda: asr.heard)
    await line.send({"type": "job_cancel", "job_id": "job-1", "reason": "gone"})
    await eventually(lambda: asr.cancelled == 1 and not agent.running_jobs)
    asr.gate.set()
    await line.assign(AUDIO, job_id="job-2", turn_id="turn-2")
    (result,) = await line.wait("job_result")
    assert result["job_id"] == "job-2"


async def test_cancelling_an_older_attempt_or_an_unknown_job_changes_nothing(
    scheduler: SmallScheduler, start: Start, asr: HeldAsr
) -> None:
    start()
    line = await scheduler.line()
    await line.assign(AUDIO, attempt_id=2)
    await line.send({"type": "job_cancel", "job_id": "job-1", "attempt_id": 1})
    await line.send({"type": "job_cancel", "job_id": "unknown"})
    await eventually(lambda: asr.heard)
    asr.gate.set()
    (result,) = await line.wait("job_result")
    assert (result["success"], asr.cancelled) == (True, 0)


@pytest.mark.parametrize(
    ("error", "code"),
    [(EngineError(ErrorCode.NMT_TIMEOUT, "slow"), "NMT_TIMEOUT"), (RuntimeError("bug"), "INTERNAL_ERROR")],
)
async def test_a_failed_job_names_its_code_and_the_node_goes_on(
    scheduler: SmallScheduler, start: Start, asr: HeldAsr, caplog: pytest.LogCaptureFixture, error: Exception, code: str
) -> None:
    asr.error = error
    asr.gate.set()
    start()
    line = await scheduler.line()
    await line.assign(AUDIO)
    (result,) = await line.wait("job_result")
    assert (result["success"], result["error"]["code"]) == (False, code)
    asr.error = None
    await line.assign(AUDIO, job_id="job-2", turn_id="turn-2")
    assert (await line.wait("job_result", 2))[1]["success"]
    assert "one two three" not in caplog.text


async def test_audio_that_is_not_the_named_one_is_refused(scheduler: SmallScheduler, start: Start) -> None:
    scheduler.ack = {"extensions": ALL}
    start()
    line = await scheduler.line()
    await line.assign(AUDIO, audio_sha256="0" * 64)
    (result,) = await line.wait("job_result")
    assert result["error"]["code"] == "PROCESSING_ERROR"


@pytest.mark.parametrize(
    "bad",
    [
        "no json",
        '{"type": "job_assign"}',
        '{"type": "unknown"}',
        '{"type": "job_cancel", "job_id": 5}',
        "[1, 2]",
        b"\0\0",
        frames.pack(Kind.JOB_AUDIO, b"", key="nobody"),
        frames.pack(Kind.CLIENT_AUDIO, b"abc"),
    ],
)
async def test_bad_messages_do_not_disturb_the_node(
    scheduler: SmallScheduler, start: Start, asr: HeldAsr, bad: str | bytes
) -> None:
    asr.gate.set()
    start()
    line = await scheduler.line()
    await (line.socket.send_bytes(bad) if isinstance(bad, bytes) else line.socket.send_str(bad))
    await line.assign(b"abc", audio="!!!")
    await line.assign(AUDIO, job_id="job-2")
    refused, result = await line.wait("job_result", 2)
    assert (refused["job_id"], refused["error"]["code"]) == ("job-1", "INVALID_MESSAGE")
    assert (result["job_id"], result["success"]) == ("job-2", True)
    assert len(scheduler.lines) == 1


async def test_a_lost_connection_is_made_again_with_the_same_name_and_the_result_arrives(
    scheduler: SmallScheduler, start: Start, asr: HeldAsr
) -> None:
    start()
    line = await scheduler.line()
    await line.assign(AUDIO)
    await eventually(lambda: asr.heard)
    await line.socket.close(code=WSCloseCode.GOING_AWAY)
    second = await scheduler.line(2)
    (register,) = second.of("node_register")
    assert register["node_id"] == "named-by-scheduler"
    assert register["running_job_ids"] == ["job-1"]
    asr.gate.set()
    (result,) = await second.wait("job_result")
    assert (result["job_id"], result["success"]) == ("job-1", True)


async def test_a_job_of_a_lost_connection_makes_room_for_a_new_one(
    scheduler: SmallScheduler, start: Start, asr: HeldAsr
) -> None:
    agent = start(max_jobs=2)
    line = await scheduler.line()
    for number in range(2):
        await line.assign(AUDIO, job_id=f"job-{number}", turn_id=f"turn-{number}")
    await eventually(lambda: len(asr.heard) == 2)
    await line.socket.close(code=WSCloseCode.GOING_AWAY)
    second = await scheduler.line(2)
    await second.assign(AUDIO, job_id="job-2", turn_id="turn-2")
    await second.wait("job_ack")
    assert set(agent.running_jobs) == {"job-1", "job-2"}
    asr.gate.set()
    results = await second.wait("job_result", 2)
    assert all(result["success"] for result in results)


async def test_a_result_made_while_the_line_was_down_is_said_after_it(
    scheduler: SmallScheduler, start: Start, asr: HeldAsr
) -> None:
    agent = start()
    line = await scheduler.line()
    await line.assign(AUDIO)
    await eventually(lambda: asr.heard)
    scheduler.refuse_status = 503
    await line.socket.close()
    asr.gate.set()
    await eventually(lambda: not agent.running_jobs)
    scheduler.refuse_status = None
    (result,) = await (await scheduler.line(2)).wait("job_result")
    assert result["job_id"] == "job-1"


async def test_a_result_nobody_wants_any_more_is_not_said_again(
    scheduler: SmallScheduler, start: Start, asr: HeldAsr
) -> None:
    asr.gate.set()
    start()
    line = await scheduler.line()
    await line.assign(AUDIO)
    await line.wait("job_result")
    await line.send({"type": "job_cancel", "job_id": "job-1"})
    await line.assign(AUDIO, job_id="job-2", turn_id="turn-2")
    await line.wait("job_result", 2)
    await line.socket.close()
    second = await scheduler.line(2)
    (result,) = await second.wait("job_result")
    assert result["job_id"] == "job-2"


async def test_a_node_that_is_asked_to_registers_again(scheduler: SmallScheduler, start: Start) -> None:
    start()
    line = await scheduler.line()
    await line.send({"type": "node_control", "command": "register"})
    assert len(await line.wait("node_register", 2)) == 2


async def test_a_drained_node_finishes_its_jobs_refuses_new_ones_and_ends(
    scheduler: SmallScheduler, start: Start, asr: HeldAsr
) -> None:
    agent = start()
    line = await scheduler.line()
    await line.assign(AUDIO)
    await eventually(lambda: asr.heard)
    stopping = asyncio.create_task(agent.drain_and_stop())
    await eventually(lambda: line.of("node_heartbeat") and line.of("node_heartbeat")[-1]["status"] == "draining")
    await line.assign(AUDIO, job_id="job-2")
    (refused,) = await line.wait("job_result")
    assert (refused["job_id"], refused["error"]["code"]) == ("job-2", "DRAINING")
    assert not start.tasks[0].done()
    asr.gate.set()
    _, result = await line.wait("job_result", 2)
    assert (result["job_id"], result["success"]) == ("job-1", True)
    await asyncio.wait_for(stopping, PATIENCE_S)
    await asyncio.wait_for(start.tasks[0], PATIENCE_S)
    assert asr.closed == 1


async def test_jobs_that_do_not_end_are_given_up_at_the_deadline(scheduler: SmallScheduler, asr: HeldAsr) -> None:
    settings = NodeSettings(url=scheduler.url, drain_s=0.1)
    agent = NodeAgent(settings, Engines(asr, Reversing(), Reversing()))
    running = asyncio.create_task(agent.run())
    line = await scheduler.line()
    await line.assign(AUDIO)
    await eventually(lambda: asr.heard)
    await agent.drain_and_stop()
    await asyncio.wait_for(running, PATIENCE_S)
    assert asr.cancelled == 1


async def test_the_drain_command_keeps_the_node_connected_and_shutdown_ends_it(
    scheduler: SmallScheduler, start: Start
) -> None:
    start()
    line = await scheduler.line()
    await line.send({"type": "node_control", "command": "drain"})
    await eventually(lambda: line.of("node_heartbeat") and line.of("node_heartbeat")[-1]["status"] == "draining")
    assert not start.tasks[0].done()
    await line.send({"type": "node_control", "command": "shutdown"})
    await asyncio.wait_for(start.tasks[0], PATIENCE_S)


async def test_reload_changes_the_engines_and_registers_again(
    scheduler: SmallScheduler, start: Start, asr: HeldAsr
) -> None:
    newer = HeldAsr(name="newer", languages=frozenset({"en", "es"}))
    newer.gate.set()

    async def rebuild() -> Engines:
        return Engines(newer, Reversing(), Reversing())

    start(rebuild)
    line = await scheduler.line()
    await line.assign(AUDIO)
    await eventually(lambda: asr.heard)
    await line.send({"type": "node_control", "command": "reload_config"})
    _, register = await line.wait("node_register", 2)
    assert register["language_capabilities"]["asr_languages"] == ["en", "es"]
    assert asr.closed == 0
    asr.gate.set()
    await eventually(lambda: asr.closed == 1)
    await line.assign(AUDIO, job_id="job-2", turn_id="turn-2")
    await line.wait("job_result", 2)
    assert len(newer.heard) == 1


async def test_a_reload_that_fails_is_reported_and_changes_nothing(
    scheduler: SmallScheduler, start: Start, asr: HeldAsr
) -> None:
    async def rebuild() -> Engines:
        raise EngineError(ErrorCode.MODEL_LOAD_FAILED, "broken")

    start(rebuild)
    asr.gate.set()
    line = await scheduler.line()
    await line.send({"type": "node_control", "command": "reload_config"})
    (error,) = await line.wait("node_error")
    assert error["code"] == "MODEL_LOAD_FAILED"
    await line.assign(AUDIO)
    assert (await line.wait("job_result"))[0]["success"]


async def test_a_scheduler_that_refuses_or_is_away_is_asked_again(scheduler: SmallScheduler, start: Start) -> None:
    scheduler.refuse_status = 401
    start()
    await eventually(lambda: len(scheduler.headers) >= 2)
    scheduler.refuse_status = None
    assert (await scheduler.line()).of("node_register")


async def test_a_name_given_by_the_scheduler_is_kept_over_a_restart(
    scheduler: SmallScheduler, start: Start, tmp_path: Path
) -> None:
    scheduler.ack = {"node_id": "given"}
    first = start(data_dir=tmp_path)
    await eventually(lambda: first.node_id == "given")
    await first.drain_and_stop()
    start(data_dir=tmp_path)
    assert (await scheduler.line(2)).of("node_register")[0]["node_id"] == "given"


def test_waits_are_spread_over_the_whole_range_and_grow_to_the_limit() -> None:
    backoff = Backoff(10.0, first_s=1.0, chance=random.Random(7))
    waits = [backoff.next_s() for _ in range(400)]
    assert 0 <= waits[0] <= 1
    assert all(0 <= wait <= 10 for wait in waits)
    late = waits[10:]
    assert math.isclose(sum(late) / len(late), 5.0, rel_tol=0.15)
    backoff.reset()
    assert backoff.next_s() <= 1
