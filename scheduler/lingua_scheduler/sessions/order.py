"""Results in utterance order: each index is released once, holes are given up at their deadline, late results dropped.

Partials do not pass here: they never wait.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

#: How many released indices are remembered, so that none is taken twice.
REMEMBERED: Final = 1024


@dataclass(frozen=True, slots=True)
class Ready(Generic[Item]):
    """An outcome whose turn it is."""

    index: int
    item: Item


@dataclass(frozen=True, slots=True)
class Missing:
    """An index that had no outcome by its deadline: nothing will follow for it."""

    index: int


class _Slot(Generic[Item]):
    """A place in the order; an outcome of None passes in silence."""

    __slots__ = ("deadline_ms", "index", "outcome", "settled")

    def __init__(self, index: int, deadline_ms: int) -> None:
        self.index = index
        self.deadline_ms = deadline_ms
        self.settled = False
        self.outcome: Ready[Item] | Missing | None = Missing(index)


class ReleaseOrder(Generic[Item]):
    """Hold outcomes back until all earlier ones are out.

    ``late`` counts outcomes after their index was released or given up, or for one never expected; ``repeated`` second
    outcomes of an index still held. Both change nothing: this is the last check that a client sees one outcome for each
    utterance.
    """

    __slots__ = ("_done", "_queue", "_slots", "late", "repeated")

    def __init__(self) -> None:
        self._queue: deque[_Slot[Item]] = deque()
        self._slots: dict[int, _Slot[Item]] = {}
        self._done: OrderedDict[int, None] = OrderedDict()
        self.late = 0
        self.repeated = 0

    def __len__(self) -> int:
        """Count the indices that are expected or held."""
        return len(self._queue)

    def expect(self, index: int, deadline_ms: int) -> bool:
        """Take a place in the order, or move the deadline of one already taken (a next attempt).

        Places are released in the order they were taken; indices need not be contiguous. False: the index was released
        before, and is not taken again.
        """
        if index in self._done:
            return False
        slot = self._slots.get(index)
        if slot is None:
            slot = self._slots[index] = _Slot(index, deadline_ms)
            self._queue.append(slot)
        slot.deadline_ms = deadline_ms
        return True

    def knows(self, index: int) -> bool:
        """Tell whether ``index`` has a place, or had one lately: another outcome of it would not be released."""
        return index in self._slots or index in self._done

    def expects(self, index: int) -> bool:
        """Tell whether an outcome of ``index`` would still count."""
        slot = self._slots.get(index)
        return slot is not None and not slot.settled

    def resolve(self, index: int, item: Item) -> bool:
        """Give the result of ``index``; False: it was late or a repeat, and is dropped."""
        return self._settle(index, Ready(index, item))

    def fail(self, index: int, item: Item) -> bool:
        """Give the failure of ``index``, to be told in its turn; as :meth:`resolve`."""
        return self._settle(index, Ready(index, item))

    def skip(self, index: int) -> bool:
        """Let ``index`` pass in silence: the client is told nothing of it; as :meth:`resolve`."""
        return self._settle(index, None)

    def waiting(self) -> list[tuple[int, Item | None]]:
        """List the indices that are expected or held, in order, each with the outcome it has already."""
        return [
            (slot.index, slot.outcome.item if slot.settled and isinstance(slot.outcome, Ready) else None)
            for slot in self._queue
        ]

    def release(self, now_ms: int) -> list[Ready[Item] | Missing]:
        """Take out what may go now, in order; a hole whose deadline has passed comes as :class:`Missing`."""
        out: list[Ready[Item] | Missing] = []
        while self._queue and (self._queue[0].settled or now_ms >= self._queue[0].deadline_ms):
            slot = self._queue.popleft()
            del self._slots[slot.index]
            self._remember(slot.index)
            if slot.outcome is not None:
                out.append(slot.outcome)
        return out

    @property
    def next_due_ms(self) -> int | None:
        """Tell when :meth:`release` gives up the hole at the head; None: nothing is awaited."""
        return self._queue[0].deadline_ms if self._queue else None

    def _remember(self, index: int) -> None:
        self._done[index] = None
        if len(self._done) > REMEMBERED:
            self._done.popitem(last=False)

    def _settle(self, index: int, outcome: Ready[Item] | None) -> bool:
        slot = self._slots.get(index)
        if slot is None:
            self.late += 1
            return False
        if slot.settled:
            self.repeated += 1
            return False
        slot.settled, slot.outcome = True, outcome
        return True
