"""What was decided about jobs of instances that can't be reached: left for them in the store, and taken from there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lingua_scheduler.background import Background
from lingua_scheduler.peers.envelope import pack_notice, unpack_notice
from lingua_state import notices
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from lingua_scheduler.carrier import Carrier
    from lingua_scheduler.metrics import Metrics
    from lingua_scheduler.work import Notice
    from lingua_state.client import Store

log = logging.getLogger(__name__)


class Mailbox:
    """Leaves notices for others and takes those for this instance. Each may come twice, or by another way too."""

    def __init__(self, store: Store, carrier: Carrier, metrics: Metrics) -> None:
        self._store = store
        self._carrier = carrier
        self._metrics = metrics
        self._background = Background(metrics)

    def leave(self, notice: Notice) -> None:
        """Leave a notice for the owner of its job."""
        self._metrics.peer_messages.of("sent", "left").inc()
        self._background.spawn(self._leave(notice.owner, pack_notice(notice)))

    async def take(self) -> None:
        """Take what was left for this instance.

        :raises StateError: the store does not answer.
        """
        while found := await notices.take(self._store, self._carrier.instance_id):
            for text in found:
                self._receive(text)

    async def close(self) -> None:
        """Leave nothing more."""
        await self._background.stop(patience_s=1.0)

    async def _leave(self, owner: str, text: str) -> None:
        await notices.leave(self._store, owner, [text])

    def _receive(self, text: str) -> None:
        try:
            notice = unpack_notice(text)
        except WireError as error:  # an instance of another version
            log.warning("a notice can't be read", extra={"code": error.code})
            self._metrics.peer_messages.of("received", "failed").inc()
            return
        self._metrics.peer_messages.of("received", "taken").inc()
        self._carrier.receive(notice)
