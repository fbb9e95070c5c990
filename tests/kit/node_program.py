"""node_program.py URL NODE_ID HISTORY [--hears L] [--speaks L] [--capacity N] [--delay-ms N] [...]: a node, a process.

It proves what it heard, and for whom (kit.proof), comes back with full jitter when its connection ends, beats as often
as it is asked to, and notes in HISTORY (kit.history) what happened: registered, job, result, lost. Speech that begins
with the poison stamp ends the process at once. SIGTERM ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path
from typing import Any

import aiohttp

from kit.history import History
from kit.nodes import EXTENSIONS, Job, Node
from kit.proof import audio_id, routed_proof

#: Speech of this kind kills every node that hears it.
POISON = b"PoisonPoisonPoison"
_LONGEST_PAUSE_S = 2.0


class NodeProgram:
    """The life of one node: connect, work, come back."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.note = History(Path(options.history), options.node_id).note
        self._tries = 0

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            with contextlib.suppress(OSError, aiohttp.ClientError, AssertionError):
                await self._once()
            self.note("lost")
            self._tries = min(self._tries + 1, 5)
            await asyncio.sleep(random.uniform(0, min(_LONGEST_PAUSE_S, 0.1 * 2**self._tries)))

    async def _once(self) -> None:
        options = self._options
        hears, speaks = options.hears.split(","), options.speaks.split(",")
        node = (NewerNode if options.newer else Node)(
            options.url, tuple(hears), tuple(speaks), self._work,
            node_id=options.node_id, capacity=options.capacity, extensions=() if options.base else EXTENSIONS,
        )  # fmt: skip
        async with node:
            self._tries = 0
            self.note("registered", hears=hears, speaks=speaks, pid=os.getpid())
            every_s = node.all("node_register_ack")[-1].get("heartbeat_ms", 15_000) / 1000
            beating = asyncio.create_task(self._beat(node, every_s))
            try:
                await node.closed(within_s=24 * 3600)
            finally:
                beating.cancel()
                await asyncio.gather(beating, return_exceptions=True)

    async def _beat(self, node: Node, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            await node.beat()
            self.note("tasks", pid=os.getpid(), count=len(asyncio.all_tasks()))
            # What a test in this process would read.
            node.jobs.clear()
            node.told.clear()

    async def _work(self, node: Node, job: Job) -> None:
        attempt, session = job.assign["attempt_id"], job.assign["session_id"]
        self.note(
            "job", job_id=job.job_id, attempt=attempt, session=session, index=job.index, audio=audio_id(job.audio)
        )
        if job.audio.startswith(POISON):
            os._exit(66)
        if self._options.fail:
            await node.fail(job, self._options.fail)
            return
        await node.ack(job)
        await asyncio.sleep(self._options.delay_ms / 1000)
        for _ in range(self._options.repeat if job.open or self._options.late else 0):
            await node.result(job, self._options.speech_ms, text_translated=routed_proof(session, job.index, job.audio))
            self.note("result", job_id=job.job_id, attempt=attempt)


class NewerNode(Node):
    """One of a next version: it says more than anybody knows."""

    async def say(self, message: dict[str, Any]) -> None:
        """Say anything, and something more."""
        await super().say(message | {"colour": "green"})

    def registration(self) -> dict[str, Any]:
        """Ask for an extension that there is not."""
        message = super().registration()
        return message | {"extensions": [*message.get("extensions", []), "telepathy"]}

    async def beat(self, **changes: Any) -> None:
        """Tell what nobody understands with each heartbeat."""
        await super().beat(**changes)
        await self.say({"type": "node_mood", "mood": "calm"})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("url", "node_id", "history"):
        parser.add_argument(name)
    parser.add_argument("--hears", default="en")
    parser.add_argument("--speaks", default="es")
    parser.add_argument("--capacity", type=int, default=4)
    parser.add_argument("--delay-ms", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=1, help="say each result so often")
    parser.add_argument("--speech-ms", type=int, default=20, help="how long what it says is")
    parser.add_argument("--fail", default="", help="answer each job with this error")
    parser.add_argument("--late", action="store_true", help="answer jobs that were cancelled too")
    parser.add_argument("--base", action="store_true")
    parser.add_argument("--newer", action="store_true", help="be a node of a next version")
    return parser.parse_args()


async def main() -> None:
    """Run until SIGTERM."""
    working = asyncio.create_task(NodeProgram(_options()).run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await working


if __name__ == "__main__":
    asyncio.run(main())
