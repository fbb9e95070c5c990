"""Web pages that exist today work unchanged: the message sequences they send, and what they must never be sent.

Such a page shows every ``error`` as an alert, mutes itself on ``backpressure`` and ``use_binary_frame``, and shows a
result only once per utterance index (docs/protocol.md, Base clients).
"""

from __future__ import annotations

import asyncio
import base64
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from kit.base_node import AgentNode, empty, failure, keep_quiet, partial, result
from kit.base_page import CHUNK_MS, PACKETS, Page, chunks_of, silent_chunk
from kit.eventually import eventually
from kit.speech import silence, spoken
from lingua_wire import plan_a

if TYPE_CHECKING:
    from kit.base_node import Answer, Message

#: All that a page knows; it ignores other types, but these two would break it.
HARMFUL = {"error", "backpressure", "going_away"}


@pytest.fixture(scope="module")
def sentence() -> list[bytes]:
    """Speak a sentence of some two seconds, as the chunks of a page."""
    return chunks_of(spoken("the train to the city leaves at nine"))


@pytest.fixture(scope="module")
def quiet() -> bytes:
    """Record a chunk of silence."""
    return silent_chunk()


def assert_unharmed(page: Page) -> None:
    """Check that nothing was sent that alerts the person or breaks the page."""
    assert [event for event in page.events if event["type"] in HARMFUL] == []
    assert not page.closed


async def test_the_acknowledgement_keeps_a_page_on_json_and_opus(scheduler: str) -> None:
    async with Page(scheduler) as page:
        ack = await page.open()
        assert ack["use_binary_frame"] is False
        assert ack["negotiated_codec"] == ack["negotiated_audio_format"] == "opus"
        assert (ack["negotiated_sample_rate"], ack["negotiated_channel_count"]) == (16_000, 1)
        assert ack["trace_id"] == page.trace_id
        assert "extensions" not in ack
        assert_unharmed(page)


async def test_speech_reaches_the_node_packet_for_packet_and_its_result_the_page(
    scheduler: str, sentence: list[bytes]
) -> None:
    async with AgentNode(scheduler) as node, Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        job = await node.job()
        assert job["audio"] == b"".join(sentence)
        assert (job["audio_format"], job["sample_rate"]) == ("opus", 16_000)
        assert (job["src_lang"], job["mode"]) == ("auto", "two_way_auto")
        assert (job["lang_a"], job["lang_b"], job["auto_langs"]) == ("zh", "en", ["zh", "en"])
        assert job["is_manual_cut"] is True
        assert not job.get("is_timeout_triggered")
        assert not job.get("is_max_duration_triggered")
        assert job["padding_ms"] == 280
        assert job["turn_id"]
        assert job["enable_streaming_asr"] is True
        assert job["pipeline"] == {"use_asr": True, "use_nmt": True, "use_tts": True}
        shown = await page.event("translation_result")
        assert shown["utterance_index"] == job["utterance_index"]
        assert shown["text_translated"] == f"said {job['utterance_index']}"
        assert (shown["tts_audio"], shown["tts_format"]) == ("AAAA", "opus")
        assert shown["trace_id"] == page.trace_id
        assert shown["group_id"]
        assert shown["part_index"] == 0
        assert_unharmed(page)


async def test_partials_come_without_being_asked_for(scheduler: str, sentence: list[bytes]) -> None:
    def answer(job: Message) -> list[Message]:
        return [partial(job, "the train"), partial(job, "the train to"), result(job)]

    async with AgentNode(scheduler, answer) as node, Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        await page.event("translation_result")
        assert [event["text"] for event in page.all("asr_partial")] == ["the train", "the train to"]
        assert (await node.job())["partial_update_interval_ms"] == 1_000


async def test_the_finals_of_a_pause_make_no_job_and_no_noise(
    scheduler: str, sentence: list[bytes], quiet: bytes
) -> None:
    async with AgentNode(scheduler) as node, Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        await page.pause(quiet)
        await page.event("translation_result")
        await page.say(sentence)
        await page.pause(quiet)
        await page.event("translation_result", nth=2)
        assert len(node.jobs) == 2
        assert page.all("missing_result") == []
        assert_unharmed(page)


