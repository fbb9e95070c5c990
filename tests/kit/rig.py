"""The whole system as processes for one fault: a store with a disk, schedulers behind one address, nodes, and people.

A row of the catalogue (docs/guarantees.md) breaks something while people talk, proves that it was broken, and leaves
the rest to :meth:`Rig.settle`. Each process notes what it does, the store is looked at every few seconds, and all
invariants are looked for in that record (kit.verdict): in the row, and again with ``tests/faults/check.py``.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
import redis

from kit import store_snapshot
from kit.aftermath import leftovers
from kit.balancer import Balancer, balancer
from kit.crowd import Crowd, Habits, crowd
from kit.eventually import eventually
from kit.fleet import Fleet, NodeProcess, fleet, start_node
from kit.history import History
from kit.proxy import Proxy, proxy_to
from kit.schedulers import SchedulerProcess, start_scheduler
from kit.store_process import StoreProcess, store_process
from kit.verdict import Verdict, judge, read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from kit.sentinels import SentinelStore

PAIR = ("en", "es")
#: A safety on a busy machine, not an expectation.
_START_S = 120.0
_LOOK_S = 0.2
#: Until everything that was begun before the fault has ended: a job may take three attempts.
_QUIET_S = 90.0
_SNAPSHOT_S = 5.0
#: Group of the first scheduler of a rig whose processes can be cut off; each has the next one.
_FIRST_GID = 70_100


@dataclass
class Rig:
    """What runs. ``figures`` are what the row measured; they go into the report. ``note`` writes into the history.

    ``way`` stands between the schedulers and the store, if the row wanted one. ``apart``: each scheduler is in a group
    of its own, so that :class:`kit.own_network.Cut` can tell them apart. ``taken`` are the processes, by pid, to which
    a fault is being done (:mod:`kit.injectors.table`).
    """

    directory: Path
    source: random.Random
    store: StoreProcess | SentinelStore
    schedulers: list[SchedulerProcess]
    settings: dict[str, object]
    store_url: str
    apart: bool = False
    way: Proxy | None = None
    front: Balancer | None = None
    team: Fleet = field(default_factory=Fleet)
    figures: dict[str, Any] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)
    _snapshots: int = 0

    def __post_init__(self) -> None:
        self.note = History(self.directory / "rig.jsonl", "rig").note

    @property
    def disk(self) -> StoreProcess:
        """Give the store as the one process with a disk that it is."""
        assert isinstance(self.store, StoreProcess)
        return self.store

    @property
    def url(self) -> str:
        """Tell the one address of all schedulers."""
        assert self.front is not None
        return self.front.url

    def running(self) -> list[str]:
        """List the addresses of the schedulers whose process is there."""
        return [scheduler.url for scheduler in self.schedulers if scheduler.process.poll() is None]

    async def add_node(self, node_id: str, url: str = "", **options: object) -> NodeProcess:
        """Start one more node, behind ``url`` if that is given, and wait until it is in."""
        made = start_node(self.directory / "nodes", url or self.url, node_id, **options)
        self.team.nodes.append(made)
        await eventually(lambda: made.events("registered"), within_s=_START_S, what=f"{node_id} is in")
        return made

    async def add_scheduler(self, **settings: object) -> SchedulerProcess:
        """Start one more and wait until it is ready."""
        number = len(self.schedulers)
        name = f"scheduler-{number}"
        if self.apart:
            settings.setdefault("gid", _FIRST_GID + number)
        settings["history"] = self.directory / f"{name}.jsonl"
        made = start_scheduler(self.directory, self.store_url, name, **(self.settings | settings))
        self.schedulers.append(made)
        self.taken.add(made.process.pid)
        await self.until(made.is_ready, within_s=_START_S, what=f"{name} is ready")
        self.taken.discard(made.process.pid)
        return made

    def metric(self, name: str, **labels: str) -> float:
        """Sum a metric over all schedulers that run."""
        alive = [scheduler for scheduler in self.schedulers if scheduler.process.poll() is None]
        return sum(scheduler.metric(name, **labels) for scheduler in alive)

    async def until(self, probe: Callable[[], bool], *, within_s: float, what: str) -> float:
        """Ask ``probe`` now and then until it says yes, in a thread: this process carries the connections meanwhile.

        :returns: how long it took, in seconds.
        """
        began = time.monotonic()
        while not await asyncio.to_thread(probe):
            assert time.monotonic() < began + within_s, f"not within {within_s:g} s: {what}"
            await asyncio.sleep(_LOOK_S)
        return time.monotonic() - began

    def rejected(self) -> float:
        """Count the answers of nodes that no longer counted."""
        return self.metric("lingua_results_rejected_total")

    def node_is(self, node_id: str, status: str) -> bool:
        """Tell whether the schedulers see a node so."""
        return bool(self.schedulers[0].ask(f"/api/v1/nodes/{node_id}")[1].get("status") == status)

    @asynccontextmanager
    async def people(
        self, count: int = 12, pause_s: float = 0.3, *, look_s: float = _SNAPSHOT_S, **habits: float
    ) -> AsyncIterator[Crowd]:
        """Let people talk while the block runs; each has heard at least one answer when it begins.

        :param look_s: how often the store is looked at.
        :param habits: as :class:`kit.crowd.Habits` has them.
        """
        self.sample()
        await self.snapshot()
        looking = asyncio.create_task(self._look_on(look_s))
        try:
            habits_of = Habits(pause_s=pause_s, **habits)
            async with crowd(self.url, PAIR, count, self.source, self.note, habits_of) as talking:
                await eventually(
                    lambda: all(any(said.answers for said in talker.spoken.values()) for talker in talking.talkers),
                    within_s=max(60, count), what="everybody heard an answer",
                )  # fmt: skip
                yield talking
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        self.figures |= {"said": len(talking.spoken), "worst_wait_s": round(talking.worst_wait_s(), 2)}

    async def snapshot(self) -> None:
        """Keep what the store holds now, unless it does not answer."""
        path = self.directory / f"snapshot-{self._snapshots:03}.json.gz"
        with suppress(redis.RedisError, OSError):
            await asyncio.to_thread(lambda: store_snapshot.write(self._taken(), path))
            self._snapshots += 1

    def sample(self) -> dict[str, dict[str, float]]:
        """Note how much each process has of what is bounded, and tell it, by ``name/pid``."""
        found: dict[str, dict[str, float]] = {}
        pids = {one.name: one.process.pid for one in self.schedulers if one.process.poll() is None}
        pids |= {one.node_id: one.process.pid for one in self.team.nodes if one.process.poll() is None}
        for name, pid in pids.items():
            process = psutil.Process(pid)
            figures = {"rss_bytes": process.memory_info().rss, "descriptors": process.num_fds()}
            self.note("sampled", name=name, pid=pid, **figures)
            found[f"{name}/{pid}"] = dict(figures)
        return found

    async def settle(self, talking: Crowd, *, lost: int = 0, calm: bool = False) -> Verdict:
        """Wait for quiet and fail unless all invariants hold; at most ``lost`` utterances may have no answer.

        :param calm: nothing was broken, so each job must have been done once.
        """
        verdict = await self.rest(talking, lost=lost, calm=calm)
        assert not verdict.broken, f"{verdict}\n{talking.broken()}"
        return verdict

    async def rest(self, talking: Crowd, *, lost: int = 0, calm: bool = False) -> Verdict:
        """Do as :meth:`settle` does, and leave to the caller what follows from broken invariants."""
        self.figures["lost"] = len(talking.lost())
        quiet_s = await self._quiet()
        running = [one for one in self.schedulers if one.process.poll() is None]
        for one in running:
            self.note("counted", name=one.name, in_flight=one.metric("lingua_jobs_in_flight"))
        self.sample()
        await self.snapshot()
        self.note(
            "settled", lost_allowed=lost, calm=calm, quiet_s=quiet_s, quiet_within_s=_QUIET_S,
            running=[one.name for one in running],
        )  # fmt: skip
        verdict = await asyncio.to_thread(lambda: judge(read(self.directory)))
        assert verdict.looked_at["call"] > verdict.looked_at["said"], "the histories are empty"
        return verdict

    async def _quiet(self) -> float:
        began_s = time.monotonic()
        with self.store.client() as client:
            await eventually(lambda: leftovers(client) == [], within_s=_QUIET_S, what="nothing is left over")
        return time.monotonic() - began_s

    async def _look_on(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            await self.snapshot()

    def _taken(self) -> dict[str, Any]:
        with self.store.client() as client:
            return store_snapshot.take(client)


@asynccontextmanager
async def rig(
    directory: Path, seed: int, *, schedulers: int = 2, nodes: int = 4, delay_ms: int = 100,
    store: StoreProcess | SentinelStore | None = None, through: bool = False, apart: bool = False, **settings: object,
) -> AsyncIterator[Rig]:  # fmt: skip
    """Run a store (unless one is given), ``schedulers`` and ``nodes``; ``settings`` are the schedulers'
    (``job_wait_ms=5000``). ``through``: they reach the store through :attr:`Rig.way`."""
    async with AsyncExitStack() as stack:
        used = store or stack.enter_context(store_process(directory / "store"))
        made = Rig(directory, random.Random(seed), used, [], settings, used.url, apart)
        made.note("began", seed=seed, profile=settings.get("redis_profile", "standalone"))
        if through:
            made.way = await stack.enter_async_context(proxy_to(made.disk.port))
            made.store_url = f"redis://127.0.0.1:{made.way.port}/0"
        stack.enter_context(_stopping(made))
        for _ in range(schedulers):
            await made.add_scheduler()
        made.front = await stack.enter_async_context(balancer(made.running, random.Random(seed)))
        # The nodes are processes that dial the balancer in this one: they are started without being waited for here.
        made.team = await _team(stack, made, nodes, delay_ms)
        yield made


async def _team(stack: AsyncExitStack, made: Rig, nodes: int, delay_ms: int) -> Fleet:
    team = stack.enter_context(fleet(made.directory / "nodes", made.url, nodes, delay_ms=delay_ms))
    # In a thread, since this process carries what they say when they leave.
    stack.push_async_callback(asyncio.to_thread, team.stop)
    await eventually(
        lambda: all(node.events("registered") for node in team.nodes), within_s=_START_S, what="all nodes are in"
    )
    return team


def _stopping(made: Rig) -> ExitStack:
    stack = ExitStack()

    def stop() -> None:
        for scheduler in made.schedulers:
            if scheduler.process.poll() is None:
                scheduler.terminate()
        for scheduler in made.schedulers:
            scheduler.wait()

    stack.callback(stop)
    return stack
