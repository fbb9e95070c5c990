"""Sessions as a test knows them: who holds one, whose token counts, and which events its client may still ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis

    from lingua_state.keys import Keys

#: Events that are kept of one session.
LIMIT = 4


@dataclass
class Session:
    """A session that is in the store. ``events``: numbers of those kept, oldest first."""

    tenant: str
    instance: str
    generation: int
    token: str
    acked: int = 0
    last: int = 0
    events: list[int] = field(default_factory=list)

    def told(self, count: int) -> list[int]:
        """Take in that the client was told ``count`` more events; returns their numbers."""
        new = list(range(self.last + 1, self.last + 1 + count))
        self.last += count
        self.events = [seq for seq in self.events + new if seq > self.acked][-LIMIT:]
        return new

    def confirmed(self, acked: int) -> None:
        """Take in that the client has every event up to ``acked``."""
        self.acked = max(self.acked, min(acked, self.last))
        self.events = [seq for seq in self.events if seq > self.acked]


@dataclass
class Sessions:
    """All sessions, and what must never come again.

    :param held: the highest generation that anybody ever held of each, also of one that is gone.
    :param used: tokens that were shown and taken, of any history.
    """

    live: dict[str, Session] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    used: dict[str, set[str]] = field(default_factory=dict)

    def note_held(self, session_id: str, generation: int) -> None:
        """Take in that somebody holds a session in this generation."""
        self.held[session_id] = max(generation, self.held.get(session_id, 0))


def check(raw: redis.Redis, keys: Keys, known: Sessions, ids: tuple[str, ...]) -> None:
    """Fail at the first session that is not as it should be."""
    for session_id in ids:
        record: Any = raw.hgetall(keys.session(session_id))
        events: Any = raw.xrange(keys.session_events(session_id))
        session = known.live.get(session_id)
        listed = raw.zscore(keys.sessions(), session_id) is not None
        if session is None:
            assert (record, events, listed) == ({}, [], False), f"{session_id} is gone and left {record or events}"
            continue
        assert listed, f"{session_id} is not listed"
        assert (record["tenant"], record["instance_id"]) == (session.tenant, session.instance)
        assert int(record["generation"]) == session.generation
        assert record["token"] == session.token
        assert record["token"] not in known.used.get(session_id, ()), "a used token counts again"
        assert int(raw.pttl(keys.session(session_id))) > 0
        assert [int(name.partition("-")[0]) for name, _ in events] == session.events, "a window without a hole"
        assert not events or int(raw.pttl(keys.session_events(session_id))) > 0
