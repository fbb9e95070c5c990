"""What the instance that held a session tells the one where its client came back. Values and their bytes; no I/O.

The new instance asks; the old one answers with all it knows (:class:`Handed`) and then, for each utterance that is
still with a node, with its outcome (:class:`Settled`). Audio that is not cut yet is not handed over: the client sends
it again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lingua_scheduler.sessions.outbox import Outgoing
from lingua_scheduler.sessions.resuming import Mark, Start
from lingua_scheduler.work import Done, Failed, SessionWord
from lingua_wire import codec
from lingua_wire.catalogue import Direction
from lingua_wire.codes import ErrorCode
from lingua_wire.node_messages import JobResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lingua_scheduler.work import Outcome

ASK: Final = "ask"
HANDED: Final = "handed"
SETTLED: Final = "settled"
#: A result with its speech as base64 in it.
_RESULT_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class UnderWay:
    """An utterance that was cut and has no outcome yet."""

    index: int
    job_id: str
    turn_id: str
    part_index: int
    start_sample: int
    end_sample: int
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class Carried:
    """An utterance that has its result, but whose audio from ``carried_from`` on its node keeps for the turn's next."""

    index: int
    turn_id: str
    start_sample: int
    end_sample: int
    carried_from: int


@dataclass(frozen=True, slots=True)
class Handed:
    """A session as it was when it was let go. ``known`` False: the instance has it no more.

    ``sample`` and ``index`` are where the next utterance begins, in the turn ``turn_id`` if that is open; ``mark`` is
    how far outcomes reach.
    """

    known: bool = False
    sample: int = 0
    index: int = 0
    seq: int = 0
    mark: Mark = field(default_factory=Mark)
    turn_id: str = ""
    under_way: tuple[UnderWay, ...] = ()
    carried: tuple[Carried, ...] = ()
    events: tuple[Outgoing, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome of an utterance that was under way."""

    index: int
    job_id: str
    outcome: Outcome = field(repr=False)


def start_of(handed: Handed) -> Start:
    """Tell where the session goes on: behind what was cut, while outcomes reach up to its mark."""
    return Start(handed.sample, handed.index, handed.seq, handed.mark)


def ask(session_id: str, generation: int, sender: str, last_seq: int) -> SessionWord:
    """Ask for a session that this instance, the ``sender``, holds now in ``generation``."""
    return SessionWord(session_id, generation, sender, ASK, {"last_seq": last_seq})


def handed_word(session_id: str, generation: int, sender: str, handed: Handed) -> SessionWord:
    """Write a session."""
    head = {
        "known": handed.known,
        "sample": handed.sample,
        "index": handed.index,
        "seq": handed.seq,
        "mark": [handed.mark.sample, handed.mark.index],
        "turn_id": handed.turn_id,
        "carried": [asdict(each) for each in handed.carried],
        "under_way": [asdict(utterance) for utterance in handed.under_way],
        "events": [_event_head(event) for event in handed.events],
    }
    body = b"".join(_bytes(frame) for event in handed.events for frame in event.frames)
    return SessionWord(session_id, generation, sender, HANDED, head, body)


def read_handed(word: SessionWord) -> Handed:
    """Read a session.

    :raises ValueError, KeyError, TypeError: another version wrote it, in a way that is not known here.
    """
    head = word.head
    return Handed(
        known=head["known"],
        sample=head["sample"],
        index=head["index"],
        seq=head["seq"],
        mark=Mark(*head["mark"]),
        turn_id=head["turn_id"],
        carried=tuple(Carried(**each) for each in head["carried"]),
        under_way=tuple(UnderWay(**utterance) for utterance in head["under_way"]),
        events=tuple(_events(head["events"], memoryview(word.body))),
    )


def settled_word(session_id: str, generation: int, sender: str, settled: Settled) -> SessionWord:
    """Write an outcome."""
    head: dict[str, Any] = {"index": settled.index, "job_id": settled.job_id}
    outcome, body = settled.outcome, b""
    if isinstance(outcome, Done):
        body = outcome.speech or b""
        result = codec.encode_text(outcome.result) if outcome.result is not None else None
        head |= {"node_id": outcome.node_id, "result": result, "has_speech": outcome.speech is not None}
    else:
        head |= {"code": outcome.code.value, "message": outcome.message, "audio_lost": outcome.audio_lost}
    return SessionWord(session_id, generation, sender, SETTLED, head, body)


def read_settled(word: SessionWord) -> Settled:
    """Read an outcome.

    :raises ValueError, KeyError, TypeError: as :func:`read_handed`. :raises WireError: it holds no result.
    """
    head = word.head
    return Settled(head["index"], head["job_id"], _failed(head) if "code" in head else _done(head, word.body))


def _failed(head: Mapping[str, Any]) -> Failed:
    return Failed(ErrorCode(head["code"]), head["message"], audio_lost=head["audio_lost"])


def _done(head: Mapping[str, Any], body: bytes) -> Done:
    said = head["result"]
    result = codec.decode(said.encode(), Direction.FROM_NODE, max_bytes=_RESULT_BYTES) if said is not None else None
    if result is not None and not isinstance(result, JobResult):
        raise TypeError("it is no result")
    return Done(result, body if head["has_speech"] else None, head["node_id"])


def _event_head(event: Outgoing) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "final_of": event.final_of,
        "lean": event.without_speech[0] if event.without_speech else None,
        "frames": [(isinstance(frame, str), len(_bytes(frame))) for frame in event.frames],
    }


def _events(heads: Sequence[Mapping[str, Any]], body: memoryview) -> list[Outgoing]:
    events, at = [], 0
    for head in heads:
        frames: list[str | bytes] = []
        for is_text, size in head["frames"]:
            raw = bytes(body[at : at + size])
            frames.append(raw.decode() if is_text else raw)
            at += size
        lean = (head["lean"],) if head["lean"] is not None else None
        events.append(Outgoing(tuple(frames), final_of=head["final_of"], without_speech=lean, seq=head["seq"]))
    return events


def _bytes(frame: str | bytes) -> bytes:
    return frame.encode() if isinstance(frame, str) else frame
