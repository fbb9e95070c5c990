"""What kopf hears from the API server: counted, so that a dead stream is seen, and bounded in depth.

Any byte of a watch stream counts as progress, bookmarks and new streams included.

A stream can die silently (kopf #1276), and the process then looks well for ever. Each stream counts for itself: one
that moves must not hide one that is dead.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import aiohttp

from lingua_operator.shallow import shallow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import SimpleNamespace

    from yarl import URL

    from lingua_operator.metrics import Metrics


class WatchProgress:
    """When each stream last moved. Give :meth:`trace` and :meth:`response_class` to the session that carries them."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._began_s = clock()
        self._moved_s: dict[str, float] = {}

    @property
    def age_s(self) -> float:
        """Tell how long the slowest stream has not moved; before the first one, since the start."""
        return self._clock() - min(self._moved_s.values(), default=self._began_s)

    @property
    def watching(self) -> bool:
        """Tell whether any stream was ever open."""
        return bool(self._moved_s)

    def moved(self, path: str) -> None:
        """Note progress of a stream."""
        self._moved_s[path] = self._clock()

    def restart(self) -> None:
        """Forget all streams, as after a time of standing by."""
        self._moved_s.clear()
        self._began_s = self._clock()

    def trace(self) -> aiohttp.TraceConfig:
        """Make what aiohttp calls at the end of each request."""
        config = aiohttp.TraceConfig()
        config.on_request_end.append(self._ended)
        return config

    def response_class(self) -> type[aiohttp.ClientResponse]:
        """Make the class of responses: aiohttp has no signal for the pieces of a stream."""
        progress = self

        class Response(aiohttp.ClientResponse):
            async def start(self, connection: Any) -> aiohttp.ClientResponse:  # noqa: ANN401 - aiohttp's own
                await super().start(connection)
                if _is_watch(self.url):
                    path = self.url.path
                    self.content = _Lines(self.content, lambda: progress.moved(path))  # type: ignore[assignment]
                return self

            async def read(self) -> bytes:
                self._body = shallow(await super().read())  # json() reads it there
                return self._body

        return Response

    async def _ended(
        self, _session: aiohttp.ClientSession, _context: SimpleNamespace, said: aiohttp.TraceRequestEndParams
    ) -> None:
        self._metrics.api_requests.labels(said.method, str(said.response.status)).inc()
        if _is_watch(said.url) and said.response.status < 400:
            self.moved(said.url.path)


class _Lines:
    """A stream's reader that tells of each piece, and gives whole lines."""

    def __init__(self, reader: aiohttp.StreamReader, moved: Callable[[], None]) -> None:
        self._reader = reader
        self._moved = moved

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the reader has
        return getattr(self._reader, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Give the lines that are whole, as soon as they are; what follows the last one comes at the end."""
        pieces: list[bytes] = []
        async for piece in self._reader.iter_chunked(size):
            self._moved()
            whole, end, rest = piece.rpartition(b"\n")
            if not end:
                pieces.append(piece)
                continue
            for line in b"".join([*pieces, whole]).split(b"\n"):
                yield shallow(line) + b"\n"
            pieces = [rest] if rest else []
        if pieces:
            yield shallow(b"".join(pieces))


def _is_watch(url: URL) -> bool:
    return url.query.get("watch") == "true"