async def test_a_final_that_overtakes_the_last_chunk_cuts_behind_it(scheduler: str, sentence: list[bytes]) -> None:
    async with AgentNode(scheduler) as node, Page(scheduler) as page:
        await page.open()
        for payload in sentence[:-1]:
            await page.chunk(payload)
        last = page.seq
        await page.final(seq=last + 1)
        await page.chunk(sentence[-1], seq=last)
        job = await node.job()
        assert job["audio"] == b"".join(sentence)


async def test_utterances_sent_faster_than_spoken_stay_apart(scheduler: str, sentence: list[bytes]) -> None:
    async with AgentNode(scheduler) as node, Page(scheduler) as client:
        await client.open()
        for _ in range(3):
            await client.say(sentence)
        await client.event("translation_result", nth=3)
        assert [job["audio"] for job in node.jobs] == [b"".join(sentence)] * 3
        assert all(job["is_manual_cut"] for job in node.jobs)
        assert_unharmed(client)


async def test_a_repeated_chunk_is_taken_once(scheduler: str, sentence: list[bytes]) -> None:
    async with AgentNode(scheduler) as node, Page(scheduler) as page:
        await page.open()
        for seq, payload in enumerate(sentence):
            await page.chunk(payload, seq=seq)
            await page.chunk(payload, seq=seq)
        await page.final(seq=len(sentence))
        assert (await node.job())["audio"] == b"".join(sentence)


async def test_a_client_that_numbers_every_chunk_zero_is_heard_whole(scheduler: str, sentence: list[bytes]) -> None:
    async with AgentNode(scheduler, lambda job: [result(job)]) as node, Page(scheduler) as page:
        await page.open()
        for chunk in sentence:
            await page.chunk(chunk, seq=0)
        await page.final(seq=0)
        job = await node.job()
        assert job["audio"] == b"".join(sentence)
        await page.event("translation_result")


async def test_twice_real_time_without_end_is_neither_slowed_nor_scolded(scheduler: str, quiet: bytes) -> None:
    # After its second "start" a page encodes and sends each chunk twice. Past the burst of five seconds it must still
    # be read as fast as it sends: a heartbeat behind the audio is answered at once.
    async with Page(scheduler) as page:
        await page.open()
        began = time.monotonic()
        for number in range(56):
            await _until(began + number * CHUNK_MS / 2_030)
            await page.chunk(quiet)
        sent = time.monotonic()
        await page.send({"type": "client_heartbeat", "session_id": page.session_id, "timestamp": 0})
        await page.event("server_heartbeat")
        assert time.monotonic() - sent < 1
        assert_unharmed(page)


async def test_a_flood_is_read_later_and_nothing_is_said_or_lost(scheduler: str, sentence: list[bytes]) -> None:
    flood = (sentence * 20)[:38]
    async with AgentNode(scheduler) as node, Page(scheduler) as page:
        await page.open()
        began = time.monotonic()
        await page.say(flood)
        await eventually(lambda: sum(len(job["audio"]) for job in node.jobs) == sum(map(len, flood)))
        # 9.9 s of audio: 5 s pass at once, the rest at 2.5 times real time.
        assert time.monotonic() - began > 1.5
        assert b"".join(job["audio"] for job in node.jobs) == b"".join(flood)
        assert_unharmed(page)


async def test_a_reconnected_page_gets_indices_it_has_not_shown_yet(scheduler: str, sentence: list[bytes]) -> None:
    async with AgentNode(scheduler) as node:
        async with Page(scheduler) as page:
            await page.open()
            await page.say(sentence)
            await page.say(sentence)
            shown = (await page.event("translation_result", nth=2))["utterance_index"]
        async with Page(scheduler, first_seq=page.seq) as again:
            ack = await again.open()
            assert ack["session_id"] != page.session_id
            await again.say(sentence)
            assert (await again.event("translation_result"))["utterance_index"] > shown
            assert_unharmed(again)
        assert len(node.jobs) == 3


async def test_a_mute_second_socket_is_kept_and_its_end_leaves_the_first_alone(
    scheduler: str, sentence: list[bytes]
) -> None:
    async with AgentNode(scheduler), Page(scheduler) as live:
        await live.open()
        async with Page(scheduler) as mute:
            await mute.open()
            assert mute.session_id != live.session_id
            # An extended client on the same scheduler shows when the idle time is over.
            async with Page(scheduler) as extended:
                await extended.open(extensions=["finalize_reports"])
                await eventually(lambda: extended.closed, what="an extended client is closed as idle")
                assert extended.close_code == 4408
            assert_unharmed(mute)
        await live.say(sentence)
        await live.event("translation_result")
        assert_unharmed(live)


