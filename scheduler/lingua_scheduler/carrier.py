"""The way between a job's owner and its node, whichever instances hold them: here directly, elsewhere over a peer.

What is handed on twice does no harm: every receiver compares job, attempt and node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lingua_scheduler.work import Delivery, Recall, Refusal, Said, SessionWord

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingua_scheduler.work import Notice

PEER_UNREACHABLE = "peer_unreachable"


class OwnerSide(Protocol):
    """Who owns jobs here."""

    def on_said(self, said: Said) -> None:
        """Take what a node said."""

    def on_refusal(self, refusal: Refusal) -> None:
        """Take back a delivery that failed."""

    def on_notice(self, notice: Notice) -> None:
        """Take what the store decided about a job."""


class NodeSide(Protocol):
    """Who holds node sockets here."""

    def deliver(self, delivery: Delivery) -> str | None:
        """Hand a job to its node; returns why that failed."""

    def recall(self, recall: Recall) -> None:
        """Take a job back from its node."""


class SessionSide(Protocol):
    """Who holds sessions here."""

    def on_word(self, word: SessionWord) -> None:
        """Take what another instance says about a session."""


class Left(Protocol):
    """Who leaves word for instances that can't be reached."""

    def leave(self, notice: Notice) -> None:
        """Leave a notice for the owner of its job."""


class PeerSide(Protocol):
    """Who reaches other instances."""

    def send(self, instance_id: str, item: Delivery | Refusal | Recall | Said | Notice | SessionWord) -> bool:
        """Queue an item for another instance; False: it can't be reached, or no more may wait for it."""

    def unreachable(self) -> tuple[str, ...]:
        """List the instances that can't be reached."""


class Carrier:
    """Hand items to where they belong."""

    def __init__(self, instance_id: str) -> None:
        self.instance_id = instance_id
        self._owner: OwnerSide
        self._nodes: NodeSide
        self._peers: PeerSide
        self.sessions: SessionSide | None = None
        self.mailbox: Left | None = None

    def connect(self, owner: OwnerSide, nodes: NodeSide, peers: PeerSide) -> None:
        """Name the three sides; once, before anything is carried."""
        self._owner, self._nodes, self._peers = owner, nodes, peers

    def deliver(self, instance_id: str, delivery: Delivery) -> None:
        """Bring a job to its node; a failure comes back to the owner as a refusal."""
        if instance_id == self.instance_id:
            self.receive(delivery)
        elif not self._peers.send(instance_id, delivery):
            self.undelivered(delivery)

    def avoided(self) -> tuple[str, ...]:
        """Name the instances whose nodes are no use for a new job, as the store's ``exclude`` has it."""
        return tuple(f"@{name}" for name in self._peers.unreachable())

    def recall(self, instance_id: str, recall: Recall) -> None:
        """Take a job back from its node."""
        if instance_id == self.instance_id:
            self._nodes.recall(recall)
        else:
            self._peers.send(instance_id, recall)

    def say(self, owner: str, item: Said | Refusal) -> None:
        """Bring a node's word to the owner."""
        if owner == self.instance_id:
            self.receive(item)
        else:
            self._peers.send(owner, item)

    def tell(self, notices: Iterable[Notice]) -> None:
        """Bring the store's decisions to the owners of the jobs."""
        for notice in notices:
            if notice.owner == self.instance_id:
                self._owner.on_notice(notice)
            else:
                self._peers.send(notice.owner, notice)

    def undelivered(self, delivery: Delivery) -> None:
        """Give a delivery back to its owner, which is this instance: the peer could not be reached."""
        self._owner.on_refusal(Refusal(delivery.job_id, delivery.attempt_id, PEER_UNREACHABLE))

    def unreached(self, notice: Notice) -> None:
        """Leave what the store decided where its owner finds it: there is no way to that instance now."""
        if self.mailbox is not None:
            self.mailbox.leave(notice)

    def tell_about_session(self, instance_id: str, word: SessionWord) -> bool:
        """Bring a word about a session to another instance; False: it can't be reached."""
        return self._peers.send(instance_id, word)

    def receive(self, item: Delivery | Refusal | Recall | Said | Notice | SessionWord) -> None:
        """Take an item that belongs here, from a peer or from this instance itself."""
        match item:
            case Said():
                self._owner.on_said(item)
            case Delivery():
                self._deliver_here(item)
            case Recall():
                self._nodes.recall(item)
            case Refusal():
                self._owner.on_refusal(item)
            case SessionWord():
                if self.sessions is not None:
                    self.sessions.on_word(item)
            case _:
                self._owner.on_notice(item)

    def _deliver_here(self, delivery: Delivery) -> None:
        reason = self._nodes.deliver(delivery)
        if reason is not None:
            self.say(delivery.owner, Refusal(delivery.job_id, delivery.attempt_id, reason))
