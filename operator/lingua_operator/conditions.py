"""Conditions in the standard shape of Kubernetes. Pure: values in, values out.

``lastTransitionTime`` moves only when a status does; conditions of others are kept as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

ACCEPTED, REGISTERED, CONNECTED, READY, DRAINED = "Accepted", "Registered", "Connected", "Ready", "Drained"
Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is found of one aspect: the status, one word why, and a sentence that tells what to do."""

    type: str
    status: Truth
    reason: str
    message: str = ""

    @property
    def good(self) -> bool:
        """Tell whether it holds."""
        return self.status == "True"


def stamp(when: datetime) -> str:
    """Write a time as Kubernetes does: UTC, whole seconds."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def put(
    old: Sequence[Mapping[str, Any]], found: Sequence[Verdict], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """Bring the verdicts into a list of conditions, each in its old place, new ones at the end."""
    wanted = {verdict.type: verdict for verdict in found}
    before = {condition.get("type"): condition for condition in old}
    kept = [
        _written(wanted[condition["type"]], condition, generation, now)
        if condition.get("type") in wanted
        else dict(condition)
        for condition in old
    ]
    return kept + [_written(verdict, {}, generation, now) for verdict in found if verdict.type not in before]


def _written(verdict: Verdict, before: Mapping[str, Any], generation: int, now: datetime) -> dict[str, Any]:
    same = before.get("status") == verdict.status and before.get("lastTransitionTime")
    return {
        "type": verdict.type,
        "status": verdict.status,
        "reason": verdict.reason,
        "message": verdict.message,
        "lastTransitionTime": before["lastTransitionTime"] if same else stamp(now),
        "observedGeneration": generation,
    }
