"""Bad input from clients: each kind gets its code, the session lives on where it can, and nobody else notices."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from aiohttp import WSMsgType

from kit.clients import EXTENSIONS, Client
from kit.eventually import PATIENCE_S
from kit.proof import utterance
from kit.wire_messages import FROM_CLIENT
from lingua_wire import frames

if TYPE_CHECKING:
    from kit.schedulers import SchedulerProcess

EN, ES = "en", "es"
HEARTBEAT = {"type": "client_heartbeat", "session_id": "SESSION", "timestamp": 1}
CHUNK = {"type": "audio_chunk", "session_id": "SESSION", "seq": 0, "is_final": False, "payload": "AAAA"}
WHOLE = {
    "type": "utterance",
    "session_id": "SESSION",
    "utterance_index": 0,
    "manual_cut": True,
    "src_lang": EN,
    "tgt_lang": ES,
    "audio": base64.b64encode(bytes(3200)).decode(),
    "audio_format": "pcm16",
    "sample_rate": 16_000,
}


def text(message: dict[str, Any], **changes: Any) -> str:
    """Write a message; changes of ``...`` leave a field out."""
    said = {name: value for name, value in (message | changes).items() if value is not ...}
    return orjson.dumps(said).decode()


def frame(kind: int = frames.Kind.CLIENT_AUDIO, *, version: int = 1, flags: int = 0, key_len: int = 0) -> bytes:
    """Write a binary frame by hand."""
    return bytes((version, kind, flags, key_len)) + bytes(12) + bytes(3200)


#: The session goes on: what is sent, the code of the error.
TOLD: dict[str, tuple[str, str]] = {
    "an unknown type": (text(HEARTBEAT, type="client_hartbeat"), "UNKNOWN_MESSAGE"),
    "no type": (text(HEARTBEAT, type=...), "INVALID_MESSAGE"),
    "a type that is no text": (text(HEARTBEAT, type=5), "INVALID_MESSAGE"),
    "a message of the other side": (text(HEARTBEAT, type="session_init_ack"), "UNKNOWN_MESSAGE"),
    "a second session_init": (text(FROM_CLIENT["session_init"], type="session_init"), "OUT_OF_STATE"),
    "somebody else's session": (text(HEARTBEAT, session_id="another"), "INVALID_SESSION"),
    "an id that is none": (text(HEARTBEAT, session_id="a b{c}"), "INVALID_MESSAGE"),
    "a number too large": (text(CHUNK, seq=2**53), "INVALID_MESSAGE"),
    "a negative number": (text(CHUNK, seq=-1), "INVALID_MESSAGE"),
    "a fraction for a count": (text(CHUNK, seq=1.5), "INVALID_MESSAGE"),
    "text for a truth": (text(CHUNK, is_final="true"), "INVALID_MESSAGE"),
    "payload that is no base64": (text(CHUNK, payload="?*!"), "INVALID_MESSAGE"),
    "an odd number of bytes": (text(CHUNK, payload="AAAAAAA="), "UNSUPPORTED_FORMAT"),
    "a format nobody knows": (text(WHOLE, audio_format="mp3"), "UNSUPPORTED_FORMAT"),
    "a rate nobody has": (text(WHOLE, sample_rate=1_000), "UNSUPPORTED_FORMAT"),
    "a WAV file that is none": (text(WHOLE, audio_format="wav"), "UNSUPPORTED_FORMAT"),
    "Plan A that is none": (text(WHOLE, audio_format="opus", audio="////"), "UNSUPPORTED_FORMAT"),
    "an utterance without audio": (text(WHOLE, audio=...), "INVALID_MESSAGE"),
    "equal languages": (text(WHOLE, tgt_lang=EN), "INVALID_MESSAGE"),
    "two_way_auto without languages": (text(WHOLE, mode="two_way_auto"), "INVALID_MESSAGE"),
    "a room": (text(FROM_CLIENT["room_create"], type="room_create"), "UNSUPPORTED_FEATURE"),
    "an offer": (text(FROM_CLIENT["webrtc_offer"], type="webrtc_offer"), "UNSUPPORTED_FEATURE"),
}

#: The connection ends: what is sent, the code of the error, the close code.
ENDS: dict[str, tuple[str | bytes, str, int]] = {
    "no JSON": ("{", "INVALID_MESSAGE", 1007),
    "nothing": ("", "INVALID_MESSAGE", 1007),
    "NaN": ('{"type": "client_heartbeat", "session_id": "s", "timestamp": NaN}', "INVALID_MESSAGE", 1007),
    "no object": ("[1]", "INVALID_MESSAGE", 1007),
    "a key twice": ('{"type": "client_heartbeat", "type": "session_close"}', "INVALID_MESSAGE", 1007),
    "too deep": ('{"type": "x", "features": ' + '{"a":' * 40 + "1" + "}" * 41, "INVALID_MESSAGE", 1007),
    "deeper than any stack": ('{"type": ' + "[" * 20_000 + "]" * 20_000 + "}", "INVALID_MESSAGE", 1007),
    "a lone surrogate": ('{"type": "session_close", "reason": "\\ud800"}', "INVALID_MESSAGE", 1007),
    "too large without audio": (text(HEARTBEAT, note="x" * 70_000), "TOO_LARGE", 1009),
    "too large with audio": (text(CHUNK, payload="A" * (1024 * 1024 + 400)), "TOO_LARGE", 1009),
    "a flood of tiny values": (text(CHUNK, note=[0] * 70_000), "INVALID_MESSAGE", 1007),
    "a frame without a header": (b"short", "INVALID_MESSAGE", 1003),
    "an empty frame": (b"", "INVALID_MESSAGE", 1003),
    "a frame of another version": (frame(version=2), "INVALID_MESSAGE", 1003),
    "a frame of an unknown kind": (frame(77), "INVALID_MESSAGE", 1003),
    "a frame of a node": (frame(frames.Kind.JOB_TTS), "INVALID_MESSAGE", 1003),
    "a frame of the scheduler": (frame(frames.Kind.SERVER_TTS), "INVALID_MESSAGE", 1003),
    "a frame with unknown flags": (frame(flags=0x80), "INVALID_MESSAGE", 1003),
    "a frame with a key": (frame(key_len=4), "INVALID_MESSAGE", 1003),
    "a frame too large": (frame() + bytes(256 * 1024), "TOO_LARGE", 1009),
}

#: How a session begins badly: fields of session_init, the code of the error, the close code.
REFUSED: dict[str, tuple[dict[str, Any], str, int]] = {
    "a missing field": ({"platform": ...}, "INVALID_MESSAGE", 4400),
    "a wrong type": ({"src_lang": 5}, "INVALID_MESSAGE", 4400),
    "a language that is none": ({"src_lang": "English!"}, "INVALID_MESSAGE", 4400),
    "equal languages": ({"tgt_lang": EN}, "INVALID_MESSAGE", 4400),
    "auto as target": ({"tgt_lang": "auto"}, "INVALID_MESSAGE", 4400),
    "a mode nobody knows": ({"mode": "three_way"}, "INVALID_MESSAGE", 4400),
    "two_way_auto without languages": ({"mode": "two_way_auto"}, "INVALID_MESSAGE", 4400),
    "WAV as a stream": ({"audio_format": "wav"}, "UNSUPPORTED_FORMAT", 4415),
    "a tenant that is no name": ({"tenant_id": "a:b"}, "INVALID_MESSAGE", 4400),
    "very many languages": (
        {"src_lang": "auto", "auto_langs": [f"a{chr(97 + at // 26)}{chr(97 + at % 26)}" for at in range(40)]},
        "INVALID_MESSAGE",
        4400,
    ),
    "a pair nobody offers": ({"src_lang": "fr", "tgt_lang": "de"}, "PAIR_NOT_OFFERED", 4422),
}


#: What may be an object too, and what is asked for differently.
_FREE = ("type", "sdp", "candidate")


@pytest.mark.parametrize("case", TOLD)
@pytest.mark.parametrize("extensions", [(), EXTENSIONS], ids=["base", "extended"])
async def test_the_session_survives(
    scheduler: SchedulerProcess, bystander: Client, case: str, extensions: tuple[str, ...]
) -> None:
    sent, code = TOLD[case]
    assert bystander.is_open
    async with Client(scheduler.url, extensions=extensions) as client:
        await client.open(EN, ES, audio_format="pcm16")
        counted = scheduler.metric("lingua_errors_total", side="client", code=code)
        await client.send_raw(sent.replace("SESSION", client.session_id))
        client.seq = 1
        error = await client.event("error")
        assert error["code"] == code, error
        assert scheduler.metric("lingua_errors_total", side="client", code=code) == counted + 1
        audio = utterance()
        await client.proven(await client.say(audio), audio)
        assert len(client.all("error")) == 1


@pytest.mark.parametrize("case", ENDS)
async def test_the_connection_ends_with_its_code(scheduler: SchedulerProcess, bystander: Client, case: str) -> None:
    sent, code, close_code = ENDS[case]
    assert bystander.is_open
    async with Client(scheduler.url) as client:
        await client.open(EN, ES)
        await client.send_raw(sent)
        assert await client.closed() == close_code
        assert [error["code"] for error in client.all("error")] == [code]


async def test_bytes_that_are_no_utf8_end_the_connection(scheduler: SchedulerProcess, bystander: Client) -> None:
    assert bystander.is_open
    async with Client(scheduler.url) as client:
        await client.open(EN, ES)
        await client.send_frame(b'{"type": "session_close", "reason": "\xff\xfe"}', WSMsgType.TEXT)
        assert await client.closed() == 1007
        assert [error["code"] for error in client.all("error")] == ["INVALID_MESSAGE"]


async def test_a_message_of_many_megabytes_is_cut_off(scheduler: SchedulerProcess, bystander: Client) -> None:
    assert bystander.is_open
    async with Client(scheduler.url) as client:
        await client.open(EN, ES)
        await client.send_raw(text(CHUNK, payload="A" * (48 * 1024 * 1024)))
        assert await client.closed() == 1009


async def test_a_binary_frame_of_a_base_client_ends_the_connection(scheduler: SchedulerProcess) -> None:
    async with Client(scheduler.url, extensions=()) as client:
        await client.open(EN, ES)
        await client.send_raw(frame())
        assert await client.closed() == 1003


@pytest.mark.parametrize("case", REFUSED)
async def test_a_bad_beginning_is_refused(scheduler: SchedulerProcess, bystander: Client, case: str) -> None:
    changes, code, close_code = REFUSED[case]
    assert bystander.is_open
    init = {"client_version": "1", "platform": "web", "src_lang": EN, "tgt_lang": ES, "extensions": ["audio_ack"]}
    async with Client(scheduler.url) as client:
        await client.send_raw(text({"type": "session_init", **init}, **changes))
        assert await client.closed() == close_code
        assert [error["code"] for error in client.all("error")] == [code]


async def test_anything_before_session_init_is_out_of_state(scheduler: SchedulerProcess, bystander: Client) -> None:
    assert bystander.is_open
    async with Client(scheduler.url) as client:
        for early in (text(HEARTBEAT), text(CHUNK), text(WHOLE)):
            await client.send_raw(early)
        await client.event("error", 3)
        assert {error["code"] for error in client.all("error")} == {"OUT_OF_STATE"}
        await client.open(EN, ES)
    async with Client(scheduler.url) as client:
        await client.send_raw(frame())
        assert await client.closed() == 1003


@pytest.mark.parametrize("name", [name for name in FROM_CLIENT if name not in ("session_init",)])
async def test_each_field_of_each_message_is_judged(scheduler: SchedulerProcess, bystander: Client, name: str) -> None:
    assert bystander.is_open
    async with Client(scheduler.url) as client:
        await client.open(EN, ES)
        example = FROM_CLIENT[name] | {"type": name}
        plain = [field for field, value in example.items() if isinstance(value, str | int) and field not in _FREE]
        for field in plain:
            await client.send_raw(text(example, **{field: {"wrong": ["type"]}}))
        await client.event("error", len(plain))
        assert {error["code"] for error in client.all("error")} <= {"INVALID_MESSAGE", "UNSUPPORTED_FORMAT"}
        assert [error["message"].split(":")[0].split(".")[:2] for error in client.all("error")] == [
            [name, field] for field in plain
        ]
        await client.send_raw(text(HEARTBEAT, session_id=client.session_id))
        await client.event("server_heartbeat")


async def test_samples_of_another_rate_than_was_said_are_found_out(
    scheduler: SchedulerProcess, bystander: Client
) -> None:
    assert bystander.is_open
    async with Client(scheduler.url) as client:
        await client.open(EN, ES, max_duration_ms=60_000)
        began_s, sent = time.monotonic(), 0
        while client.is_open and time.monotonic() - began_s < 25:
            await client.chunk(utterance(276))
            sent += 1
            await asyncio.sleep(max(0.0, began_s + sent * 0.1 - time.monotonic()))
        assert await client.closed() == 4415
        (error,) = client.all("error")
        assert error["code"] == "FORMAT_SUSPECT"
        assert "44100" in error["message"]


async def test_a_flood_is_slowed_down_warned_of_and_harms_nobody(
    scheduler: SchedulerProcess, bystander: Client
) -> None:
    assert bystander.is_open
    async with Client(scheduler.url) as client:
        await client.open(EN, ES)
        flood = asyncio.create_task(_flood(client))
        await client.event("backpressure")
        audio = utterance()
        began_s = time.monotonic()
        await bystander.proven(await bystander.say(audio), audio)
        assert time.monotonic() - began_s < 5
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)
        client.drop()


async def _flood(client: Client) -> None:
    with_silence = bytes(32_000)
    while True:
        await client.chunk(with_silence)


async def test_bad_messages_come_no_faster_than_good_ones(scheduler: SchedulerProcess, bystander: Client) -> None:
    assert bystander.is_open
    paused = scheduler.metric("lingua_sessions_throttled_total", rule="pause")
    async with Client(scheduler.url, extensions=()) as client:
        await client.open(EN, ES)
        for _ in range(700):
            await client.send_raw("{}")
        await client.event("error", 700)
    assert scheduler.metric("lingua_sessions_throttled_total", rule="pause") > paused


async def test_an_index_that_was_used_for_speech_is_not_taken_for_a_whole_utterance(
    scheduler: SchedulerProcess, bystander: Client
) -> None:
    assert bystander.is_open
    async with Client(scheduler.url) as client:
        await client.open(EN, ES)
        spoken = utterance()
        index = await client.say(spoken)
        await client.proven(index, spoken)
        await client.whole(index, utterance(), EN, ES)
        assert (await client.event("error"))["code"] == "DUPLICATE_UTTERANCE_INDEX"


async def test_a_whole_utterance_in_mid_speech_costs_neither_its_outcome(
    scheduler: SchedulerProcess, bystander: Client
) -> None:
    assert bystander.is_open
    async with Client(scheduler.url) as client:
        await client.open(EN, ES)
        spoken, whole = utterance(), utterance()
        await client.stream(spoken, last=False)
        await client.whole(0, whole, EN, ES)
        await client.until(lambda: client.outcomes()[1:], what="both outcomes")
        assert [event["utterance_index"] for event in client.outcomes()] == [1, 0], "what was said first is told first"
        await client.proven(1, spoken)
        await client.proven(0, whole)


async def test_a_client_that_says_nothing_is_let_go(scheduler: SchedulerProcess) -> None:
    async with Client(scheduler.url) as client:
        assert await client.closed(5) == 4408
        assert [error["code"] for error in client.all("error")] == ["IDLE_TIMEOUT"]


#: A handshake by hand, and the empty beginning of a message that never ends.
_UPGRADE = (
    b"GET /ws/session HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_EMPTY_START, _EMPTY_MORE = bytes((0x01, 0x80)) + bytes(4), bytes((0x00, 0x80)) + bytes(4)


@pytest.mark.parametrize(
    ("sent", "then"),
    [(b"", b""), (b"GET /ws/session HTTP/1.1\r\nHost: here\r\n", b""), (_UPGRADE + _EMPTY_START, _EMPTY_MORE)],
    ids=["nothing", "half a handshake", "empty continuation frames"],
)
async def test_who_does_not_come_to_the_point_is_let_go(
    scheduler: SchedulerProcess, bystander: Client, sent: bytes, then: bytes
) -> None:
    assert bystander.is_open
    assert await asyncio.to_thread(_is_let_go, scheduler.url, sent, then)


def _is_let_go(url: str, sent: bytes, then: bytes) -> bool:
    """Send ``sent``, and ``then`` over and over; tell whether the other side ends the connection in time."""
    host, port = url.removeprefix("http://").split(":")
    end_s = time.monotonic() + PATIENCE_S
    with socket.create_connection((host, int(port))) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(sent)
        connection.settimeout(0.02)
        while time.monotonic() < end_s:
            with contextlib.suppress(TimeoutError):
                if not connection.recv(4096):
                    return True
            connection.sendall(then)
        return False
    return True


async def test_unknown_paths_and_plain_requests_get_problem_documents(scheduler: SchedulerProcess) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(scheduler.url + "/ws/nothing") as answer:
            assert (answer.status, (await answer.json(content_type=None))["code"]) == (404, "NOT_FOUND")
        async with http.get(scheduler.url + "/ws/session") as answer:
            assert answer.status == 400
            assert (await answer.json(content_type=None))["code"] == "INVALID_MESSAGE"