async def test_bare_samples_are_told_from_opus_by_parsing(scheduler: str) -> None:
    pcm = spoken("good morning to you all")
    data = pcm.tobytes()
    async with AgentNode(scheduler) as node, Page(scheduler) as client:
        await client.open()
        await client.say([data[at : at + 6_400] for at in range(0, len(data), 6_400)])
        job = await node.job()
        assert (job["audio_format"], job["sample_rate"]) == ("pcm16", 16_000)
        assert job["audio"] == data
        await client.event("translation_result")
        assert_unharmed(client)


async def test_long_speech_goes_on_in_pieces_of_one_turn_and_one_group(scheduler: str) -> None:
    speech = spoken("the train to the city leaves at nine and it stops at every station " * 5)
    speech = speech[: 12 * 16_000]
    payloads = chunks_of(speech)
    async with AgentNode(scheduler) as node, Page(scheduler) as page:
        await page.open()
        await page.say(payloads)
        first, second = await node.job(1), await node.job(2)
        assert first["is_max_duration_triggered"] is True
        assert not first["is_manual_cut"]
        assert second["is_manual_cut"] is True
        assert not second.get("is_max_duration_triggered")
        assert first["turn_id"] == second["turn_id"]
        assert first["audio"] + second["audio"] == b"".join(payloads)
        assert plan_a.payload_samples(first["audio"], 16_000) <= 160_000
        shown = [await page.event("translation_result", nth=1), await page.event("translation_result", nth=2)]
        assert [event["part_index"] for event in shown] == [0, 1]
        assert shown[0]["group_id"] == shown[1]["group_id"]


async def test_silence_in_a_running_stream_ends_an_utterance(scheduler: str, sentence: list[bytes]) -> None:
    # The page streams room noise or silence until it stops by itself; nobody says "final".
    still = chunks_of(silence(2.0))
    async with AgentNode(scheduler) as node, Page(scheduler) as page:
        await page.open()
        for payload in [*sentence, *still]:
            await page.chunk(payload)
        job = await node.job()
        assert job["is_timeout_triggered"] is True
        assert job["padding_ms"] == 220


async def test_what_stops_without_a_final_ends_by_itself(scheduler: str, sentence: list[bytes]) -> None:
    async with AgentNode(scheduler) as node, Page(scheduler) as page:
        await page.open()
        for payload in sentence:
            await page.chunk(payload)
        job = await node.job()
        assert job["is_timeout_triggered"] is True
        assert job["audio"] == b"".join(sentence)


@pytest.mark.parametrize("speech_format", ["wav", "pcm16"])
async def test_a_wav_header_never_reaches_a_page(scheduler: str, sentence: list[bytes], speech_format: str) -> None:
    samples = spoken("yes").tobytes()
    wav = _wav(samples)

    def answer(job: Message) -> list[Message]:
        return [result(job, tts_audio=base64.b64encode(wav).decode(), tts_format=speech_format)]

    async with AgentNode(scheduler, answer), Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        shown = await page.event("translation_result")
        assert shown["tts_format"] == "pcm16"
        assert base64.b64decode(shown["tts_audio"]) == samples


async def test_failed_synthesis_still_shows_its_text(scheduler: str, sentence: list[bytes]) -> None:
    async with AgentNode(scheduler, lambda job: [result(job, tts_audio="")]), Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        shown = await page.event("translation_result")
        assert shown["text_translated"].startswith("said ")
        assert shown["tts_audio"] == ""


@pytest.mark.parametrize("reason", ["ASR_EMPTY", "NO_TEXT_ASSIGNED"])
async def test_of_a_result_that_says_why_it_is_empty_a_page_hears_nothing(
    scheduler: str, sentence: list[bytes], reason: str
) -> None:
    emptied: list[Message] = []

    def answer(job: Message) -> list[Message]:
        if emptied:
            return [result(job)]
        emptied.append(job)
        return [empty(job, reason)]

    async with AgentNode(scheduler, answer), Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        await page.say(sentence)
        shown = await page.event("translation_result")
        assert shown["utterance_index"] == page.all("ui_event")[-1]["utterance_index"]
        assert page.all("missing_result") == []
        assert len(page.all("translation_result")) == 1
        assert_unharmed(page)


