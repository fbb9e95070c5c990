"""The machine's microphone as a source of 16 kHz mono PCM16 (needs the ``microphone`` extra)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from lingua_client.errors import AudioError
from lingua_client.sources import CHUNK_MS, SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: Chunks that may wait when the reader is slow (3 s); beyond it the oldest are dropped, and counted.
WAITING_CHUNKS = 30


class Microphone:
    """Iterate over what the microphone hears; ``dropped_chunks`` counts 100 ms pieces nobody took in time.

    :param device: a name or number as the operating system lists it; None: the default one.
    """

    def __init__(self, device: str | int | None = None) -> None:
        self.device = device
        self.dropped_chunks = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Open the microphone and give 100 ms chunks until the iterator is closed.

        :raises AudioError: the extra or a microphone is missing (``MICROPHONE_MISSING``).
        """
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[bytes] = asyncio.Queue(WAITING_CHUNKS)

        def heard(data: Any, *_: object) -> None:  # noqa: ANN401 - a buffer of the sound library
            # Called in the sound library's thread, perhaps once more while the loop is already closed.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._offer, queue, bytes(data))

        with self._open(heard):
            while True:
                yield await queue.get()

    def _offer(self, queue: asyncio.Queue[bytes], chunk: bytes) -> None:
        if queue.full():
            queue.get_nowait()
            self.dropped_chunks += 1
        queue.put_nowait(chunk)

    def _open(self, heard: Any) -> contextlib.AbstractContextManager[Any]:  # noqa: ANN401 - the library's callback
        try:
            import sounddevice  # noqa: PLC0415 - an extra, and it looks for devices when imported
        except (ImportError, OSError) as missing:
            raise AudioError("MICROPHONE_MISSING", "sound input is not installed on this machine") from missing
        try:
            stream: contextlib.AbstractContextManager[Any] = sounddevice.RawInputStream(
                samplerate=SAMPLE_RATE,
                channels=1,
                dtype="int16",
                blocksize=SAMPLE_RATE // 1000 * CHUNK_MS,
                device=self.device,
                callback=heard,
            )
        except (sounddevice.PortAudioError, ValueError) as trouble:
            raise AudioError("MICROPHONE_MISSING", f"no microphone can be opened: {trouble}") from trouble
        return stream
