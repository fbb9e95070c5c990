"""What a session is opened with: wishes checked, completed and brought into bounds; and the job that comes of it."""

from __future__ import annotations

from typing import Any

import pytest

from lingua_scheduler.auth import Identity
from lingua_scheduler.sessions.cuts import Finalized, Reason
from lingua_scheduler.sessions.plan import Place, plan
from lingua_scheduler.sessions.profile import client_profile
from lingua_scheduler.sessions.terms import Terms, terms_of
from lingua_scheduler.settings import SchedulerSettings
from lingua_state.models import Pair
from lingua_wire.audio import AudioFormat
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.node_messages import JobAssign
from lingua_wire.session_messages import SessionInit, SessionUpdate, Utterance

SETTINGS = SchedulerSettings()
TWO_WAY: dict[str, Any] = {"mode": "two_way_auto", "lang_a": "zh", "lang_b": "en", "src_lang": "auto", "tgt_lang": "en"}


def init(**changes: Any) -> SessionInit:
    fields = {"client_version": "1", "platform": "web", "src_lang": "en", "tgt_lang": "es"}
    return SessionInit.model_validate(fields | changes)


def terms(identity: Identity | None = None, **changes: Any) -> Terms:
    return terms_of(init(**changes), identity or Identity(), SETTINGS)


def utterance(**changes: Any) -> Finalized:
    fields: dict[str, Any] = {
        "audio": b"\0\0" * 16_000,
        "reason": Reason.IS_FINAL,
        "turn_id": "turn",
        "start_sample": 32_000,
        "end_sample": 48_000,
        "speech_ms": 900,
        "padding_ms": 280,
        "manual": True,
    }
    return Finalized(**(fields | changes))


PLACE = Place("job-1", "session-1", "here", 7, AudioFormat.PCM16, 16_000)


def test_a_client_that_asks_for_nothing_is_a_base_client() -> None:
    profile = terms().profile
    assert (profile.name, profile.binary_audio, profile.warned, profile.idle_closed) == ("base", False, False, False)
    assert profile.flow.only_pause
    assert profile.flow.rate == 2.5


def test_a_client_that_asks_for_what_is_not_known_is_a_base_client_too() -> None:
    assert client_profile(["telepathy", "fast_lease"], SETTINGS.flow).name == "base"


def test_a_base_session_begins_above_every_index_an_earlier_one_of_the_page_can_have_used() -> None:
    profile = client_profile([], SETTINGS.flow)
    at_noon, a_minute_later = 1_800_000_000_000, 1_800_000_060_000
    assert profile.first_index(a_minute_later) - profile.first_index(at_noon) >= 60
    assert client_profile(["audio_ack"], SETTINGS.flow).first_index(at_noon) == 0


def test_only_base_clients_wait_for_audio_that_their_final_overtook() -> None:
    assert terms().rules.stabilise_manual_ms == 200
    assert terms(extensions=["binary_audio"]).rules.stabilise_manual_ms == 0


def test_two_people_need_a_node_for_both_directions() -> None:
    languages = terms(**TWO_WAY).languages
    assert languages.pair == Pair("auto", "en")
    assert languages.both_ways
    assert languages.candidates == ("zh", "en")
    assert languages.direction("zh") == ("zh", "en")
    assert languages.direction("en") == ("en", "zh")
    assert languages.direction(None) == (None, None)


def test_language_codes_are_written_one_way() -> None:
    assert terms(src_lang="EN-us", tgt_lang="zh-hans").languages.pair == Pair("en-US", "zh-Hans")


@pytest.mark.parametrize(
    "changes",
    [
        {"tgt_lang": "en"},
        {"tgt_lang": "auto", "src_lang": "es"},
        {"mode": "two_way_auto"},
        {"mode": "two_way_auto", "lang_a": "en", "lang_b": "EN"},
        {"mode": "two_way_auto", "lang_a": "auto", "lang_b": "en"},
    ],
)
def test_languages_that_contradict_each_other_are_refused_with_4400(changes: dict[str, Any]) -> None:
    with pytest.raises(WireError) as caught:
        terms(**changes)
    assert (caught.value.code, caught.value.close) == (ErrorCode.INVALID_MESSAGE, CloseCode.BAD_SETTINGS)


