"""The jobs that are with one node: what may be said about them, and by whom. Pure."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lingua_scheduler.work import Delivery
    from lingua_wire.node_messages import JobResult

#: Finished jobs that are remembered, to tell a second result from one for a job that was never here.
REMEMBERED: Final = 256


@dataclass(slots=True)
class AtNode:
    """A job that was given to the node and has not ended. ``digest`` is empty unless the node proves its audio;
    ``words`` are the node's own for languages that it is declared with by others."""

    delivery: Delivery
    digest: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    result: JobResult | None = None
    """A result whose speech is still to come in binary frames."""
    speech: bytearray = field(default_factory=bytearray, repr=False)

    @property
    def session_id(self) -> str:
        """Name the session it belongs to."""
        return str(self.delivery.head["session_id"])


class NodeWork:
    """The jobs with one node, and those that ended lately."""

    __slots__ = ("_ended", "_jobs")

    def __init__(self) -> None:
        self._jobs: dict[str, AtNode] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, delivery: Delivery, *, digest: bool, words: Mapping[str, str]) -> bool:
        """Note a job that is about to be given; False: this attempt is here already."""
        known = self._jobs.get(delivery.job_id)
        if known is not None and known.delivery.attempt_id == delivery.attempt_id:
            return False
        proof = hashlib.sha256(delivery.audio).hexdigest() if digest else ""
        self._jobs[delivery.job_id] = AtNode(delivery.without_audio(), proof, words)
        self._ended.pop(delivery.job_id, None)
        return True

    def find(self, job_id: str) -> AtNode | None:
        """Find a job that is here."""
        return self._jobs.get(job_id)

    def end(self, job_id: str, why: str) -> AtNode | None:
        """Take a job out and remember why."""
        job = self._jobs.pop(job_id, None)
        if job is not None:
            self._ended[job_id] = why
            if len(self._ended) > REMEMBERED:
                self._ended.popitem(last=False)
        return job

    def why_unknown(self, job_id: str) -> str:
        """Say why a word about a job that is not here does not count: ``duplicate``, ``late`` or ``missing``."""
        return self._ended.get(job_id, "missing")

    def all(self) -> list[AtNode]:
        """List the jobs that are here."""
        return list(self._jobs.values())
