"""One node's link: which words count, which prove something, and what goes out in which form."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from lingua_scheduler.metrics import Metrics
from lingua_scheduler.nodes.link import NodeLink
from lingua_scheduler.nodes.profile import node_profile
from lingua_scheduler.settings import NodesSettings
from lingua_scheduler.work import Delivery, Said
from lingua_wire import frames
from lingua_wire.codes import CloseCode
from lingua_wire.errors import WireError
from lingua_wire.node_messages import JobAck, JobResult, NodeAsrPartial, NodeRegisterAck, NodeWireStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

AUDIO = bytes(range(200))
ACK = NodeRegisterAck(node_id="node-1", message="registered", status=NodeWireStatus.READY)
DIGEST = hashlib.sha256(AUDIO).hexdigest()
IDS: dict[str, Any] = {"job_id": "job-1", "attempt_id": 1, "node_id": "node-1", "session_id": "s-1", "trace_id": "t-1"}


class Owner:
    """Stands where the carrier stands."""

    def __init__(self) -> None:
        self.said: list[Said] = []

    def say(self, owner: str, item: Said) -> None:
        assert owner == "here"
        self.said.append(item)


class Rig:
    def __init__(self, *extensions: str) -> None:
        self.owner, self.metrics = Owner(), Metrics()
        profile = node_profile(extensions, NodesSettings())
        self.link = NodeLink("node-1", "inc-1", profile, self.owner, self.metrics, 100_000)  # type: ignore[arg-type]
        self.link.greet(ACK)
        self.link.take()

    def give(self, attempt_id: int = 1, words: Mapping[str, str] | None = None, **more: Any) -> list[str | bytes]:
        head = {"session_id": "s-1", "utterance_index": 3, "trace_id": "t-1", "start_sample": 5, **more}
        delivery = Delivery("job-1", "here", attempt_id, "node-1", "inc-1", head, AUDIO)
        assert self.link.give(delivery, words or {}) is None
        return list(self.link.take() or ())

    def told(self) -> list[dict[str, Any]]:
        out = []
        while (sent := self.link.take()) is not None:
            out.append(orjson.loads(sent[0]))
        return out

    def rejected(self, reason: str) -> float:
        return float(self.metrics.results_rejected.of(reason)._value.get())


def result(**changes: Any) -> JobResult:
    return JobResult(
        **{**IDS, "utterance_index": 3, "success": True, "text_asr": "a", "text_translated": "b", **changes}
    )


def test_a_base_node_gets_its_audio_as_base64_and_no_field_it_does_not_know() -> None:
    (message,) = Rig().give()
    fields = orjson.loads(message)
    assert base64.b64decode(fields["audio"]) == AUDIO
    assert not {"start_sample", "audio_follows", "audio_sha256"} & fields.keys()


def test_a_node_with_binary_audio_gets_a_frame_behind_the_message() -> None:
    message, frame = Rig("binary_audio", "digest").give()
    fields = orjson.loads(message)
    assert (fields["audio_follows"], fields["audio_sha256"], "audio" in fields) == (True, DIGEST, False)
    assert isinstance(frame, bytes)
    read = frames.unpack(frame)
    assert (read.kind, read.key, bytes(read.audio), read.last) == (frames.Kind.JOB_AUDIO, "job-1", AUDIO, True)


def test_a_node_is_asked_in_its_own_words_for_languages_and_understood_in_those_of_its_declaration() -> None:
    rig = Rig()
    languages: dict[str, Any] = {
        "src_lang": "auto",
        "tgt_lang": "es",
        "lang_a": "en",
        "lang_b": "es",
        "auto_langs": ["en", "es"],
    }
    (message,) = rig.give(words={"en": "en-US"}, **languages)
    fields = orjson.loads(message)
    assert {name: fields[name] for name in languages} == {
        **languages,
        "lang_a": "en-US",
        "auto_langs": ["en-US", "es"],
    }
    rig.link.take_word(result(extra={"detected_language": "en-US", "note": 1}))
    (said,) = rig.owner.said
    assert isinstance(said.word, JobResult)
    assert said.word.extra == {"detected_language": "en", "note": 1}


def test_nothing_goes_out_before_the_registration_is_answered() -> None:
    rig = Rig()
    silent = NodeLink("node-1", "inc-1", rig.link.profile, rig.owner, rig.metrics, 1_000)  # type: ignore[arg-type]
    silent.give(Delivery("job-1", "here", 1, "node-1", "inc-1", {"session_id": "s", "utterance_index": 0}, AUDIO), {})
    assert silent.take() is None
    silent.greet(ACK)
    kinds = [orjson.loads(sent[0])["type"] for sent in iter(silent.take, None)]
    assert kinds == ["node_register_ack", "job_assign"]


def test_the_same_attempt_is_given_once() -> None:
    rig = Rig("binary_audio")
    assert len(rig.give()) == 2
    assert rig.give() == []
    assert len(rig.give(attempt_id=2)) == 2


def test_words_reach_the_owner_with_the_attempt_that_was_given() -> None:
    rig = Rig("binary_audio")
    rig.give()
    rig.link.take_word(JobAck(**IDS))
    rig.link.take_word(result())
    assert [(type(said.word), said.attempt_id, said.incarnation) for said in rig.owner.said] == [
        (JobAck, 1, "inc-1"),
        (JobResult, 1, "inc-1"),
    ]


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ({"attempt_id": 2}, "stale_attempt"),
        ({"session_id": "s-2"}, "stale_attempt"),
        ({"node_id": "n-2"}, "wrong_node"),
    ],
)
def test_a_node_with_extensions_that_mixes_up_ids_changes_nothing(lie: dict[str, Any], reason: str) -> None:
    rig = Rig("binary_audio")
    rig.give()
    rig.link.take_word(result(**lie))
    assert rig.owner.said == []
    assert rig.rejected(reason) == 1


def test_a_base_node_may_answer_under_the_ids_of_another_job_of_its_own() -> None:
    rig = Rig()
    rig.give()
    rig.link.take_word(result(attempt_id=9, trace_id="other"))
    assert rig.owner.said[0].attempt_id == 1


def test_results_for_jobs_that_are_not_here_are_told_apart() -> None:
    rig = Rig("binary_audio")
    rig.give()
    rig.link.take_word(result(job_id="never-seen"))
    rig.link.take_word(result())
    rig.link.take_word(result())
    rig.give(attempt_id=2)
    rig.link.recall("job-1", 2, "cancelled")
    rig.link.take_word(result(attempt_id=2))
    assert [rig.rejected(reason) for reason in ("missing", "duplicate", "late")] == [1, 1, 1]
    assert len(rig.owner.said) == 1


def test_a_recall_of_an_older_attempt_takes_nothing_back() -> None:
    rig = Rig("binary_audio")
    rig.give(attempt_id=2)
    rig.link.recall("job-1", 1, "drain")
    assert rig.told() == []
    rig.link.recall("job-1", 2, "drain")
    (cancel,) = rig.told()
    assert (cancel["type"], cancel["job_id"], cancel["attempt_id"]) == ("job_cancel", "job-1", 2)


@pytest.mark.parametrize("digest", [None, "0" * 64])
def test_a_digest_that_does_not_fit_is_a_failed_attempt(digest: str | None) -> None:
    rig = Rig("binary_audio", "digest")
    rig.give()
    rig.link.take_word(result(audio_sha256=digest))
    word = rig.owner.said[0].word
    assert isinstance(word, JobResult)
    assert not word.success
    assert rig.rejected("digest") == 1


def test_a_digest_that_fits_counts() -> None:
    rig = Rig("binary_audio", "digest")
    rig.give()
    rig.link.take_word(result(audio_sha256=DIGEST))
    word = rig.owner.said[0].word
    assert isinstance(word, JobResult)
    assert word.success


def test_speech_in_frames_is_joined_before_the_result_counts() -> None:
    rig = Rig("binary_audio")
    rig.give()
    rig.link.take_word(result(audio_follows=True, tts_format="pcm16"))
    assert rig.owner.said == []
    for part, last in ((b"one ", False), (b"two", True)):
        rig.link.take_frame(frames.pack(frames.Kind.JOB_TTS, part, key="job-1", last=last))
    assert rig.owner.said[0].speech == b"one two"


def test_speech_without_end_or_of_the_wrong_kind_ends_the_connection() -> None:
    rig = Rig("binary_audio")
    rig.give()
    rig.link.take_word(result(audio_follows=True))
    with pytest.raises(WireError) as large:
        rig.link.take_frame(frames.pack(frames.Kind.JOB_TTS, bytes(100_001), key="job-1"))
    assert large.value.close is CloseCode.TOO_BIG
    with pytest.raises(WireError) as wrong:
        rig.link.take_frame(frames.pack(frames.Kind.CLIENT_AUDIO, b"x"))
    assert wrong.value.close is CloseCode.WRONG_FRAME_KIND


def test_base_nodes_are_never_told_an_error() -> None:
    from lingua_wire.codes import ErrorCode

    error = WireError(ErrorCode.INVALID_MESSAGE, "no")
    base, extended = Rig(), Rig("fast_lease")
    base.link.complain(error)
    extended.link.complain(error)
    assert base.told() == []
    assert extended.told()[0]["code"] == "INVALID_MESSAGE"


def test_what_was_with_the_node_when_it_went_is_named() -> None:
    rig = Rig("binary_audio")
    rig.give()
    partial = NodeAsrPartial(
        **{**{k: v for k, v in IDS.items() if k != "attempt_id"}, "utterance_index": 3, "text": "a", "is_final": False}
    )
    rig.link.take_word(partial)
    assert [job.delivery.job_id for job in rig.link.lost()] == ["job-1"]
    assert rig.link.lost()[0].delivery.audio == b""
