"""Many sessions talking at once while nodes die and come back; everything random comes from one seed.

What is kept afterwards: one outcome for each utterance, in order, of its own audio; at most three executions; no node
over its capacity.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kit import clients, nodes
from kit.clients import Client
from kit.nodes import Node
from kit.proof import utterance

if TYPE_CHECKING:
    from kit.clients import Event
    from kit.nodes import Job
    from kit.schedulers import SchedulerProcess

NODES = 8
#: Sessions stay below the pace at which schedulers slow them down.
PACE = 1.7
#: How often a client sends again what it is asked for again.
_RESENDS = 5


@dataclass
class Storm:
    """A run: ``sessions`` times ``utterances``, on all of ``urls``."""

    urls: list[str]
    pair: tuple[str, str]
    seed: int
    sessions: int
    utterances: int
    schedulers: list[SchedulerProcess] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    executions: defaultdict[tuple[str, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    kills: int = 0
    rss_bytes: list[int] = field(default_factory=list)
    team: list[Node] = field(default_factory=list)

    async def run(self) -> None:
        """Run it; fail at the first session that was not served as promised."""
        source = random.Random(self.seed)
        async with AsyncExitStack() as stack:
            for number in range(NODES):
                self.team.append(await stack.enter_async_context(self._node(number, source)))
            killing = asyncio.create_task(self._kill(random.Random(source.random())))
            watching = asyncio.create_task(self._watch())
            try:
                async with asyncio.TaskGroup() as group:
                    for number in range(self.sessions):
                        group.create_task(self._talk(number, random.Random(source.random())))
            finally:
                for task in (killing, watching):
                    task.cancel()
                ended = await asyncio.gather(killing, watching, return_exceptions=True)
            faults = [error for error in ended if isinstance(error, Exception)]
            assert not faults, faults

    def _node(self, number: int, source: random.Random) -> Node:
        return Node(
            self.urls[number % len(self.urls)],
            self.pair[:1],
            self.pair[1:],
            self._work(random.Random(source.random())),
            node_id=f"storm-{self.pair[0]}-{number}",
            extensions=((), nodes.EXTENSIONS, ("binary_audio", "fast_lease"), ("digest",))[number % 4],
            capacity=source.randint(2, 6),
        )

    def _work(self, source: random.Random) -> nodes.Act:
        async def act(node: Node, job: Job) -> None:
            self.executions[job.assign["session_id"], job.index].append(job.assign["attempt_id"])
            if source.random() < 0.01:
                await node.fail(job, "PROCESSING_ERROR")
                return
            await node.ack(job)
            if source.random() < 0.1:
                await node.partial(job, job.text)
            await asyncio.sleep(source.random() * 0.03)
            if job.open:
                await node.result(job)
            if job.open is False and source.random() < 0.02:
                await node.result(job)

        return act

    async def _kill(self, source: random.Random) -> None:
        while True:
            await asyncio.sleep(0.1 + source.random() * 0.4)
            node = source.choice(self.team)
            node.crash()
            await asyncio.sleep(source.random() * 0.3)
            await node.restart(source.choice(self.urls))
            self.kills += 1

    async def _watch(self) -> None:
        while True:
            self.rss_bytes.append(max((scheduler.rss_bytes for scheduler in self.schedulers), default=0))
            await asyncio.sleep(1)

    async def _talk(self, number: int, source: random.Random) -> None:
        extensions = clients.EXTENSIONS if number % 3 else ()
        async with Client(source.choice(self.urls), extensions=extensions) as client:
            await client.open(*self.pair)
            talk = _Talk(client, self.pair, source, whole=number % 2 == 0)
            for _ in range(self.utterances):
                await talk.say(utterance(source.randrange(300, 900, 20), source))
            await talk.settle()
            assert await client.close(within_s=60) == 1000
            self.ends.update(talk.ends())
            talk.check_order()


class _Talk:
    """What one session said, and what came of it."""

    def __init__(self, client: Client, pair: tuple[str, str], source: random.Random, *, whole: bool) -> None:
        self.client = client
        self.said: dict[int, bytes] = {}
        self._pair = pair
        self._source = source
        self._whole = whole
        self._next = 0
        self._window = source.randint(1, 4)

    async def say(self, audio: bytes) -> None:
        """Say one utterance, and wait while too many are unanswered."""
        began_s = asyncio.get_running_loop().time()
        if self._whole:
            await self._send_whole(audio)
        else:
            index = await self.client.say(audio)
            self.said[index], self._next = audio, index + 1
        await self.client.until(lambda: self._owed() < self._window, within_s=90, what="an outcome")
        rest_s = began_s + len(audio) / 32_000 / PACE - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, rest_s))

    async def settle(self) -> None:
        """Wait for every outcome; send again what is asked for again."""
        asked: set[int] = set()
        for _ in range(_RESENDS):
            await self.client.until(lambda: not self._owed(), within_s=90, what="the last outcomes")
            again = [event for event in self.client.all("utterance_failed") if "resend_from_sample" in event]
            wanted = [event["utterance_index"] for event in again if event["utterance_index"] not in asked]
            for index in wanted:
                asked.add(index)
                await self._send_whole(self.said[index], resend_of=index, from_sample=0)
            if not wanted:
                return

    def ends(self) -> Counter[str]:
        """Count the outcomes by kind; check each result."""
        for event in self.client.all("translation_result"):
            self.client.check(event, self.said[event["utterance_index"]])
        return Counter(map(_kind, self.client.outcomes()))

    def check_order(self) -> None:
        """Check that each utterance has one outcome, in the order in which they were spoken."""
        told = [event["utterance_index"] for event in self.client.outcomes()]
        assert told == sorted(self.said), "an outcome is missing, told twice, or out of order"
        assert not self.client.all("error"), self.client.all("error")

    def _owed(self) -> int:
        return len(self.said) - len(self.client.outcomes())

    async def _send_whole(self, audio: bytes, **changes: Any) -> None:
        index, self._next = self._next, self._next + 1
        self.said[index] = audio
        await self.client.whole(index, audio, *self._pair, **changes)


def _kind(event: Event) -> str:
    return str(event["type"] + ":" + event.get("code", event.get("reason", "")))
