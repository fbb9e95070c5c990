"""A session over real sockets, against a service written from the protocol's description."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from kit.protocol_server import SPEECH, Behaviour, protocol_server
from lingua_client import (
    Backpressure,
    Closed,
    Failed,
    Finalized,
    NoCapacityError,
    Notice,
    Pace,
    Partial,
    RefusedError,
    Result,
    SessionSettings,
    Skipped,
    connect,
    translate,
)
from lingua_client.errors import AudioError, CannotReachError, LinguaError, ProtocolError, TranslationFailedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
PCM = bytes(range(256)) * 50
ONE_SECOND = b"\x05\x00" * 16_000
# Long waits on a busy machine end well; only one that would never end is told after these.
QUICK = SessionSettings(connect_timeout_s=20, close_timeout_s=20, outcome_timeout_s=20, hold_timeout_s=0.2)


def results(events: Sequence[object]) -> list[Result]:
    return [event for event in events if isinstance(event, Result)]


async def everything(url: str, source: bytes = PCM, **more: object) -> list[object]:
    async with connect(url, source="en", target="es", settings=QUICK, **more) as session:  # type: ignore[arg-type]
        return [event async for event in session.translate(source, pace=Pace.FAST)]


@pytest.mark.parametrize("extensions", [(), ("finalize_reports",), ("binary_audio", "audio_ack", "finalize_reports")])
async def test_speech_comes_back_translated_with_any_extensions(extensions: tuple[str, ...]) -> None:
    async with protocol_server() as service:
        events = await everything(service.url, extensions=extensions)
    (result,) = results(events)
    assert bytes(service.audio) == PCM
    assert (result.text, result.translation) == (f"heard {len(PCM)}", f"translated {len(PCM)}")
    assert (result.speech, result.sample_rate, result.node_id) == (SPEECH, 16_000, "n-1")
    assert result.timings.asr_ms == 5
    assert [type(event) for event in events if isinstance(event, Partial)]


async def test_each_finalize_is_reported_and_its_place_in_the_audio_told() -> None:
    async with protocol_server() as service, connect(service.url, source="en", target="es", settings=QUICK) as session:
        await session.send(ONE_SECOND)
        await session.finalize()
        await session.send(ONE_SECOND)
        await session.finish()
        events = [event async for event in session]
    cuts = [event for event in events if isinstance(event, Finalized)]
    assert [(cut.start_ms, cut.end_ms) for cut in cuts] == [(0, 1000), (1000, 2000)]
    assert [result.utterance_index for result in results(events)] == [0, 1]


async def test_a_result_that_comes_twice_is_told_once() -> None:
    async with protocol_server(Behaviour(results_twice=True)) as service:
        assert len(results(await everything(service.url))) == 1


async def test_audio_of_a_lost_utterance_is_sent_again_and_its_result_follows() -> None:
    async with protocol_server(Behaviour(lose_first=True)) as service:
        events = await everything(service.url)
        assert service.utterances == [PCM]
    failed = next(event for event in events if isinstance(event, Failed))
    assert (failed.utterance_index, failed.resent) == (0, True)
    (result,) = results(events)
    assert (result.utterance_index, result.translation) == (0, f"translated {len(PCM)}")
    assert len([event for event in events if isinstance(event, Finalized)]) == 1


async def test_audio_that_is_lost_each_time_is_not_sent_for_ever() -> None:
    async with protocol_server(Behaviour(lose_all=True)) as service:
        events = await everything(service.url)
        assert service.utterances == [PCM] * 3
    failed = [event for event in events if isinstance(event, Failed)]
    assert [(event.utterance_index, event.resent) for event in failed] == [(0, True)] * 3 + [(0, False)]


async def test_audio_after_one_sent_again_is_still_known_by_its_place() -> None:
    async with (
        protocol_server(Behaviour(lose_first=True)) as service,
        connect(service.url, source="en", target="es", settings=QUICK) as session,
    ):
        await session.send(PCM)
        await session.finalize()
        while not isinstance(await anext(session), Result):
            pass
        await session.send(ONE_SECOND)
        await session.finish()
        events = [event async for event in session]
        assert service.utterances == [PCM, ONE_SECOND]
    (cut,) = [event for event in events if isinstance(event, Finalized)]
    assert cut.start_ms == len(PCM) * 2 // 32
    assert len(results(events)) == 1


async def test_a_lost_utterance_too_long_for_a_frame_is_sent_again_all_the_same() -> None:
    pcm = ONE_SECOND * 9
    async with protocol_server(Behaviour(lose_first=True)) as service:
        await everything(service.url, pcm, extensions=("binary_audio", "finalize_reports"))
        assert service.utterances == [pcm]


async def test_audio_that_is_no_longer_held_makes_the_utterance_fail() -> None:
    small = SessionSettings(ring_ms=300, hold_timeout_s=0.05)
    async with (
        protocol_server(Behaviour(lose_first=True)) as service,
        connect(service.url, source="en", target="es", settings=small) as session,
    ):
        events = [event async for event in session.translate(ONE_SECOND, pace=Pace.FAST)]
    failed = next(event for event in events if isinstance(event, Failed))
    assert not failed.resent
    assert results(events) == []


async def test_silence_ends_with_a_skip_and_nothing_is_owed() -> None:
    async with protocol_server(Behaviour(skip_all=True)) as service:
        events = await everything(service.url)
    assert Skipped("no_speech") in events
    assert results(events) == []


async def test_an_outcome_that_never_comes_is_an_error_in_bounded_time() -> None:
    settings = SessionSettings(outcome_timeout_s=0.2, close_timeout_s=0.2)
    async with (
        protocol_server(Behaviour(silent=True)) as service,
        connect(service.url, source="en", target="es", settings=settings) as session,
    ):
        with pytest.raises(TranslationFailedError) as ended:
            [event async for event in session.translate(PCM, pace=Pace.FAST)]
    assert ended.value.code == "NO_OUTCOME"


async def test_a_close_waits_for_the_results_that_are_owed() -> None:
    release = asyncio.Event()
    async with protocol_server(Behaviour(hold_results=release)) as service:
        async with connect(service.url, source="en", target="es", settings=QUICK) as session:
            await session.send(PCM)
            closing = asyncio.create_task(session.close())
            while not any(isinstance(event, Partial) for event in [await anext(session)]):
                pass
            assert not closing.done()
            release.set()
            await closing
            events = [event async for event in session]
        assert service.messages[-1]["type"] == "session_close"
    assert len(results(events)) == 1
    assert isinstance(events[-1], Closed)


async def test_leaving_by_an_error_does_not_wait() -> None:
    async with protocol_server(Behaviour(silent=True)) as service:
        with pytest.raises(RuntimeError, match="mine"):  # noqa: PT012
            async with connect(service.url, source="en", target="es") as session:
                await session.send(PCM)
                await session.finalize()
                raise RuntimeError("mine")
        assert service.messages[-1]["type"] == "session_close"


async def test_a_session_closed_by_the_service_is_a_typed_error_for_reader_and_sender() -> None:
    async with (
        protocol_server(Behaviour(close_after_bytes=3200)) as service,
        connect(service.url, source="en", target="es", settings=QUICK) as session,
    ):
        await session.send(b"\0" * 3200)
        seen: list[object] = []
        with pytest.raises(LinguaError) as ended:  # noqa: PT012 - the events before the error matter
            async for event in session:
                seen.append(event)  # noqa: PERF401
        with pytest.raises(LinguaError):
            await session.send(b"\0\0")
    assert ended.value.code == "INTERNAL_ERROR"
    assert Notice("INTERNAL_ERROR", "a fault") in seen


async def test_a_pair_nobody_offers_is_refused_with_its_code() -> None:
    async with protocol_server(Behaviour(close_at_init=4422)) as service:
        with pytest.raises(RefusedError) as refused:
            await everything(service.url)
    assert refused.value.code == "PAIR_NOT_OFFERED"
    assert "lingua pairs" in refused.value.remedy


async def test_a_refused_token_is_not_tried_again() -> None:
    async with protocol_server(Behaviour(refuse_status=401)) as service:
        with pytest.raises(RefusedError) as refused:
            await everything(service.url, token="wrong")
        assert service.upgrades == 1
        assert service.headers[0]["Authorization"] == "Bearer wrong"
    assert refused.value.code == "UNAUTHENTICATED"


async def test_a_service_without_room_is_asked_again_until_it_has_some() -> None:
    async with protocol_server(Behaviour(refuse_status=503, refusals=2)) as service:
        assert results(await everything(service.url))
        assert service.upgrades == 3


async def test_no_room_for_too_long_is_told() -> None:
    hasty = SessionSettings(connect_timeout_s=1)
    async with protocol_server(Behaviour(refuse_status=503)) as service:
        with pytest.raises(NoCapacityError):
            async with connect(service.url, source="en", target="es", settings=hasty):
                pass


async def test_nobody_at_the_address_is_told_with_its_reason(unused_tcp_port: int) -> None:
    hasty = SessionSettings(connect_timeout_s=0)
    with pytest.raises(CannotReachError, match=str(unused_tcp_port)):
        async with connect(f"127.0.0.1:{unused_tcp_port}", source="en", target="es", settings=hasty):
            pass


async def test_sending_stops_for_as_long_as_the_service_asks() -> None:
    async with (
        protocol_server(Behaviour(backpressure_ms=300)) as service,
        connect(service.url, source="en", target="es", settings=QUICK) as session,
    ):
        await session.send(PCM)
        assert await anext(session) == Backpressure("rate", 300)
        started = asyncio.get_running_loop().time()
        await session.send(PCM)
        assert asyncio.get_running_loop().time() - started >= 0.2


async def test_a_sender_nobody_confirms_is_held_and_told_when_nobody_reads() -> None:
    settings = SessionSettings(hold_timeout_s=0.05, unread_events=1, close_timeout_s=0.1)
    async with (
        protocol_server(Behaviour(acks_audio=False, backpressure_ms=1)) as service,
        connect(service.url, source="en", target="es", settings=settings) as session,
    ):
        with pytest.raises(AudioError) as told:  # noqa: PT012
            for _ in range(10):
                await session.send(ONE_SECOND)
    assert told.value.code == "NO_READER"


async def test_a_message_of_an_unknown_type_is_passed_over() -> None:
    async with protocol_server(Behaviour(unknown_first=True)) as service:
        assert results(await everything(service.url))


async def test_a_service_that_talks_nonsense_is_a_protocol_error() -> None:
    async with protocol_server(Behaviour(garbage=True)) as service:
        with pytest.raises(ProtocolError):
            await everything(service.url)


async def test_two_people_are_asked_for_as_auto_between_both_languages() -> None:
    async with protocol_server() as service:
        await everything(service.url, mode="two_way_auto")
    (init,) = service.inits
    assert (init["src_lang"], init["lang_a"], init["lang_b"], init["auto_langs"]) == ("auto", "en", "es", ["en", "es"])


async def test_a_base_client_sends_no_field_of_an_extension() -> None:
    async with protocol_server() as service:
        await everything(service.url, extensions=())
    known = {
        *("type", "client_version", "platform", "src_lang", "tgt_lang", "mode", "trace_id"),
        *("enable_streaming_asr", "partial_update_interval_ms"),
    }
    assert {name for name, value in service.inits[0].items() if value not in (None, [])} <= known


async def test_a_language_that_is_none_is_refused_before_connecting() -> None:
    with pytest.raises(LinguaError) as refused:
        async with connect("127.0.0.1:1", source="not a language", target="es"):
            pass
    assert refused.value.code == "BAD_SETTINGS"


async def test_live_audio_is_streamed_as_it_comes() -> None:
    async def live() -> AsyncIterator[bytes]:
        for _ in range(5):
            await asyncio.sleep(0)
            yield PCM

    async with protocol_server() as service, connect(service.url, source="en", target="es", settings=QUICK) as session:
        events = [event async for event in session.translate(live())]
        assert bytes(service.audio) == PCM * 5
    assert len(results(events)) == 1


async def test_a_source_that_cannot_be_read_ends_the_iteration_with_its_error() -> None:
    async with protocol_server() as service, connect(service.url, source="en", target="es", settings=QUICK) as session:
        with pytest.raises(AudioError, match=r"nowhere\.wav"):
            [event async for event in session.translate("nowhere.wav")]


async def test_one_shot_translation_gives_one_result() -> None:
    async with protocol_server() as service:
        result = await translate(service.url, PCM, "en", "es", settings=QUICK)
    assert result.translation == f"translated {len(PCM)}"
    assert result.speech == SPEECH


async def test_one_shot_translation_of_silence_says_that_nothing_was_said() -> None:
    async with protocol_server(Behaviour(skip_all=True)) as service:
        with pytest.raises(TranslationFailedError) as nothing:
            await translate(service.url, PCM, "en", "es", settings=QUICK)
    assert nothing.value.code == "NO_SPEECH"


async def test_whatever_a_source_raises_reaches_the_reader() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield PCM
        raise ZeroDivisionError("in the source")

    async with protocol_server() as service, connect(service.url, source="en", target="es", settings=QUICK) as session:
        with pytest.raises(ZeroDivisionError):
            [event async for event in session.translate(broken())]
