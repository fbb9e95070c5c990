"""Read what was recorded of a run, and name every invariant that it breaks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kit import history, store_snapshot
from kit.history import Recorded
from kit.invariants_history import HISTORY
from kit.invariants_state import STATE, View

if TYPE_CHECKING:
    from pathlib import Path

#: Of one invariant so many findings are told.
_TOLD = 5


@dataclass(slots=True)
class Verdict:
    """``broken``: what does not hold, each with its invariant's letter; ``looked_at``: how much there was to see."""

    broken: list[str] = field(default_factory=list)
    looked_at: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return "\n".join(self.broken) or "all invariants hold"


def read(folder: Path) -> Recorded:
    """Read a folder of histories (``*.jsonl``), snapshots (``snapshot-*.json.gz``) and logs, also of folders in it."""
    events = [event for path in sorted(folder.rglob("*.jsonl")) for event in history.read(path)]
    texts = {str(path.relative_to(folder)): path.read_text(errors="replace") for path in folder.rglob("*.log")}
    return Recorded(
        sorted(events, key=lambda event: float(event["at_s"])),
        [store_snapshot.read(path) for path in sorted(folder.glob("snapshot-*.json.gz"))],
        # What servers of others say of themselves is theirs.
        {name: text.splitlines() for name, text in texts.items() if not name.endswith("server.log")},
    )


def judge(recorded: Recorded) -> Verdict:
    """Look for every invariant in every snapshot and in the whole history."""
    verdict = Verdict()
    for letter, holds in HISTORY.items():
        verdict.broken += _told(letter, list(holds(recorded)))
    for number, snapshot in enumerate(recorded.snapshots):
        view = View(snapshot)
        for letter, holds_in in STATE.items():
            verdict.broken += _told(f"{letter} in snapshot {number}", list(holds_in(view)))
    counted = {kind: sum(1 for _ in recorded.of(kind)) for kind in ("said", "heard", "job", "call")}
    verdict.looked_at = counted | {"snapshots": len(recorded.snapshots), "logs": len(recorded.logs)}
    return verdict


def _told(letter: str, found: list[str]) -> list[str]:
    more = [f"{letter}: and {len(found) - _TOLD} more"] if len(found) > _TOLD else []
    return [f"{letter}: {one}" for one in found[:_TOLD]] + more