def test_a_stream_of_wav_is_refused_with_4415() -> None:
    with pytest.raises(WireError) as caught:
        terms(audio_format="wav")
    assert (caught.value.code, caught.value.close) == (ErrorCode.UNSUPPORTED_FORMAT, CloseCode.AUDIO_FORMAT)


def test_the_tenant_comes_from_the_token_and_from_the_message_only_without_one() -> None:
    assert terms(tenant_id="mine").tenant == "mine"
    assert terms(Identity(tenant="real", verified=True), tenant_id="mine").tenant == "real"


def test_a_pairing_code_is_kept_as_its_digest_alone() -> None:
    made = terms(pairing_code="1234-secret")
    assert made.pairing is not None
    assert "1234-secret" not in repr(made)


@pytest.mark.parametrize(
    ("said", "interval_ms"),
    [
        ({}, 1_000),
        ({"enable_streaming_asr": False}, 0),
        ({"partial_update_interval_ms": 10}, 100),
        ({"partial_update_interval_ms": 400}, 400),
    ],
)
def test_partials_are_on_unless_they_are_not_wanted(said: dict[str, Any], interval_ms: int) -> None:
    assert terms(**said).partial_ms == interval_ms


def test_an_update_changes_what_it_names_and_stays_in_bounds() -> None:
    before = terms(extensions=["audio_ack"])
    after = before.updated(SessionUpdate(session_id="s", tgt_lang="fr", max_duration_ms=10, vad_silence_ms=0))
    assert after.languages.pair == Pair("en", "fr")
    assert (after.rules.max_duration_ms, after.rules.vad_silence_ms) == (1_000, 0)
    assert after.rules.pause_ms == before.rules.pause_ms
    with pytest.raises(WireError) as caught:
        before.updated(SessionUpdate(session_id="s", tgt_lang="en"))
    assert caught.value.close is None


def test_a_whole_utterance_names_its_own_languages_and_stages() -> None:
    said = Utterance.model_validate(
        {
            "session_id": "s",
            "utterance_index": 1,
            "manual_cut": True,
            "src_lang": "fr",
            "tgt_lang": "de",
            "audio": "",
            "audio_format": "pcm16",
            "sample_rate": 8_000,
            "pipeline": {"use_tts": False},
            "trace_id": "trace-2",
        }
    )
    made = terms(trace_id="trace-1").of_utterance(said)
    assert made.languages.pair == Pair("fr", "de")
    assert (made.trace_id, made.pipeline.use_tts) == ("trace-2", False)


def test_a_job_tells_the_node_what_the_protocol_names() -> None:
    work = plan(utterance(), terms(**TWO_WAY, dialect="x"), PLACE, SETTINGS.job)
    assign = JobAssign.model_validate({**work.head, "attempt_id": 1, "audio": ""})
    assert (assign.src_lang, assign.tgt_lang, assign.lang_a, assign.lang_b) == ("auto", "en", "zh", "en")
    assert (assign.is_manual_cut, assign.is_timeout_triggered, assign.is_max_duration_triggered) == (True, False, False)
    assert (assign.padding_ms, assign.turn_id, assign.dialect, assign.start_sample) == (280, "turn", "x", 32_000)
    assert work.request.both_ways
    assert work.request.audio_ms == 1_000


def test_a_piece_that_continues_says_so_and_asks_for_no_end_of_its_turn() -> None:
    cut = utterance(reason=Reason.MAX_DURATION, manual=False, continues=True)
    head = plan(cut, terms(), PLACE, SETTINGS.job).head
    flags = [head[name] for name in ("is_manual_cut", "is_timeout_triggered", "is_max_duration_triggered")]
    assert flags == [False, False, True]


def test_no_job_record_holds_audio_or_a_pairing_code() -> None:
    work = plan(utterance(audio=b"VOICE" * 6_400), terms(pairing_code="secret-code"), PLACE, SETTINGS.job)
    shown = repr(work) + repr(work.request) + str(work.head)
    assert "VOICE" not in shown
    assert "secret-code" not in shown
