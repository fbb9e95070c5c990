"""What is on its way to one instance: each item has a number, and stays until the other side has confirmed it. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lingua_scheduler.work import Delivery, Said, SessionWord
from lingua_state.models import Assigned, EndedJob, LostJob
from lingua_wire.node_messages import JobResult, NodeAsrPartial

if TYPE_CHECKING:
    from lingua_scheduler.peers.envelope import Item
    from lingua_scheduler.work import Notice


#: What the store decided about a job.
NOTICES: Final = (Assigned, LostJob, EndedJob)


@dataclass(frozen=True, slots=True)
class Entry:
    """One item under way. ``until_ms``: after that nobody has a use for it."""

    number: int
    item: Item
    size_bytes: int
    until_ms: int


class Pending:
    """Items in order, numbered from 1; bounded in number and bytes. ``kept_ms``: how long one is sent again."""

    __slots__ = ("_bytes", "_bytes_limit", "_entries", "_kept_ms", "_limit", "_numbered", "_sent")

    def __init__(self, limit: int, bytes_limit: int, kept_ms: int) -> None:
        self._limit = limit
        self._bytes_limit = bytes_limit
        self._kept_ms = kept_ms
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._numbered = 0
        self._sent = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def unconfirmed(self) -> int:
        """Count what was sent over the present way and not confirmed."""
        return self._sent

    def add(self, item: Item, now_ms: int) -> bool:
        """Take in an item; False: there is no room."""
        size = size_of(item)
        if len(self._entries) >= self._limit or self._bytes + size > self._bytes_limit:
            return False
        self._numbered += 1
        self._entries.append(Entry(self._numbered, item, size, now_ms + self._kept_ms))
        self._bytes += size
        return True

    def next(self) -> Entry | None:
        """Give the next one to send and count it as sent."""
        if self._sent >= len(self._entries):
            return None
        self._sent += 1
        return self._entries[self._sent - 1]

    def confirm(self, number: int) -> int:
        """Forget everything up to ``number``; returns how many that were. What was never sent can't be confirmed."""
        count = 0
        while self._sent and self._entries[0].number <= number:
            self._bytes -= self._entries.popleft().size_bytes
            self._sent -= 1
            count += 1
        return count

    def rewind(self) -> None:
        """Send all again: the way broke, and nobody knows what arrived. Partials are not worth it."""
        self._sent = 0
        self._keep([entry for entry in self._entries if not _is_partial(entry.item)])

    def take_deliveries(self) -> list[Delivery]:
        """Take the jobs out: another node can have them. Only between two ways."""
        taken = [entry.item for entry in self._entries if isinstance(entry.item, Delivery)]
        self._keep([entry for entry in self._entries if not isinstance(entry.item, Delivery)])
        return taken

    def take_notices(self) -> list[Notice]:
        """Take the store's decisions out: they can go through the store. Only between two ways."""
        taken = [entry.item for entry in self._entries if isinstance(entry.item, NOTICES)]
        self._keep([entry for entry in self._entries if not isinstance(entry.item, NOTICES)])
        return taken

    def take_old(self, now_ms: int) -> int:
        """Drop what nobody has a use for any more; returns how many. Only between two ways."""
        before = len(self._entries)
        self._keep([entry for entry in self._entries if entry.until_ms > now_ms])
        return before - len(self._entries)

    def clear(self) -> int:
        """Drop everything; returns how many."""
        before = len(self._entries)
        self._sent = 0
        self._keep([])
        return before

    def _keep(self, entries: list[Entry]) -> None:
        self._entries = deque(entries)
        self._bytes = sum(entry.size_bytes for entry in entries)


def size_of(item: Item) -> int:
    """Say how much an item holds, in bytes; its head counts as 1 000."""
    match item:
        case Delivery():
            return 1_000 + len(item.audio)
        case Said(word=JobResult(tts_audio=text)):
            return 1_000 + len(item.speech or b"") + len(text or "")
        case SessionWord():
            return 1_000 + len(item.body)
    return 1_000


def _is_partial(item: Item) -> bool:
    return isinstance(item, Said) and isinstance(item.word, NodeAsrPartial)