async def test_any_other_empty_result_is_missing_as_silence(scheduler: str, sentence: list[bytes]) -> None:
    async with AgentNode(scheduler, lambda job: [empty(job, None)]) as node, Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        missing = await page.event("missing_result")
        assert missing["reason"] == "silence_detected"
        assert missing["utterance_index"] == (await node.job())["utterance_index"]
        assert missing["trace_id"] == page.trace_id
        assert page.all("translation_result") == []
        assert_unharmed(page)


@pytest.mark.parametrize(
    ("answer", "code", "reason"),
    [
        (None, "NO_AVAILABLE_NODE", "no_available_node"),
        (lambda job: [failure(job)], "PROCESSING_ERROR", "failed"),
        (keep_quiet, "JOB_TIMEOUT", "timeout"),
    ],
    ids=["no node", "every attempt fails", "the node is silent"],
)
async def test_a_fault_that_passes_is_a_quiet_event_and_never_an_alert(
    scheduler: str, sentence: list[bytes], answer: Answer | None, code: str, reason: str
) -> None:
    async with AsyncExitStack() as nodes, Page(scheduler) as page:
        if answer is not None:
            await nodes.enter_async_context(AgentNode(scheduler, answer))
        await page.open()
        await page.say(sentence)
        missing = await page.event("missing_result")
        assert missing["reason"] == reason
        (fault,) = [event for event in page.all("ui_event") if event["event"] == "ERROR"]
        assert (fault["status"], fault["error_code"]) == ("error", code)
        assert fault["utterance_index"] == missing["utterance_index"]
        assert_unharmed(page)


async def test_a_heartbeat_is_answered(scheduler: str) -> None:
    async with Page(scheduler) as page:
        await page.open()
        await page.send({"type": "client_heartbeat", "session_id": page.session_id, "timestamp": 1_795_247_070_476})
        assert (await page.event("server_heartbeat"))["session_id"] == page.session_id


async def test_playback_reports_are_taken(scheduler: str, sentence: list[bytes]) -> None:
    async with AgentNode(scheduler), Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        shown = await page.event("translation_result")
        names = {"session_id": page.session_id, "trace_id": shown["trace_id"], "group_id": shown["group_id"]}
        await page.send({"type": "tts_started", **names, "ts_start_ms": 1_795_247_118_000})
        await page.send({"type": "tts_play_ended", **names, "ts_end_ms": 1_795_247_118_667})
        await eventually(lambda: _events(page) >= {"TTS_PLAY_STARTED", "TTS_PLAY_ENDED"})
        assert_unharmed(page)


async def test_a_room_asked_for_before_the_acknowledgement_is_refused_for_what_it_is(
    scheduler: str, sentence: list[bytes]
) -> None:
    # A page does not wait for the acknowledgement; the order of its messages counts, so this is not out of state.
    async with AgentNode(scheduler), Page(scheduler) as page:
        opening = asyncio.create_task(page.open_one_way())
        await asyncio.sleep(0)
        await page.send({"type": "room_create", "client_ts": 1_795_247_118_667})
        await opening
        assert (await page.event("error"))["code"] == "UNSUPPORTED_FEATURE"
        await page.say(sentence)
        await page.event("translation_result")
        assert not page.closed


async def test_the_end_of_the_socket_is_the_end_of_the_session(scheduler: str, sentence: list[bytes]) -> None:
    async with AgentNode(scheduler, keep_quiet) as node:
        async with Page(scheduler) as page:
            await page.open()
            await page.say(sentence)
            job = await node.job()
        cancelled = await eventually(lambda: node.all("job_cancel"))
        assert cancelled[0]["job_id"] == job["job_id"]


def test_a_page_sends_whole_chunks_of_packets(sentence: list[bytes], quiet: bytes) -> None:
    assert [len(plan_a.packets(payload)) for payload in [*sentence[:-1], quiet]] == [PACKETS] * len(sentence)


async def _until(moment: float) -> None:
    """Keep to the pace of a microphone."""
    await asyncio.sleep(max(0.0, moment - time.monotonic()))


def _events(page: Page) -> set[str]:
    return {event["event"] for event in page.all("ui_event")}


def _wav(samples: bytes) -> bytes:
    head = b"RIFF" + (36 + len(samples)).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    form = b"\x01\x00\x01\x00" + (16_000).to_bytes(4, "little") + (32_000).to_bytes(4, "little") + b"\x02\x00\x10\x00"
    return head + form + b"data" + len(samples).to_bytes(4, "little") + samples
