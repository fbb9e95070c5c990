"""The figures that autoscalers follow: gauges for Prometheus, and one small answer for each fleet over HTTP."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import Gauge

from lingua_operator.fleets.demand import Demand, Supply, Wait, share
from lingua_operator.reconcile import capability_of
from lingua_operator.resource import OWN, parse_spec
from lingua_state import declarations, pools
from lingua_state.errors import StateError
from lingua_state.wants import read_want

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from prometheus_client import CollectorRegistry

    from lingua_operator.context import Context
    from lingua_operator.fleets.roster import Roster, Seen
    from lingua_operator.known import Key
    from lingua_operator.resource import Node
    from lingua_state.declarations import LiveNode
    from lingua_state.models import PairSummary

log = logging.getLogger(__name__)

#: The most nodes a fleet can get; what goes beyond is asked of the next fleet that can take it.
MAX_REPLICAS = f"{OWN}/max-replicas"
#: A fleet whose nodes are not ready for so long can't be relied on to grow.
_STUCK_S = 120.0
#: Older figures are not given to an autoscaler: it falls back by its own rule.
_STALE_S = 60.0
#: Pairs shown, those with the most waiting jobs first: the label set must stay bounded.
_PAIRS_SHOWN = 100
_COUNT = re.compile(r"[0-9]{1,6}")


class Gauges:
    """The gauges of fleets and pairs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        fleet, pair = ("namespace", "fleet"), ("pair",)
        self._oldest: dict[str, float] = {}
        self._fleet = {
            "wanted_replicas": Gauge(
                "lingua_fleet_wanted_replicas", "Nodes that would just do for what runs and waits", fleet,
                registry=registry,
            ),
            "waiting": Gauge("lingua_fleet_waiting", "Waiting jobs it shall take", fleet, registry=registry),
            "oldest_wait_s": Gauge(
                "lingua_fleet_waiting_seconds", "How long the first of them has waited", fleet, registry=registry
            ),
            "free": Gauge("lingua_fleet_free_slots", "Jobs that could start now", fleet, registry=registry),
            "busy_ratio": Gauge("lingua_fleet_busy_ratio", "Part of the slots in use", fleet, registry=registry),
        }  # fmt: skip
        self._pair = {
            "waiting": Gauge("lingua_pair_waiting", "Jobs that wait for the pair", pair, registry=registry),
            "oldest": Gauge("lingua_pair_waiting_seconds", "How long the first waited", pair, registry=registry),
            "free": Gauge("lingua_pair_free_slots", "Jobs of the pair that could start now", pair, registry=registry),
            "nodes": Gauge("lingua_pair_nodes", "Nodes that serve the pair", pair, registry=registry),
        }

    def show(self, asked: Mapping[Key, Demand], pairs: Iterable[PairSummary]) -> None:
        """Show exactly these; what is gone vanishes."""
        for name, gauge in self._fleet.items():
            gauge.clear()
            for key, demand in asked.items():
                gauge.labels(*key).set(getattr(demand, name))
        self._oldest.clear()
        for gauge in self._pair.values():
            gauge.clear()
        for summary in sorted(pairs, key=lambda each: (-each.waiting, str(each.pair)))[:_PAIRS_SHOWN]:
            self._show_pair(summary)

    def _show_pair(self, summary: PairSummary) -> None:
        name = str(summary.pair)
        self._pair["waiting"].labels(name).inc(summary.waiting)
        self._pair["free"].labels(name).inc(summary.free)
        self._pair["nodes"].labels(name).inc(summary.nodes)
        self._oldest[name] = max(self._oldest.get(name, 0.0), summary.oldest_wait_ms / 1000)
        self._pair["oldest"].labels(name).set(self._oldest[name])


