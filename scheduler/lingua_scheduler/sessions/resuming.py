"""Where a session goes on: the arithmetic of a resume, and the credential for it. Pure."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lingua_state.models import KeptEvent, Resumed
    from lingua_wire.session_messages import SessionInit

#: A value of the store is never larger than 16 KiB, names included.
MAX_ENTRY_BYTES: Final = 12 * 1024
_TOKEN_BYTES: Final = 16


def new_token() -> str:
    """Make a resume token: 128 random bits."""
    return secrets.token_hex(_TOKEN_BYTES)


def digest(token: str) -> str:
    """Give what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Mark:
    """How far outcomes reach: all samples before ``sample`` and all utterances before ``index`` have theirs."""

    sample: int = 0
    index: int = 0

    def later(self, other: Mark) -> Mark:
        """Give the later of two marks of the same session."""
        return Mark(max(self.sample, other.sample), max(self.index, other.index))


@dataclass(frozen=True, slots=True)
class Start:
    """Where a session begins, or goes on: the first sample that is awaited, the next index, the last event's number.

    ``told``: how far outcomes reach, where some are still awaited; None: up to there.
    """

    sample: int = 0
    index: int | None = None
    seq: int = 0
    told: Mark | None = None

    @property
    def mark(self) -> Mark:
        """Tell how far outcomes reach."""
        return self.told or Mark(self.sample, self.index or 0)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a client says it has. ``mark`` and ``held_sample``, the first sample it can still send: None if not said."""

    last_seq: int = 0
    mark: Mark | None = None
    held_sample: int | None = None

    @classmethod
    def of(cls, init: SessionInit) -> Claim:
        """Read it from a ``session_init``."""
        said = init.from_sample is not None and init.from_index is not None
        mark = Mark(init.from_sample or 0, init.from_index or 0) if said else None
        return cls(init.last_seq or 0, mark, init.held_sample)

    def can_send(self, sample: int) -> bool:
        """Tell whether the client surely still has the audio from ``sample`` on."""
        return self.held_sample is not None and self.held_sample <= sample


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as the store keeps it: its text without speech, and how far outcomes reached before and after it."""

    text: str
    before: Mark
    after: Mark
    spoken: bool = False
    index: int | None = None

    def write(self) -> str | None:
        """Write it; None: it is too large for the store."""
        before, after = self.before, self.after
        packed = orjson.dumps(
            (self.text, before.sample, before.index, after.sample, after.index, self.spoken, self.index)
        )
        return packed.decode() if len(packed) <= MAX_ENTRY_BYTES else None


def read_entry(written: str) -> Entry | None:
    """Read an entry; None: another version wrote it, in a way that is not known here."""
    try:
        text, sample, index, sample_after, index_after, spoken, of = orjson.loads(written)
        return Entry(text, Mark(sample, index), Mark(sample_after, index_after), spoken, of)
    except (ValueError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class Again:
    """How a session goes on where its memory is lost: what is told again as text, and from where audio is awaited."""

    start: Start
    entries: tuple[Entry, ...] = ()


def begin_again(claim: Claim, resumed: Resumed) -> Again:
    """Choose where a session goes on, from what its client says and what the store kept.

    Nothing is lost: each utterance without an outcome at the client is either told from the store or its audio is asked
    for. Nothing is said twice: what is told from the store is not asked for. A result that was spoken is rather made
    again than told without its speech, as long as the client has the audio.
    """
    mark = claim.mark
    entries: list[Entry] = []
    expected = claim.last_seq + 1
    for event, entry in _read(resumed.events):
        if mark is not None and (entry is None or event.seq != expected):
            break
        if entry is None:
            continue
        if mark is not None and entry.spoken and claim.can_send(max(mark.sample, entry.before.sample)):
            break
        entries.append(entry)
        mark = entry.after if mark is None else mark.later(entry.after)
        expected = event.seq + 1
    while entries and entries[-1].before == entries[-1].after:
        entries.pop()  # it was cut, and will be again
    reached = mark or Mark(resumed.consumed, resumed.next_index)
    sample = max(reached.sample, claim.held_sample or 0)
    return Again(Start(sample, reached.index, max(resumed.seq, claim.last_seq)), tuple(entries))


def begin_fresh(claim: Claim) -> Start:
    """Choose where a new session begins for a client that goes on with what it could not finish in another."""
    if claim.mark is None:
        return Start()
    return Start(max(claim.mark.sample, claim.held_sample or 0), claim.mark.index, claim.last_seq)


def retold(entry: Entry, seq: int, session_id: str) -> dict[str, Any]:
    """Make the event to be told again, under a new number."""
    fields: dict[str, Any] = orjson.loads(entry.text)
    return fields | {"seq": seq, "session_id": session_id}


def _read(events: Sequence[KeptEvent]) -> list[tuple[KeptEvent, Entry | None]]:
    return [(event, read_entry(event.entry)) for event in events]
