"""Tend the fleets: see what there is, let :mod:`lingua_operator.fleets.plan` decide, carry it out, tell how it is.

Each fleet is tended by one task at a time. What calls for it - a change of the fleet or of a node, a plan that was not
carried out whole, time - only sets when it is due, so that a storm of events costs one round.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lingua_operator import events
from lingua_operator.cluster import FLEETS, ClusterError, Conflict, NotFound, Refused
from lingua_operator.conditions import READY, stamp
from lingua_operator.fleets.apply import Done, Round
from lingua_operator.fleets.demand import pair_seconds
from lingua_operator.fleets.parse import FLEET_FINALIZER
from lingua_operator.fleets.plan import plan
from lingua_operator.fleets.status import Trouble, status_onto, tally, told_by
from lingua_operator.fleets.values import Adopt, Around, Plan, Retire
from lingua_operator.pods import allowed_for, problem_of
from lingua_operator.resource import parse_spec
from lingua_state import declarations
from lingua_state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lingua_operator.context import Context
    from lingua_operator.fleets.figures import Figures
    from lingua_operator.fleets.values import Fleet, Member
    from lingua_operator.known import Key
    from lingua_operator.resource import Node

log = logging.getLogger(__name__)

_AT_ONCE = 8
_LOOK_S = 0.1
_SOON_S = 0.05
_TROUBLED_S = 10.0
#: A fleet rests this many times as long as its last round took, so that a large one leaves time for the others.
_REST = 3.0


class Fleets:
    """All fleets of one operator."""

    def __init__(self, context: Context, figures: Figures) -> None:
        self._context = context
        self._figures = figures
        self._every_s = context.settings.fleets.every_ms / 1000
        self.roster = figures.roster
        self._due: dict[Key, float] = {}
        self._rests: dict[Key, float] = {}
        self._busy: set[Key] = set()
        self._rounds = 0

    async def list_fleets(self) -> None:
        """Read all fleets again.

        :raises ClusterError: the list could not be read whole; nothing was changed.
        """
        context = self._context
        self.roster.replace_all(await context.cluster.list(FLEETS, context.settings.namespace_list()))
        for key in self.roster.keys():  # noqa: SIM118 - a roster is no dict
            self._at(key, _SOON_S)

    def seen(self, kind: str | None, body: Any) -> None:  # noqa: ANN401 - kopf's
        """Take in what the stream tells of a fleet."""
        fleet = self.roster.see(body)
        if kind == "DELETED":
            self.roster.end(fleet)
        else:
            self._at(fleet.key, _SOON_S)

    def touched(self, node: Node) -> None:
        """Take in that a node changed or went."""
        key = self.roster.touch(node)
        if key:
            self._at(key, _SOON_S)

    async def run(self) -> None:
        """Tend what is due, until cancelled."""
        relist = asyncio.create_task(self._relist())
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    for key in self._ready()[: _AT_ONCE - len(self._busy)]:
                        self._due.pop(key)
                        self._busy.add(key)
                        group.create_task(self._tend(key))
                    await asyncio.sleep(_LOOK_S)
        finally:
            relist.cancel()
            await asyncio.gather(relist, return_exceptions=True)

    async def _relist(self) -> None:
        while True:
            await asyncio.sleep(self._context.settings.resync.list_ms / 1000)
            try:
                await self.list_fleets()
            except ClusterError as error:
                log.warning("the fleets could not be listed", extra={"status": error.status})

    def _ready(self) -> list[Key]:
        now = time.monotonic()
        due = [(at, key) for key, at in self._due.items() if max(at, self._rests.get(key, 0.0)) <= now]
        return [key for _, key in sorted(due) if key not in self._busy]

    def _at(self, key: Key, after_s: float) -> None:
        at = time.monotonic() + after_s
        self._due[key] = min(at, self._due.get(key, at))

    async def _tend(self, key: Key) -> None:
        began = time.monotonic()
        after_s = _TROUBLED_S
        try:
            after_s = await self.settle(key)
        except ClusterError as error:
            log.warning("a fleet could not be tended", extra={"status": error.status, "fleet": "/".join(key)})
        except Exception:  # whatever one fleet ran into: no other would be tended again
            log.exception("tending a fleet failed", extra={"fleet": "/".join(key)})
        finally:
            self._busy.discard(key)
        if self.roster.get(key) is None:
            self._rests.pop(key, None)
            return
        self._rests[key] = time.monotonic() + min(_REST * (time.monotonic() - began), self._every_s)
        self._at(key, after_s)

    async def settle(self, key: Key) -> float:
        """Do one round for a fleet; return in how many seconds it is due again.

        :raises ClusterError: the API server did not let us.
        """
        seen = self.roster.get(key)
        if seen is None:
            return self._every_s
        fleet = seen.fleet
        if fleet.deleted is None and FLEET_FINALIZER not in fleet.finalizers:
            await self._hold(fleet)
            return _SOON_S
        now = datetime.now(UTC).replace(microsecond=0)
        wished, refused = await self._plan(fleet, now)
        if wished.release:
            await self._release(fleet)
            return self._every_s
        at_once = self._context.settings.fleets.writes_in_flight
        done = await Round(self._context.cluster, self._context.known, fleet, now, at_once).carry_out(wished.actions)
        await self._tell(fleet, seen.status, done, refused or done.trouble, now)
        return self._next_s(wished, done, now)

    async def _plan(self, fleet: Fleet, now: datetime) -> tuple[Plan, Trouble | None]:
        """Make the plan; who is busy is asked only where somebody has to leave."""
        strays = [] if fleet.deleted else self.roster.strays(fleet)
        if strays:
            return Plan(tuple(Adopt(node.name, node.uid) for node in strays)), None
        trouble = self._trouble(fleet)
        if trouble and fleet.deleted is None:
            return Plan(), trouble
        nodes = self.roster.nodes(fleet)
        taken = frozenset(node.name for node in self._context.known if node.namespace == fleet.namespace)
        around = Around(now, taken=taken)
        wished = plan(fleet, self.roster.members(nodes, {}), around)
        if not wished.of(Retire):
            return wished, None
        members, around = await self._look(fleet, nodes, around)
        return plan(fleet, members, around), None

    def _trouble(self, fleet: Fleet) -> Trouble | None:
        """Tell why no node may be made of the template."""
        if fleet.spec is None:
            return None
        settings = self._context.settings.pods
        spec = parse_spec(fleet.template["spec"])
        if spec.pod_template is None:
            return None
        accounts = frozenset(filter(None, settings.service_accounts.split(",")))
        images = tuple(filter(None, settings.images.split(",")))
        problem = problem_of(spec, allowed_for(spec, accounts, images))
        return Trouble(problem.reason, f"template.spec.{problem.message}") if problem else None

    async def _look(self, fleet: Fleet, nodes: Sequence[Node], around: Around) -> tuple[list[Member], Around]:
        """Find who is busy, who is needed, and which pairs others serve."""
        context, classes = self._context, self.roster.classes
        if context.store_trouble:
            return self.roster.members(nodes, {}), _unknown(around)
        try:
            live = await declarations.live(context.store, [node.node_id for node in nodes])
            waits = await self._figures.waits()
        except StateError:
            return self.roster.members(nodes, {}), _unknown(around)
        ours = {node.uid for node in nodes}
        others = {classes.of(node) for node in context.known if node.uid not in ours and _is_ready(node)}
        members = self.roster.members(nodes, live)
        elsewhere = frozenset[str]().union(*(classes.pairs.get(name, frozenset()) for name in others))
        return members, Around(around.now, classes.pairs, elsewhere, pair_seconds(waits), around.taken)

    async def _hold(self, fleet: Fleet) -> None:
        """Put our finalizer on a fleet, before it has any node."""
        finalizers = [*fleet.finalizers, FLEET_FINALIZER]
        await self._write_finalizers(fleet, finalizers)

    async def _release(self, fleet: Fleet) -> None:
        """Let a fleet go whose nodes are gone."""
        if FLEET_FINALIZER in fleet.finalizers:
            await self._write_finalizers(fleet, [each for each in fleet.finalizers if each != FLEET_FINALIZER])

    async def _write_finalizers(self, fleet: Fleet, finalizers: list[str]) -> None:
        body = {"metadata": {"resourceVersion": fleet.resource_version, "finalizers": finalizers}}
        try:
            self.roster.see(await self._context.cluster.merge(FLEETS, *fleet.key, body))
        except NotFound:
            self.roster.end(fleet)
        except Conflict:
            self.roster.see(await self._context.cluster.get(FLEETS, *fleet.key))

    async def _tell(
        self, fleet: Fleet, old: dict[str, Any], done: Done, trouble: Trouble | None, now: datetime
    ) -> None:
        """Write the status if it changed, and post what was done."""
        self._rounds += 1
        for told in told_by(Plan(tuple(done.acts)), f"{stamp(now)} {self._rounds}"):
            await events.post(self._context.cluster, fleet, told, stamp(now), FLEETS)
        nodes = self.roster.nodes(fleet)
        around = Around(now)
        count = tally(fleet, self.roster.members(nodes, {}), {node.uid: _reason(node) for node in nodes}, around)
        names = {self.roster.classes.of(node) for node in nodes if node.deleted is None}
        pairs = frozenset[str]().union(*(self.roster.classes.pairs.get(name, frozenset()) for name in names))
        new = status_onto(old, fleet, count, around, trouble, pairs)
        if new == old:
            return
        if await self._write(fleet, new):
            await self._tell_trouble(fleet, old, trouble, now)

    async def _tell_trouble(self, fleet: Fleet, old: dict[str, Any], trouble: Trouble | None, now: datetime) -> None:
        before: dict[str, Any] = next((each for each in old.get("conditions") or [] if each.get("type") == READY), {})
        if trouble and before.get("reason") != trouble.reason:
            told = events.Told("Warning", trouble.reason, trouble.message, f"{trouble.reason} {stamp(now)}")
            await events.post(self._context.cluster, fleet, told, stamp(now), FLEETS)

    async def _write(self, fleet: Fleet, status: dict[str, Any]) -> bool:
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": fleet.resource_version}
        whole = {"op": "add", "path": "/status", "value": status}
        try:
            written = await self._context.cluster.patch(FLEETS, *fleet.key, [test, whole], subresource="status")
        except NotFound:
            self.roster.end(fleet)
            return False
        except (Refused, Conflict):
            self._at(fleet.key, _SOON_S)
            return False
        self.roster.see(written)
        return True

    def _next_s(self, wished: Plan, done: Done, now: datetime) -> float:
        if done.pause_s:
            return done.pause_s
        if done.trouble:
            return _TROUBLED_S
        if done.stale or len(done.acts) < len(wished.actions):
            return _SOON_S * 4
        if wished.wake_at is not None:
            return min(self._every_s, max(_SOON_S, (wished.wake_at - now).total_seconds()))
        return self._every_s


def _unknown(around: Around) -> Around:
    return Around(around.now, taken=around.taken, store_known=False)


def _is_ready(node: Node) -> bool:
    found = node.status.condition(READY)
    return found is not None and found.status == "True" and node.deleted is None


def _reason(node: Node) -> str:
    found = node.status.condition(READY)
    return found.reason if found else ""
