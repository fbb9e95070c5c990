"""What each answer about a job says of the states it can have been in: the job's state machine, step by step.

A step is a call, or a row in the answer to a call about something else, that tells of one job. Given the state before,
:func:`after` names the states in which the job can be when the step was taken; none means that it can't have been.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

RUNNING = ("assigned", "dispatched", "accepted", "processing")
ENDED = ("completed", "completed_no_text", "failed", "cancelled")
#: Pending, and apart: in a queue, given up by its last node, made without one.
WAITING, LOST, CREATED = "waiting", "lost", "created"
#: A node that nobody was told of.
ANY = "?"


class State(NamedTuple):
    """Where a job is, how many attempts it has had, and which node has it."""

    place: str
    attempt: int
    node: str = ""


NONE = State("none", 0)


@dataclass(frozen=True, slots=True)
class Step:
    """One answer. ``began_s`` to ``ended_s`` is when it was true; ``sure``: replicas had it before it was told."""

    kind: str
    outcome: str
    began_s: float
    ended_s: float
    attempt: int = 0
    node: str = ""
    status: str = ""
    asked: int = 0
    sure: bool = False
    #: The call may have been made twice, so that it found what it did itself.
    again: bool = False
    record: tuple[tuple[str, str], ...] = field(default=())

    def __str__(self) -> str:
        words = (self.kind, self.outcome, self.status, f"attempt {self.attempt or self.asked}", self.node)
        return f"{self.began_s:.3f}-{self.ended_s:.3f} " + " ".join(filter(None, words))


def place_of(record: dict[str, str]) -> str:
    """Tell the place of a job from its record."""
    status = record["status"]
    if status != "pending":
        return status
    if record.get("queue"):
        return WAITING
    return CREATED if record.get("lost") == CREATED else LOST


def after(step: Step, state: State) -> set[State]:
    """Name the states that the job can be in after a step."""
    found = _KINDS[step.kind](step, state)
    if step.again and step.outcome in ("repeated", "already_ended", "stale_attempt"):
        # What it did the first time, its answer to which was lost.
        return found | _done_before(step, state)
    return found


def hidden(state: State) -> set[State]:
    """Name the states that the job can come to by one step that nobody was told of."""
    place, attempt, node = state
    if place == "none":
        return {State(WAITING, 0), State(CREATED, 0), State("assigned", 1, ANY)}
    if place in ENDED:
        return set()
    found = {State(status, attempt) for status in ENDED}
    if place in RUNNING:
        later = RUNNING[RUNNING.index(place) + 1 :]
        return found | {State(LOST, attempt), State(WAITING, attempt)} | {State(one, attempt, node) for one in later}
    return found | {State("assigned", attempt + 1, ANY), State(WAITING, attempt)}


def _same(state: State, wanted: str) -> bool:
    return state.node in (wanted, ANY)


def _holds(step: Step, state: State) -> bool:
    return state.place in RUNNING and state.attempt == step.attempt and _same(state, step.node)


def _keep(state: State, *, when: bool) -> set[State]:
    return {state} if when else set()


def _as_recorded(step: Step, state: State) -> set[State]:
    record = dict(step.record)
    if not record:
        return _keep(state, when=state == NONE)
    same = place_of(record) == state.place and int(record["attempt_id"]) == state.attempt
    return _keep(state, when=same)


def _created(step: Step, state: State) -> set[State]:
    if step.outcome == "ok":
        return {State(CREATED, 0)} if state == NONE else set()
    return _keep(state, when=state != NONE)


def _dispatched(step: Step, state: State) -> set[State]:
    place = State("assigned", step.attempt, step.node)
    if step.outcome == "assigned":
        found = {place} if state == NONE and step.attempt == 1 else set()
        return found | _keep(state, when=state == place)
    if step.outcome == "waiting":
        return {State(WAITING, 0)} if state in (NONE, State(WAITING, 0)) else set()
    if step.outcome == "known":
        return _as_recorded(step, state)
    return _keep(state, when=state == NONE)


def _failed_over(step: Step, state: State) -> set[State]:
    mine = state.attempt == step.asked and state.place in (*RUNNING, LOST, CREATED)
    if step.outcome == "assigned":
        place = State("assigned", step.attempt, step.node)
        found = {place} if mine and step.attempt == step.asked + 1 else set()
        return found | _keep(state, when=state == place)
    if step.outcome == "waiting":
        waits = State(WAITING, step.asked)
        return {waits} if mine or state == waits else set()
    if step.outcome == "ended":
        return {State("failed", state.attempt)} if mine else set()
    if step.outcome == "known":
        return _as_recorded(step, state)
    if step.outcome == "stale_attempt":
        return _keep(state, when=state != NONE and state.attempt < step.asked)
    return _keep(state, when=state == NONE)


def _given(step: Step, state: State) -> set[State]:
    fits = state.place == WAITING and step.attempt == state.attempt + 1
    return {State("assigned", step.attempt, step.node)} if fits else set()


def _taken(step: Step, state: State) -> set[State]:
    return {State(LOST, state.attempt)} if _holds(step, state) and state.place == step.status else set()


def _lapsed(_: Step, state: State) -> set[State]:
    return {State("failed", state.attempt)} if state != NONE and state.place not in ENDED else set()


def _put_on_socket(step: Step, state: State) -> set[State]:
    if step.outcome == "ok":
        fits = _holds(step, state) and state.place == "assigned"
        return {State("dispatched", state.attempt, step.node)} if fits else set()
    if step.outcome == "repeated":
        return _keep(state, when=_holds(step, state) and state.place != "assigned")
    return _refused(step, state)


def _told_by_node(step: Step, state: State) -> set[State]:
    if step.outcome == "ok":
        return _believed(step, state) if _holds(step, state) else set()
    if step.outcome == "repeated":
        before = state.place in RUNNING and state.place in (step.status, "processing")
        ended = state.place in ENDED and (state.place == step.status or step.status not in ENDED)
        return _keep(state, when=state.attempt == step.attempt and (before or ended))
    return _refused(step, state)


def _believed(step: Step, state: State) -> set[State]:
    if step.status in ENDED:
        return {State(step.status, state.attempt)}
    new = state.place not in (step.status, "processing")
    return {State(step.status, state.attempt, step.node)} if new else set()


def _refused(step: Step, state: State) -> set[State]:
    fits = {
        "missing": state == NONE,
        "already_ended": state.place in ENDED,
        "stale_attempt": state != NONE
        and state.place not in ENDED
        and (state.attempt != step.attempt or state.place not in RUNNING),
        # Also another incarnation of the same node.
        "wrong_node": state.place in RUNNING and state.attempt == step.attempt,
    }
    return _keep(state, when=fits[step.outcome])


def _ended_by_owner(step: Step, state: State) -> set[State]:
    if step.outcome == "ok":
        return {State(step.status, state.attempt)} if state != NONE and state.place not in ENDED else set()
    if step.outcome == "repeated":
        return _keep(state, when=state.place == step.status)
    if step.outcome == "already_ended":
        return _keep(state, when=state.place in ENDED)
    return _keep(state, when=state == NONE)


def _done_before(step: Step, state: State) -> set[State]:
    first = Step(step.kind, "ok", step.began_s, step.ended_s, step.attempt, step.node, step.status, step.asked)
    return _KINDS[step.kind](first, state) if step.kind in ("mark", "update", "end") else set()


_KINDS: dict[str, Callable[[Step, State], set[State]]] = {
    "create": _created,
    "dispatch": _dispatched,
    "failover": _failed_over,
    "given": _given,
    "taken": _taken,
    "lapsed": _lapsed,
    "mark": _put_on_socket,
    "update": _told_by_node,
    "end": _ended_by_owner,
    "read": _as_recorded,
}
