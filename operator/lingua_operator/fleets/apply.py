"""Carry out a plan: a bounded number of calls at once, slowly at first, and stop where the API server says no.

Each call tests the very state that the plan was made from, so a plan from a stale view changes nothing. What the API
server answers is taken in at once, so that the next plan knows it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lingua_operator.cluster import NODES, ClusterError, Conflict, Forbidden, NotFound, Refused, TooManyCalls
from lingua_operator.fleets import manifest
from lingua_operator.fleets.status import Trouble
from lingua_operator.fleets.values import Adopt, Create, Delete, Hurry, Reschedule, Retire, TakeBack
from lingua_operator.resource import parse_node

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from lingua_operator.cluster import Body, Cluster
    from lingua_operator.fleets.values import Action, Fleet
    from lingua_operator.known import Known
    from lingua_operator.resource import Node

log = logging.getLogger(__name__)

#: Acts of one round; then the fleet is looked at again, since its wish may have changed meanwhile.
ROUND = 256
_LONGEST_PAUSE_S = 30.0


@dataclass(slots=True)
class Done:
    """What came of a round. ``trouble`` is why it stopped; ``pause_s``: the API server wants to be left alone so long.
    ``stale``: something had changed since the plan was made."""

    acts: list[Action] = field(default_factory=list)
    trouble: Trouble | None = None
    pause_s: float = 0.0
    stale: bool = False


class Round:
    """One round of acts for one fleet."""

    def __init__(self, cluster: Cluster, known: Known, fleet: Fleet, now: datetime, at_once: int) -> None:
        self._cluster = cluster
        self._known = known
        self._fleet = fleet
        self._now = now
        self._at_once = at_once
        self._done = Done()

    async def carry_out(self, actions: Sequence[Action]) -> Done:
        """Do up to :data:`ROUND` of the actions: one, then two, four and so on at once, as long as all goes well."""
        left = list(actions[:ROUND])
        size = 1
        while left and not self._stopped:
            batch, left = left[:size], left[size:]
            await asyncio.gather(*(self._one(action) for action in batch))
            size = min(size * 2, self._at_once)
        return self._done

    @property
    def _stopped(self) -> bool:
        return self._done.trouble is not None or self._done.pause_s > 0

    async def _one(self, action: Action) -> None:
        try:
            done = await self._do(action)
        except (Conflict, NotFound):
            self._done.stale = True
        except TooManyCalls as error:
            self._done.pause_s = max(self._done.pause_s, min(error.retry_after_s or 1.0, _LONGEST_PAUSE_S))
        except (Refused, Forbidden) as error:
            self._done.trouble = Trouble("NodeRefused", f"the API server refused {action.name}: {error}"[:1000])
        except ClusterError as error:
            log.warning("an act of a fleet failed", extra={"status": error.status, "fleet": self._fleet.name})
            self._done.pause_s = max(self._done.pause_s, 1.0)
        else:
            if done:
                self._done.acts.append(action)

    async def _do(self, action: Action) -> bool:
        """Do one. False: it was not needed."""
        if isinstance(action, Create):
            return await self._create(action)
        node = self._known.get((self._fleet.namespace, action.name))
        if node is None or node.uid != action.uid:
            return False
        if isinstance(action, Delete):
            await self._cluster.delete(NODES, *node.key, uid=node.uid)
            return True
        await self._patch(node, self._change(action, node))
        return True

    async def _create(self, action: Create) -> bool:
        """Make a node. One that is there already was made by an earlier try, or belongs to somebody else: either way
        the next plan knows."""
        try:
            made = await self._cluster.create(NODES, manifest.node_of(self._fleet, action.name))
        except Conflict:
            made = await self._cluster.get(NODES, self._fleet.namespace, action.name)
            self._done.stale = True
            self._known.see(parse_node(made))
            return False
        self._known.see(parse_node(made))
        return True

    def _change(self, action: Action, node: Node) -> Body:
        wished = self._fleet.spec.scheduling if self._fleet.spec else "Active"
        makers: dict[type[Action], Callable[[], Body]] = {
            TakeBack: lambda: manifest.taken_back(wished, node.resource_version),
            Reschedule: lambda: manifest.rescheduled(wished, node.resource_version),
            Hurry: lambda: manifest.hurried(node.resource_version),
        }
        if isinstance(action, Adopt):
            return manifest.adopted(self._fleet, node.owners, node.resource_version)
        if isinstance(action, Retire):
            return manifest.retired(action.why, self._now, node.resource_version)
        return makers[type(action)]()

    async def _patch(self, node: Node, change: Body) -> None:
        self._known.see(parse_node(await self._cluster.merge(NODES, *node.key, change)))
