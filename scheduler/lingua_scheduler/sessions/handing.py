"""A session on its way to another instance, and from one: what it is made of is taken out here and put in there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lingua_scheduler.sessions.handover import Handed
from lingua_wire.codes import CloseCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingua_scheduler.sessions.handover import Settled
    from lingua_scheduler.sessions.session import Session


def hand_over(session: Session, last_seq: int, forward: Callable[[Settled], None]) -> Handed:
    """Let another instance have a session: its connection here ends, ``forward`` gets what is still owed."""
    older, journal, cutter = session.line, session.teller.journal, session.ear.cutter
    session.stop()
    events = journal.after(last_seq) if journal is not None else None
    under_way, carried = session.utterances.hand_over(forward)
    if older is not None:
        older.close(CloseCode.REPLACED)
    return Handed(
        known=journal is not None and events is not None,
        sample=cutter.start_sample,
        index=session.next_index,
        seq=journal.seq if journal is not None else 0,
        mark=session.utterances.mark(),
        turn_id=cutter.turns.turn_id,
        under_way=under_way,
        carried=carried,
        events=tuple(events or ()),
    )


def adopt(session: Session, handed: Handed, held_by: str, last_seq: int) -> None:
    """Go on with a session that ``held_by`` handed over, before its client is greeted."""
    session.ear.cutter.turns.go_on(handed.turn_id)
    session.utterances.adopt(handed, session.terms, held_by)
    if session.teller.journal is not None:
        session.teller.journal.adopt(handed.events, last_seq)
