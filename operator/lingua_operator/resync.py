"""Compare store and resources again and again, whatever events came, and put right what differs.

One cheap call tells whether anything differs: the store's sums over all declarations beside ours, and over what is
connected. Only then are entries read one by one. A store that was flushed or came back older is repaired this way.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING

from lingua_operator import nodes, statuses
from lingua_operator.cluster import NODES, ClusterError
from lingua_operator.credentials import names_of
from lingua_operator.known import Owner
from lingua_operator.resource import FINALIZER, parse_node
from lingua_state import declarations
from lingua_state.declarations import declared_digest
from lingua_state.errors import StateError

if TYPE_CHECKING:
    from lingua_operator.context import Context
    from lingua_operator.known import Key
    from lingua_operator.resource import Node
    from lingua_state.declarations import DeclaredEntry, DeclaredSummary

log = logging.getLogger(__name__)

_PAGE = 500
#: The shortest time between two looks.
_HURRIED_S = 0.25
#: How long kopf has for what an event asks for, before the resync does it.
_PATIENCE_S = 3.0
_LONGEST_S = 60.0
#: How many the resync sees to in one round.
_AT_ONCE = 500


class Resync:
    """The one loop over everything. Stop it by cancelling :meth:`run`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings = context.settings.resync
        self._ours = (-1, 0, "")
        #: What store and resources were when they were last compared entry by entry and found right.
        self._agreed: tuple[str, ...] = ()
        self._live_digest: str | None = None
        self._full_s = 0.0
        self._listed_s = 0.0
        self._away_s: float | None = None
        self._told_away = False
        self._failing: set[Key] = set()
        self._unsettled: dict[tuple[str, int], float] = {}
        self._versions: frozenset[str] = frozenset()
        self._progress_s = 0.0
        #: What the last look found wrong: what is being declared at the moment is not wrong twice.
        self._suspects: set[tuple[str, str]] = set()
        self._wait_s, self._due_s = _HURRIED_S, 0.0

    async def run(self) -> None:
        """Compare until cancelled."""
        while True:
            try:
                await self.once()
            except ClusterError as error:
                log.warning("a resync could not reach the API server", extra={"status": error.status})
            except Exception:  # whatever one node ran into: no resync would ever follow
                log.exception("a resync failed")
            await self._pause()

    async def once(self) -> None:
        """Compare once, and do what is due."""
        context = self._context
        context.changed.clear()
        now_s = time.monotonic()
        if not context.synced or now_s - self._listed_s >= self._settings.list_ms / 1000:
            await self.list_resources()
        summary = await self._look()
        if summary is None:
            await self._away()
            return
        if self._away_s is not None:
            await self._back()
        with context.metrics.resync_seconds.time():
            await self._compare(summary)
        if now_s - self._full_s >= self._settings.every_ms / 1000:
            await self._read_secrets()
            self._full_s = now_s
        self._find_unsettled(now_s)
        await self._settle_dirty()

    async def list_resources(self) -> None:
        """Read all resources again; what is gone without a word is taken out of the store.

        :raises ClusterError: the list could not be read whole; nothing was changed.
        """
        context = self._context
        bodies = await context.cluster.list(NODES, context.settings.namespace_list())
        gone = context.known.replace_all(parse_node(body) for body in bodies)
        first = not context.synced
        context.synced = True
        self._listed_s = time.monotonic()
        if first:
            context.dirty.update(node.key for node in context.known)
        for node in gone:
            await nodes.forget(context, node)

    async def _look(self) -> DeclaredSummary | None:
        """Make the one cheap call; None: the store does not answer."""
        try:
            summary = await declarations.summary(self._context.store)
        except StateError as error:
            self._context.store_trouble = f"The store does not answer ({error.code})."
            self._context.metrics.store_up.set(0)
            return None
        self._context.store_trouble = ""
        self._context.metrics.store_up.set(1)
        return summary

    async def _away(self) -> None:
        """Tell it on the resources when the store stays away, once; a short blip writes nothing."""
        now_s = time.monotonic()
        self._away_s = self._away_s if self._away_s is not None else now_s
        if self._told_away or now_s - self._away_s < self._settings.every_ms / 1000:
            return
        self._told_away = True
        await statuses.settle_all(self._context, self._context.known)

    async def _back(self) -> None:
        """Say again what could have been lost meanwhile."""
        log.info("the store is back", extra={"elapsed_ms": int((time.monotonic() - (self._away_s or 0)) * 1000)})
        self._away_s, self._agreed, self._live_digest = None, (), None
        if self._told_away:
            self._told_away = False
            self._context.dirty.update(node.key for node in self._context.known)

    async def _compare(self, summary: DeclaredSummary) -> None:
        digest = self._digest()
        seen = (summary.epoch, str(summary.count), summary.digest, digest)
        if seen != self._agreed and (summary.digest != digest or self._agreed[:1] != seen[:1]):
            await self._repair()
        self._agreed = () if self._suspects else seen
        if summary.live_digest != self._live_digest:
            self._live_digest = summary.live_digest if await self._read_live() else None

    def _digest(self) -> str:
        """Sum over what the store should hold; computed again only when that changed."""
        known = self._context.known
        if self._ours[0] != known.wishes_version:
            wishes = known.wishes()
            self._ours = (known.wishes_version, len(wishes), declared_digest(wishes.values()))
        return self._ours[2]

    async def _repair(self) -> None:
        """Compare entry by entry; declare what is missing or stale, take out what nobody wishes."""
        context = self._context
        held = await self._held()
        before, self._suspects = self._suspects, set()
        wrong: list[Node] = []
        for uid, wish in list(context.known.wishes().items()):
            entry, node = held.get(wish.node_id), context.known.by_uid(uid)
            if node is None or (entry is not None and entry.digest == wish.digest):
                continue
            if (uid, wish.digest) not in before:
                self._suspects.add((uid, wish.digest))
                continue
            context.metrics.repairs.labels("missing" if entry is None else "stale").inc()
            wrong.append(node)
        if wrong:
            log.warning("the store lacked what is declared", extra={"count": len(wrong)})
            await statuses.settle_all(context, wrong)
        await self._remove_orphans(held)

    async def _held(self) -> dict[str, DeclaredEntry]:
        held: dict[str, DeclaredEntry] = {}
        cursor: str | None = None
        while True:
            page = await declarations.list_declared(self._context.store, _PAGE, cursor)
            held.update((entry.node_id, entry) for entry in page.items)
            cursor = page.cursor
            if cursor is None:
                return held

    async def _remove_orphans(self, held: dict[str, DeclaredEntry]) -> None:
        """Take out what was declared for resources that are gone: ours only, and only after a fresh look."""
        suspects = [entry for entry in held.values() if self._is_orphan(entry)]
        if not suspects:
            return
        await self.list_resources()
        for entry in suspects:
            if self._is_orphan(entry):
                self._context.metrics.repairs.labels("orphan").inc()
                log.warning("an orphan is taken out", extra={"node_id": entry.node_id})
                await self._take_out(entry.uid, entry.node_id)

    def _is_orphan(self, entry: DeclaredEntry) -> bool:
        owner = Owner.read(entry.uid)
        return self._context.is_ours(owner) and owner is not None and self._context.known.by_uid(owner.uid) is None

    async def _take_out(self, owner: str, node_id: str) -> None:
        await declarations.withdraw(self._context.store, node_id, owner)
        self._context.dirty.update(node.key for node in self._context.known.by_node_id(node_id))

    async def _read_live(self) -> bool:
        """Find whose connection changed, and only reconcile those. False: some are not seen to yet, so look again."""
        living = [node for node in self._context.known if node.deleted is None]
        nodes = [node for node in living if _is_settled(node)]
        found = await declarations.live(self._context.store, [node.node_id for node in nodes])
        changed = []
        for node in nodes:
            live = found.get(node.node_id)
            connected = node.status.condition("Connected")
            if connected is None or (connected.status == "True") is not (live is not None and live.connected):
                changed.append(node)
        await statuses.settle_all(self._context, changed)
        return len(nodes) == len(living)

    async def _read_secrets(self) -> None:
        context = self._context
        used = {name for node in context.known for name in names_of(node)}
        context.secrets.keep_only(used)
        changed = await context.secrets.reread()
        if changed:
            context.dirty.update(node.key for node in context.known if names_of(node) & changed)

    def _find_unsettled(self, now_s: float) -> None:
        """Find resources that kopf should have seen to and did not: what it drops by an error it never tries again.

        While it works through many, it is left to it: two writers would only get in each other's way.
        """
        before, self._unsettled = self._unsettled, {}
        waiting = [
            node for node in self._context.known if not _is_settled(node) and node.key not in self._context.draining
        ]
        for node in waiting:
            mark = (node.uid, node.generation)
            self._unsettled[mark] = before.get(mark, now_s)
        versions = frozenset(node.resource_version for node in waiting)
        if versions != self._versions:
            self._versions, self._progress_s = versions, now_s
        for node in waiting[:_AT_ONCE]:
            since_s = self._unsettled[node.uid, node.generation]
            if now_s - max(since_s, self._progress_s) >= _PATIENCE_S or now_s - since_s >= _LONGEST_S:
                self._context.dirty.add(node.key)

    async def _settle_dirty(self) -> None:
        """Reconcile again what did not go through; those that fail each time wait longer and longer."""
        context = self._context
        tried = {key for key in context.dirty if key not in self._failing or self._due_s <= time.monotonic()}
        if not tried:
            return
        nodes = [node for key in tried if (node := context.known.get(key))]
        context.dirty -= tried
        await statuses.settle_all(context, nodes)
        again = tried & context.dirty
        if again:
            self._wait_s = min(self._wait_s * 2, self._settings.every_ms / 1000)
            self._due_s = time.monotonic() + self._wait_s
        elif tried & self._failing or not self._failing:
            self._wait_s = _HURRIED_S
        self._failing = (self._failing - tried) | again

    async def _pause(self) -> None:
        """Wait for the next look; a change that could not be carried out hurries it."""
        pause_s = self._settings.live_ms / 1000 * random.uniform(0.8, 1.2)
        try:
            async with asyncio.timeout(pause_s):
                await self._context.changed.wait()
            await asyncio.sleep(min(pause_s, _HURRIED_S))
        except TimeoutError:
            return


def _is_settled(node: Node) -> bool:
    """Tell whether a resource was seen to in its present generation; one that is deleted never is, until it is gone."""
    held = FINALIZER in node.finalizers
    if node.deleted is not None:
        return not held
    return held and node.status.observed_generation == node.generation
