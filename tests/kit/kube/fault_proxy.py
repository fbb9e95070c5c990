"""A TLS proxy between a program and the API server that does wrong on demand: refuses, goes silent, or tells a test of
each call, so that it can kill the program just then.

It runs in a thread with a loop of its own, so that it answers while a test waits.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from kit.kube.authority import write_kubeconfig
from kit.loops import SocketsLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kit.kube.bed import Bed

_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length", "host",
        "content-encoding", "accept-encoding"}  # fmt: skip
_NAME = re.compile(r"(?<=/)[a-z0-9.-]*[0-9a-f]{8,}[a-z0-9.-]*")


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``what`` is the same for calls that differ only in generated names."""

    method: str
    path: str
    watch: bool

    @property
    def what(self) -> str:
        return f"{'WATCH' if self.watch else self.method} {_NAME.sub('*', self.path)}"


@dataclass(slots=True)
class Faults:
    """What goes wrong at the moment; tests set it from their thread."""

    #: Answer with this status instead of asking the API server; None: ask it.
    answer: Callable[[Call], int | None] = lambda _: None
    #: Called before a request is passed on, and after it was answered but before the program hears of it.
    before: Callable[[Call], None] = lambda _: None
    after: Callable[[Call], None] = lambda _: None
    #: Watches that are open or begin send nothing more, not even their end.
    silent: bool = False
    #: Each open watch tells once that its version is too old (410).
    gone: bool = False
    calls: list[Call] = field(default_factory=list)
    #: How often a fault was done.
    done: int = 0


class Proxy:
    """A running proxy. ``url`` is where it listens."""

    def __init__(self, bed: Bed, directory: Path) -> None:
        self.faults = Faults()
        self._bed = bed
        self._loop = SocketsLoop()
        self._started = threading.Event()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="fault proxy")
        certificate, key = bed.authority.server().write(directory, "proxy")
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate, key)
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def kubeconfig(self, token: str, namespace: str, directory: Path) -> Path:
        """Write the kubeconfig of a user who comes through the proxy."""
        return write_kubeconfig(directory / "through-proxy", self.url, self._bed.authority.pem, token, namespace)

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self._pass)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.port = runner.addresses[0][1]
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(ssl=self._bed.trust(), limit=0)
        async with aiohttp.ClientSession(self._bed.url, connector=connector, timeout=timeout) as self._client:
            self._started.set()
            await self._end.wait()
            await runner.cleanup()
        await self._loop.until_closed()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        call = Call(request.method, request.path, request.query.get("watch") == "true")
        self.faults.calls.append(call)
        status = self.faults.answer(call)
        if status is not None:
            self.faults.done += 1
            return _refusal(status)
        self.faults.before(call)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        async with self._client.request(
            request.method, request.rel_url, headers=headers, data=await request.read() or None
        ) as answer:
            if call.watch and answer.status == 200:
                return await self._stream(request, answer, call)
            body = await answer.read()
            self.faults.after(call)
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            return web.Response(status=answer.status, headers=kept, body=body)

    async def _stream(self, request: web.Request, answer: aiohttp.ClientResponse, call: Call) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        told_gone = False
        reading = asyncio.ensure_future(answer.content.readline())
        try:
            while True:
                await asyncio.wait({reading}, timeout=0.05)
                if self.faults.silent:
                    self.faults.done += 1
                    await asyncio.sleep(0.05)
                    if reading.done():
                        reading = asyncio.ensure_future(answer.content.readline())
                    continue
                if self.faults.gone and not told_gone:
                    told_gone = True
                    self.faults.done += 1
                    await response.write(json.dumps({"type": "ERROR", "object": _status(410)}).encode() + b"\n")
                    return response
                if reading.done():
                    line = reading.result()
                    if not line:
                        return response
                    self.faults.after(call)
                    await response.write(line)
                    reading = asyncio.ensure_future(answer.content.readline())
        finally:
            reading.cancel()


def _status(code: int) -> dict[str, Any]:
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": f"a fault of {code}",
        "reason": "Fault", "code": code,
    }  # fmt: skip


def _refusal(status: int) -> web.Response:
    headers = {"Retry-After": "1"} if status == 429 else {}
    return web.json_response(_status(status), status=status, headers=headers)


@contextmanager
def fault_proxy(bed: Bed, directory: Path) -> Iterator[Proxy]:
    """Run a proxy for the time of the ``with``."""
    proxy = Proxy(bed, directory)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
