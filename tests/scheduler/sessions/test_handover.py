"""A session comes out of a peer's message as it went in, speech and all."""

from __future__ import annotations

import pytest

from lingua_scheduler.peers.envelope import pack, unpack
from lingua_scheduler.sessions.handover import (
    Carried,
    Handed,
    Settled,
    UnderWay,
    ask,
    handed_word,
    read_handed,
    read_settled,
    settled_word,
    start_of,
)
from lingua_scheduler.sessions.outbox import Outgoing
from lingua_scheduler.sessions.resuming import Mark
from lingua_scheduler.work import Done, Failed, SessionWord
from lingua_wire.codes import ErrorCode
from lingua_wire.node_messages import JobResult

HANDED = Handed(
    known=True,
    sample=48_000,
    index=7,
    seq=19,
    mark=Mark(16_000, 5),
    turn_id="turn",
    under_way=(UnderWay(5, "job-5", "turn", 0, 16_000, 32_000, "u1"), UnderWay(6, "job-6", "turn", 1, 32_000, 48_000)),
    carried=(Carried(4, "turn", 0, 18_000, 16_000),),
    events=(
        Outgoing(("{}",), seq=17),
        Outgoing(('{"ü": 1}', b"\x00speech\xff"), final_of=4, without_speech=("{}",), seq=18),
    ),
)


def through(word: SessionWord) -> SessionWord:
    there = unpack(pack(word))
    assert isinstance(there, SessionWord)
    return there


def test_a_session_is_read_as_it_was_written() -> None:
    word = through(handed_word("s-1", 3, "here", HANDED))
    assert (word.session_id, word.generation, word.sender) == ("s-1", 3, "here")
    assert read_handed(word) == HANDED
    assert start_of(HANDED).mark == Mark(16_000, 5)


def test_an_instance_that_has_the_session_no_more_says_so() -> None:
    assert read_handed(through(handed_word("s-1", 3, "here", Handed()))) == Handed()


@pytest.mark.parametrize("speech", [None, b"", b"\x01\x02"])
def test_a_result_is_read_as_it_was_written(speech: bytes | None) -> None:
    result = JobResult(
        job_id="job-5", attempt_id=1, node_id="n", session_id="s-1", trace_id="t", utterance_index=5, success=True
    )
    settled = Settled(5, "job-5", Done(result, speech, "n"))
    assert read_settled(through(settled_word("s-1", 3, "here", settled))) == settled


def test_a_failure_is_read_as_it_was_written() -> None:
    settled = Settled(5, "job-5", Failed(ErrorCode.JOB_TIMEOUT, "late", audio_lost=True))
    assert read_settled(through(settled_word("s-1", 3, "here", settled))) == settled


def test_a_question_names_what_the_client_has() -> None:
    assert through(ask("s-1", 3, "here", 12)).head["last_seq"] == 12


def test_no_word_shows_what_was_said() -> None:
    assert "speech" not in repr(handed_word("s-1", 3, "here", HANDED))
