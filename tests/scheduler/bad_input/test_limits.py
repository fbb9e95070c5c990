"""Each limit to the byte, and what comes over a socket without becoming a message."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson
import pytest

from kit.bare_socket import CLOSE, PING, PONG, TEXT, BareSocket, frame, handshake
from kit.clients import Client
from kit.eventually import eventually
from kit.nodes import Node
from kit.proof import utterance
from kit.proxy import proxy_to
from kit.schedulers import cluster
from lingua_wire import frames, limits

if TYPE_CHECKING:
    from pathlib import Path

    from kit.nodes import Job
    from kit.schedulers import SchedulerProcess

EN, ES = "en", "es"
INIT = {"type": "session_init", "client_version": "1", "platform": "web", "src_lang": EN, "tgt_lang": ES}
_HEADER_BYTES = 16


def beat_of(size_bytes: int) -> bytes:
    """Write a heartbeat of a size."""
    return padded({"type": "client_heartbeat", "session_id": "SESSION", "timestamp": 1, "note": ""}, size_bytes)


def chunk_of(size_bytes: int) -> bytes:
    """Write a chunk of a size. It is longer than a chunk may be, which is told, and ends nothing."""
    said = {"type": "audio_chunk", "session_id": "SESSION", "seq": 0, "is_final": True, "payload": ""}
    return orjson.dumps(said | {"payload": "A" * (size_bytes - len(orjson.dumps(said)))})


def padded(message: dict[str, Any], size_bytes: int) -> bytes:
    return orjson.dumps(message | {"note": "x" * (size_bytes - len(orjson.dumps(message)))})


def frame_of(size_bytes: int) -> bytes:
    """Write a binary frame of a size, with one part of a whole utterance in it."""
    audio = utterance(limits.FRAME_BYTES // 32 + 100)[: size_bytes - _HEADER_BYTES]
    return frames.pack(frames.Kind.CLIENT_UTTERANCE, audio, index=0)


@pytest.mark.parametrize(
    ("made", "limit_bytes"), [(beat_of, limits.JSON_BYTES), (chunk_of, limits.JSON_AUDIO_BYTES)], ids=["text", "audio"]
)
@pytest.mark.parametrize("extensions", [(), ("finalize_reports",)], ids=["base", "extended"])
async def test_a_message_may_have_so_many_bytes_and_not_one_more(
    scheduler: SchedulerProcess, bystander: Client, made: Any, limit_bytes: int, extensions: tuple[str, ...]
) -> None:
    assert bystander.is_open
    async with Client(scheduler.url, extensions=extensions) as client:
        await client.open(EN, ES)

        def said(size_bytes: int) -> str:
            # An id is as long as the word that stands for it.
            text = made(size_bytes - len(client.session_id) + len("SESSION")).decode()
            return str(text).replace("SESSION", client.session_id)

        assert len(said(limit_bytes)) == limit_bytes
        await client.send_raw(said(limit_bytes))
        await client.send({"type": "client_heartbeat", "session_id": client.session_id, "timestamp": 1})
        await client.event("server_heartbeat")
        assert "TOO_LARGE" not in [error["code"] for error in client.all("error")]
        await client.send_raw(said(limit_bytes + 1))
        assert await client.closed() == 1009


async def test_a_binary_frame_may_have_so_many_bytes_and_not_one_more(
    scheduler: SchedulerProcess, bystander: Client
) -> None:
    assert bystander.is_open
    async with Client(scheduler.url) as client:
        await client.open(EN, ES)
        whole = {"utterance_index": 0, "manual_cut": True, "src_lang": EN, "tgt_lang": ES, "audio_format": "pcm16"}
        said = {"type": "utterance", "session_id": client.session_id, "sample_rate": 16_000, "audio_follows": True}
        await client.send(said | whole)
        await client.send_raw(frame_of(limits.FRAME_BYTES))
        await client.send({"type": "client_heartbeat", "session_id": client.session_id, "timestamp": 1})
        await client.event("server_heartbeat")
        await client.send_raw(frame_of(limits.FRAME_BYTES + 1))
        assert await client.closed() == 1009


async def opened(url: str) -> BareSocket:
    made = await BareSocket.open(url)
    await made.say(INIT)
    kind, data = await made.receive()
    assert (kind, orjson.loads(data)["type"]) == (TEXT, "session_init_ack")
    return made


async def endless(made: BareSocket, first: bytes, block: bytes) -> int | None:
    """Send the block again and again until the other side ends the connection; tell its close code."""

    async def send() -> None:
        with contextlib.suppress(OSError):
            await made.send_raw(first)
            while True:
                await made.send_raw(block)

    sending = asyncio.create_task(send())
    try:
        return await asyncio.wait_for(made.until_closed(), 30)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        made.cut()


async def test_empty_fragments_without_end_are_against_the_rules(
    scheduler: SchedulerProcess, bystander: Client
) -> None:
    assert bystander.is_open
    counted = scheduler.metric("lingua_sessions_closed_total", code="1008")
    made = await opened(scheduler.url)
    assert await endless(made, frame(b"", TEXT, fin=False), frame(b"", 0, fin=False) * 10_000) == 1008
    await eventually(lambda: scheduler.metric("lingua_sessions_closed_total", code="1008") == counted + 1)


async def test_pings_between_the_fragments_do_not_help(scheduler: SchedulerProcess, bystander: Client) -> None:
    assert bystander.is_open
    made = await opened(scheduler.url)
    block = frame(b"", 0, fin=False) * 10_000 + frame(b"", PING)
    assert await endless(made, frame(b"", TEXT, fin=False), block) == 1008


async def test_pings_are_answered_and_no_faster_than_allowed(scheduler: SchedulerProcess, bystander: Client) -> None:
    assert bystander.is_open
    made = await opened(scheduler.url)
    sending = asyncio.create_task(endless_pings(made))
    pongs = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3):
            while True:
                kind, _ = await made.receive()
                assert kind != CLOSE
                pongs += kind == PONG
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    made.cut()
    assert 200 <= pongs <= 200 + 20 * 10


async def endless_pings(made: BareSocket) -> None:
    with contextlib.suppress(OSError):
        while True:
            await made.send_raw(frame(b"x", PING) * 100)


async def test_compression_is_never_granted(scheduler: SchedulerProcess, bystander: Client) -> None:
    assert bystander.is_open
    made = await BareSocket.open(scheduler.url, more="Sec-WebSocket-Extensions: permessage-deflate\r\n")
    assert "permessage-deflate" not in made.answer.lower()
    await made.send_raw(frame(b"abc", TEXT, reserved=0x40))
    assert await made.until_closed() == 1002
    made.cut()


async def test_a_message_that_takes_too_long_to_come_whole_ends_the_connection(tmp_path: Path) -> None:
    with cluster(tmp_path, 1, http_message_ms=1_000) as running:
        made = await opened(running.schedulers[0].url)
        await made.send_raw(frame(b"{", TEXT, fin=False))
        ended = asyncio.create_task(made.until_closed())
        while not ended.done():
            await made.send_raw(frame(b" ", 0, fin=False))
            await asyncio.wait([ended], timeout=0.1)
        made.cut()
        assert ended.result() == 1008


async def test_a_client_behind_a_network_that_swallows_everything_is_let_go_and_can_resume(tmp_path: Path) -> None:
    """Half-open: the connection stays, and nothing comes over it any more, not even an end."""
    with cluster(tmp_path, 1, http_ping_ms=1_000) as running:
        scheduler = running.schedulers[0]
        extensions = ("binary_audio", "audio_ack", "finalize_reports", "resume")
        async with (
            Node(scheduler.url, (EN,), (ES,)),
            proxy_to(urlsplit(scheduler.url).port or 0) as way,
            Client(f"http://127.0.0.1:{way.port}", extensions=extensions) as first,
        ):
            await first.open(EN, ES)
            way.hole = True
            closed = await eventually(
                lambda: scheduler.metric("lingua_sessions_closed_total", code="1006"), within_s=20, what="it is let go"
            )
            assert closed == 1
            assert way.held > 0
            assert scheduler.metric("lingua_sessions") == 1, "kept for its client"
            async with Client(scheduler.url, extensions=extensions) as again:
                await again.resume(first, EN, ES)
                audio = utterance()
                await again.proven(await again.say(audio), audio)
                assert await again.close() == 1000


async def test_a_client_that_never_reads_leaves_no_connection_behind(tmp_path: Path) -> None:
    """What it was to read waits in the buffers, so an orderly end would wait for it for ever."""
    import psutil

    with cluster(tmp_path, 1, http_ping_ms=1_000, http_send_ms=60_000) as running:
        scheduler = running.schedulers[0]
        process = psutil.Process(scheduler.process.pid)
        before = len(process.net_connections("tcp"))
        made = await opened(scheduler.url)
        await made.send_raw(frame(b"", PING) * 100)
        for _ in range(40):
            await made.send(orjson.dumps({"type": "nobody knows this" * 1_000}))
        await eventually(
            lambda: len(process.net_connections("tcp")) == before, within_s=30, what="the connection is gone"
        )
        made.cut()


async def test_a_client_that_does_not_read_its_speech_in_time_is_let_go_and_can_resume(tmp_path: Path) -> None:
    async def loud(node: Node, job: Job) -> None:
        await node.ack(job)
        await node.result(job, 8_000)

    with cluster(tmp_path, 1, http_send_ms=500) as running:
        scheduler = running.schedulers[0]
        extensions = ("binary_audio", "audio_ack", "finalize_reports", "resume")
        async with Node(scheduler.url, (EN,), (ES,), loud), Client(scheduler.url, extensions=extensions) as first:
            await first.open(EN, ES)
            first.stop_reading()
            said = [utterance() for _ in range(4)]
            for audio in said:
                await first.stream(audio)
            counted = await eventually(
                lambda: scheduler.metric("lingua_sessions_closed_total", code="1013"), within_s=20, what="it is let go"
            )
            assert counted == 1
            assert scheduler.metric("lingua_errors_total", side="client", code="SLOW_CONSUMER") == 1
            async with Client(scheduler.url, extensions=extensions) as again:
                await again.resume(first, EN, ES)
                for index in range(len(said)):
                    assert (await again.outcome(index))["type"] == "translation_result"
                assert await again.close() == 1000


async def test_who_is_gone_before_the_handshake_is_answered_is_no_fault(tmp_path: Path) -> None:
    """The log must hold no error, which the cluster looks at when it ends."""
    with cluster(tmp_path, 1) as running:
        scheduler = running.schedulers[0]
        scheduler.process.send_signal(signal.SIGSTOP)
        try:
            for path in ("/ws/session", "/ws/node") * 10:
                gone = await BareSocket.dial(scheduler.url)
                await gone.send_raw(handshake(path))
                gone.held.close()
        finally:
            scheduler.process.send_signal(signal.SIGCONT)
        async with Node(scheduler.url, (EN,), (ES,)), Client(scheduler.url) as client:
            await client.open(EN, ES)
            audio = utterance()
            await client.proven(await client.say(audio), audio)
