"""Sessions: which instance holds one, in which generation, and what it hears and speaks."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from lingua_state.errors import ForeignSession, SessionMissing, SessionReplaced, StoreFault, TokenRefused
from lingua_state.models import KeptEvent, Resumed, SessionRecord
from lingua_state.pages import BadCursor, Page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lingua_state.client import Store
    from lingua_state.models import Told
    from lingua_state.multiplexed import Reply, Word

_REFUSED = {
    "missing": SessionMissing,
    "foreign": ForeignSession,
    "refused": TokenRefused,
    "replaced": SessionReplaced,
}
_NOT_OURS = frozenset({"replaced", "missing"})
_CURSOR = re.compile(r"(\d{1,15})~(\S{1,200})")


async def attach(  # noqa: PLR0913  (each is a field of the record; all are named by the caller)
    store: Store,
    *,
    session_id: str,
    instance_id: str,
    tenant: str,
    source: str,
    target: str,
    mode: str,
    trace_id: str,
    ttl_ms: int,
    after: int = 0,
    subject: str = "",
    token: str = "",
) -> int:
    """Make the caller the session's only live connection and return its generation; the newest wins.

    :param ttl_ms: how long the record outlives the last :func:`touch`.
    :param after: the generation the caller held, when the store lost its past and is told again.
    :param token: SHA-256 of the token with which it may be resumed by the same ``subject``; empty: not at all.
    :raises SessionReplaced: a later attach came before this one's answer.
    :raises ForeignSession: the session belongs to another tenant.

    The rule is in ``scripts/session_attach.lua``.
    """
    keys = [store.keys.session(session_id), store.keys.sessions()]
    op = secrets.token_hex(8)
    args: list[Word] = [session_id, instance_id, tenant, source, target, mode, trace_id, ttl_ms, op, after]
    args += [subject, token]
    outcome, *rest = await store.scripts.run("session_attach", keys, args)
    if outcome == "replaced":
        raise SessionReplaced(session_id)
    if outcome == "foreign":
        raise ForeignSession(session_id)
    return int(rest[0])


async def resume(  # noqa: PLR0913  (all are named by the caller)
    store: Store,
    *,
    session_id: str,
    instance_id: str,
    tenant: str,
    subject: str,
    token: str,
    next_token: str,
    ttl_ms: int,
    last_seq: int = 0,
) -> Resumed:
    """Take the session over with its resume token, which is used up; older connections don't count any more.

    :param token: SHA-256 of the token that the client shows; ``next_token`` of the one it gets.
    :param last_seq: the last event the client has; the kept ones after it are returned.
    :raises SessionMissing: it was closed, or nobody resumed it in time.
    :raises ForeignSession: it belongs to somebody else.
    :raises TokenRefused: the token is not the session's, or was used before; the session goes on where it is.
    :raises SessionReplaced: a later attach came before this one's answer.

    The rule is in ``scripts/session_resume.lua``.
    """
    keys = [store.keys.session(session_id), store.keys.sessions(), store.keys.session_events(session_id)]
    op = secrets.token_hex(8)
    args: list[Word] = [session_id, instance_id, tenant, subject, token, next_token, ttl_ms, op, last_seq]
    outcome, *rest = await store.scripts.run("session_resume", keys, args)
    if outcome != "ok":
        raise _REFUSED.get(outcome, StoreFault)(session_id)
    generation, before, seq, consumed, next_index, events = rest
    kept = tuple(_event(identifier, fields) for identifier, fields in events)
    return Resumed(int(generation), before, int(seq), int(consumed), int(next_index), kept)


async def keep(
    store: Store, session_id: str, generation: int, told: Told, events: Sequence[KeptEvent], *, ttl_ms: int, limit: int
) -> bool:
    """Keep events that the client may not have yet. False: a later attach holds the session, or it is gone.

    :param ttl_ms: how long text is kept; 0: only where the session is, no text.

    The rule is in ``scripts/session_events.lua``.
    """
    keys = [store.keys.session(session_id), store.keys.session_events(session_id)]
    args: list[Word] = [generation, told.acked, told.seq, told.consumed, told.next_index, ttl_ms, limit]
    for event in events:
        args += [event.seq, event.entry]
    return _done(await store.scripts.run("session_events", keys, args))


async def touch(store: Store, session_id: str, generation: int, ttl_ms: int) -> bool:
    """Let the record live ``ttl_ms`` from now. False: a later attach holds the session, or it is gone."""
    keys = [store.keys.session(session_id), store.keys.sessions()]
    return _done(await store.scripts.run("session_touch", keys, [session_id, generation, ttl_ms]))


async def update_languages(store: Store, session_id: str, generation: int, source: str, target: str) -> bool:
    """Change what the session hears and speaks. False: a later attach holds the session, or it is gone."""
    keys = [store.keys.session(session_id)]
    return _done(await store.scripts.run("session_languages", keys, [generation, source, target]))


async def close(store: Store, session_id: str, generation: int) -> bool:
    """Forget the session and all it owns. False: a later attach holds the session, or it was gone already."""
    keys = [store.keys.session(session_id), store.keys.session_events(session_id), store.keys.sessions()]
    return _done(await store.scripts.run("session_close", keys, [session_id, generation]))


async def get(store: Store, session_id: str) -> SessionRecord | None:
    """Read a session."""
    fields = await store.call("HGETALL", store.keys.session(session_id))
    return _record(session_id, fields) if "generation" in fields else None


async def list_sessions(store: Store, limit: int = 100, cursor: str | None = None) -> Page[SessionRecord]:
    """Read a page of live sessions. One that is touched between two pages may come twice; none is left out.

    :param limit: 1 to 1000; others are brought into these bounds.
    :raises BadCursor: no page of this list gave ``cursor``.
    """
    limit = min(max(limit, 1), 1000)
    after_ms, after_id = _position(cursor)
    args: list[Word] = [store.keys.session_root, after_ms, after_id, limit]
    _, *rows = await store.scripts.run("session_list", [store.keys.sessions()], args)
    found = tuple(_record(identifier, record) for identifier, _, flat in rows if (record := _pairs(flat)))
    return Page(found, f"{rows[-1][1]}~{rows[-1][0]}" if len(rows) == limit else None)


async def count(store: Store) -> int:
    """Count the live sessions."""
    seconds, micros = await store.call("TIME")
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    return int(await store.call("ZCOUNT", store.keys.sessions(), f"({now_ms}", "+inf"))


def _event(identifier: str, fields: Sequence[str]) -> KeptEvent:
    return KeptEvent(int(identifier.partition("-")[0]), fields[1])


def _done(reply: list[Reply]) -> bool:
    if reply[0] != "ok" and reply[0] not in _NOT_OURS:
        raise StoreFault(f"an outcome nobody knows: {reply[0]}")
    return bool(reply[0] == "ok")


def _position(cursor: str | None) -> tuple[str, str]:
    if cursor is None:
        return "0", ""
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise BadCursor("this is not a cursor of the sessions' list")
    return match[1], match[2]


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _record(session_id: str, fields: Mapping[str, str]) -> SessionRecord:
    return SessionRecord(
        session_id=session_id,
        instance_id=fields.get("instance_id", ""),
        generation=int(fields.get("generation", 0)),
        tenant=fields.get("tenant", ""),
        source=fields.get("source", ""),
        target=fields.get("target", ""),
        mode=fields.get("mode", ""),
        node_id=fields.get("node_id") or None,
        turn_id=fields.get("turn_id") or None,
        utterances=int(fields.get("utterances", 0)),
        created_ms=int(fields.get("created_ms", 0)),
        touched_ms=int(fields.get("touched_ms", 0)),
        trace_id=fields.get("trace_id", ""),
    )
