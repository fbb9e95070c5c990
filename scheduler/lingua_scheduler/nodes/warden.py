"""Keeps the nodes of this instance within what is declared: who lost declaration or credential goes at once."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from lingua_scheduler.nodes.member import close_of
from lingua_scheduler.tokens import AuthError
from lingua_state import declarations
from lingua_state.errors import DeclarationApart, StateError
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from lingua_scheduler.nodes.link import NodeLink
    from lingua_scheduler.nodes.member import Member
    from lingua_scheduler.scheduler import Scheduler
    from lingua_state.declared import Declaration

log = logging.getLogger(__name__)


class Warden:
    """Looks at the sum over all declarations, and at the nodes connected here when it changed."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._seen = ""

    async def run(self) -> None:
        """Look, for ever."""
        pause_s = self._scheduler.settings.instance.announce_ms / 1000
        while True:
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            try:
                await self.look()
            except StateError as error:
                self._scheduler.metrics.store_errors.of(error.code).inc()
            except Exception:  # whatever one node ran into: the others would never be looked at again
                log.exception("a look at the declarations failed")

    async def look(self) -> None:
        """Look once. What could not be settled is looked at again the next time."""
        summary = await declarations.summary(self._scheduler.store)
        self._scheduler.gate.note(summary)
        # A declaration that came and went between two looks leaves the same sum, but not the same nodes.
        seen = f"{summary.epoch} {summary.digest} {self._scheduler.gate.judged}"
        if seen == self._seen or self._scheduler.draining:
            return
        if await self._check_all():
            self._seen = seen

    async def _check_all(self) -> bool:
        members = {member.node_id: (link, member) for link, member in self._scheduler.nodes.members()}
        found = await declarations.get_many(self._scheduler.store, members)
        settled = [await self._check(link, member, found.get(node_id)) for node_id, (link, member) in members.items()]
        return all(settled)

    async def _check(self, link: NodeLink, member: Member, declaration: Declaration | None) -> bool:
        """Bring one node in line; False: that can't be told just now."""
        undeclared = declaration is None and self._scheduler.gate.admission == "declared"
        if member.follows(declaration) and not undeclared:
            return True
        try:
            await member.follow()
        except AuthError as error:
            if error.code is ErrorCode.SCHEDULER_DEPENDENCY_DOWN:
                return False
            await self._dismiss(link, error)
        except DeclarationApart as error:
            await self._dismiss(link, error)
        return True

    async def _dismiss(self, link: NodeLink, error: AuthError | DeclarationApart) -> None:
        refusal = close_of(error)
        log.warning("node dismissed", extra={"node_id": link.node_id, "code": refusal.code})
        await link.dismiss(refusal)
