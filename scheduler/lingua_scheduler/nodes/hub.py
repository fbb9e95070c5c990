"""The nodes connected to this instance."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING

from lingua_scheduler.background import Background
from lingua_scheduler.tokens import AuthError
from lingua_state import jobs
from lingua_state.errors import StateError
from lingua_state.models import JobStatus, LostJob
from lingua_wire.codes import CloseCode

if TYPE_CHECKING:
    from lingua_scheduler.carrier import Carrier
    from lingua_scheduler.metrics import Metrics
    from lingua_scheduler.nodes.link import NodeLink
    from lingua_scheduler.nodes.member import Member
    from lingua_scheduler.work import Delivery, Recall
    from lingua_state.client import Store

log = logging.getLogger(__name__)

#: How often the end of a node is told again to a store that is away. After that its lease ends by itself.
_LEAVE_TRIES = 10
_LEAVE_PAUSE_S = 1.0


class NodeHub:
    """Finds the socket of a node, and tells everybody when it is gone."""

    def __init__(self, store: Store, carrier: Carrier, metrics: Metrics) -> None:
        self._store = store
        self._carrier = carrier
        self._metrics = metrics
        self._links: dict[str, tuple[NodeLink, Member]] = {}
        self._background = Background(metrics)

    def __len__(self) -> int:
        return len(self._links)

    def add(self, link: NodeLink, member: Member) -> None:
        """Take in a node that registered; an older connection of the same node here is closed."""
        older = self._links.get(link.node_id)
        self._links[link.node_id] = (link, member)
        if older is not None and older[0] is not link and older[0].pump is not None:
            self._metrics.nodes_lost.of("replaced").inc()
            self._background.spawn(older[0].pump.close(CloseCode.REPLACED, "a newer connection holds this node"))
        self.show()

    async def remove(self, link: NodeLink, member: Member, reason: str) -> None:
        """Forget a connection that ended, and let the owners of its jobs know at once."""
        if self._links.get(link.node_id, (None,))[0] is link:
            del self._links[link.node_id]
            self._metrics.nodes_lost.of(reason).inc()
        self.show()
        try:
            await member.leave(reason)
        except StateError:
            self._background.spawn(self._leave_later(member, reason))
        self._carrier.tell(_lost_jobs(link))

    def deliver(self, delivery: Delivery) -> str | None:
        """Hand a job to its node; returns why that failed."""
        found = self._links.get(delivery.node_id)
        if found is None:
            return "node_gone"
        link, member = found
        if link.incarnation != delivery.incarnation:
            return "node_replaced"
        refused = link.give(delivery, member.words)
        if refused is None:
            self._background.spawn(self._mark(link, delivery))
        return refused

    def recall(self, recall: Recall) -> None:
        """Take a job back from its node."""
        link = self._links.get(recall.node_id, (None,))[0]
        if link is not None:
            link.recall(recall.job_id, recall.attempt_id, recall.reason)

    def members(self) -> list[tuple[NodeLink, Member]]:
        """List the connected nodes."""
        return list(self._links.values())

    async def reassert(self) -> None:
        """Tell the store about every node again: it lost its past."""
        for _, member in self.members():
            try:
                await member.reassert()
            except (AuthError, StateError) as error:  # its next heartbeat does it; the others need not wait
                self._metrics.store_errors.of(str(error.code)).inc()

    async def drain(self) -> None:
        """Let no node of this instance get anything new."""
        for _, member in self.members():
            try:
                await member.drain()
            except Exception as error:  # whatever the store says: the nodes are closed soon
                log.info("a node could not be drained", extra={"code": getattr(error, "code", "")})

    async def close(self, code: CloseCode) -> None:
        """Close every node's socket, and wait for what is told about them."""
        closing = [link.pump.close(code, "this instance is going away") for link, _ in self.members() if link.pump]
        await asyncio.gather(*closing, return_exceptions=True)

    async def stop(self) -> None:
        """Wait for the last calls to the store, bounded."""
        await self._background.stop(patience_s=2.0)

    def busy(self) -> int:
        """Count the jobs with nodes of this instance."""
        return sum(len(link.work) for link, _ in self.members())

    def show(self) -> None:
        """Bring the metric of nodes up to date."""
        self._metrics.nodes.replace(dict(Counter(str(member.status) for _, member in self.members())))

    async def _mark(self, link: NodeLink, delivery: Delivery) -> None:
        """Note in the store that the job is on the node's socket; a job that moved on meanwhile is taken back."""
        transition = await jobs.mark_dispatched(
            self._store, delivery.job_id, delivery.attempt_id, delivery.node_id, offer_ms=delivery.offer_ms
        )
        if transition.outcome not in ("ok", "repeated", "missing"):
            link.recall(delivery.job_id, delivery.attempt_id, transition.outcome)

    async def _leave_later(self, member: Member, reason: str) -> None:
        for _ in range(_LEAVE_TRIES):
            await asyncio.sleep(_LEAVE_PAUSE_S)
            try:
                await member.leave(reason)
            except StateError:
                continue
            return


def _lost_jobs(link: NodeLink) -> list[LostJob]:
    """Name the jobs that were on a socket that ended. The store says the same; owners take whichever comes first."""
    return [
        LostJob(
            job_id=job.delivery.job_id,
            session_id=job.session_id,
            owner=job.delivery.owner,
            attempt_id=job.delivery.attempt_id,
            node_id=link.node_id,
            status=JobStatus.PENDING,
            reason="node_lost",
        )
        for job in link.lost()
    ]