class Figures:
    """What is asked of each fleet, read from the store now and then."""

    def __init__(self, context: Context, roster: Roster) -> None:
        self._context = context
        self._gauges = Gauges(context.metrics.registry)
        self._every_s = context.settings.fleets.demand_ms / 1000
        self._asked: dict[Key, Demand] = {}
        self._read_s = float("-inf")
        self.roster = roster

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            try:
                await self.read()
            except StateError as error:
                log.info("the demand could not be read", extra={"code": error.code})
            except Exception:  # whatever one fleet ran into: no figure would ever follow
                log.exception("reading the demand failed")
            await asyncio.sleep(self._every_s)

    async def read(self) -> None:
        """Read once. :raises StateError: the store did not answer."""
        waits = await self.waits()
        asked = share(await self._supplies(), waits)
        self._gauges.show(asked, await pools.pairs(self._context.store))
        self._asked, self._read_s = asked, time.monotonic()

    async def waits(self) -> list[Wait]:
        """Read what jobs wait for. :raises StateError: the store did not answer."""
        found = await pools.waiting_depths(self._context.store)
        return [Wait(read_want(want), jobs, oldest_ms / 1000) for want, jobs, oldest_ms in found if jobs]

    async def _supplies(self) -> list[Supply]:
        seen = [found for key in self.roster.keys() if (found := self.roster.get(key))]  # noqa: SIM118 - no dict
        nodes = {found.fleet.key: self.roster.nodes(found.fleet) for found in seen if found.fleet.spec}
        ids = [node.node_id for listed in nodes.values() for node in listed]
        live = await declarations.live(self._context.store, ids)
        supplies = []
        for found in seen:
            if found.fleet.key not in nodes:
                continue
            try:
                supplies.append(self._supply(found, nodes[found.fleet.key], live))
            except Exception:  # whatever one fleet ran into: no autoscaler of another may feel it
                log.exception("the demand for a fleet could not be told", extra={"fleet": "/".join(found.fleet.key)})
        return supplies

    def _supply(self, seen: Seen, nodes: Sequence[Node], live: Mapping[str, LiveNode]) -> Supply:
        fleet = seen.fleet
        spec = parse_spec(fleet.template["spec"])
        kept = [each for each in self.roster.members(nodes, live) if each.retiring is None and not each.deleted]
        ready = [each for each in kept if each.ready]
        classes = {each.class_id for each in kept if each.template_hash == fleet.template_hash and each.class_id}
        pairs = frozenset[str]().union(*(self.roster.classes.pairs.get(name, frozenset()) for name in classes))
        if not pairs:
            # Without a node a pairing code is not known: such a fleet is asked only for what everybody may use.
            pairs = self.roster.classes.pairs_of(capability_of(spec, None))
        old = sum(not each.ready and time.time() - each.created.timestamp() > _STUCK_S for each in kept)
        return Supply(
            key=fleet.key,
            pairs=pairs,
            max_jobs=spec.capacity.max_jobs,
            load=sum(each.load for each in kept),
            capacity=sum(each.capacity for each in ready),
            ceiling=_ceiling(fleet.annotations.get(MAX_REPLICAS, ""), len(kept) - old if old else None),
        )

    async def answer(self, request: web.Request) -> web.Response:
        """Answer ``GET /fleets/{namespace}/{name}/demand``, as KEDA's metrics-api scaler reads it."""
        key = (request.match_info["namespace"], request.match_info["name"])
        age_s = time.monotonic() - self._read_s
        if age_s > _STALE_S:
            return web.json_response({"error": "the store was not read for a while"}, status=503)
        demand = self._asked.get(key)
        if demand is None:
            return web.json_response({"error": "there is no such fleet"}, status=404)
        return web.json_response(
            {
                "wantedReplicas": demand.wanted_replicas,
                "waiting": demand.waiting,
                "waitingSeconds": round(demand.waiting_seconds, 3),
                "oldestWaitSeconds": round(demand.oldest_wait_s, 3),
                "running": demand.load,
                "capacity": demand.capacity,
                "freeSlots": demand.free,
                "busyRatio": round(demand.busy_ratio, 4),
                "ageSeconds": round(age_s, 3),
            }
        )


def _ceiling(wished: str, reachable: int | None) -> int | None:
    bounds = [int(wished)] if _COUNT.fullmatch(wished) else []
    return min([*bounds, *([] if reachable is None else [reachable])], default=None)
