"""Where audio comes from: a file, bytes, an iterator of PCM16, a microphone. All end as 16 kHz mono PCM16 chunks."""

from __future__ import annotations

import asyncio
import contextlib
import wave
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lingua_client.errors import AudioError
from lingua_client.pacing import Pace

if TYPE_CHECKING:
    import types

SAMPLE_RATE: Final = 16_000
CHUNK_MS: Final = 100
CHUNK_BYTES: Final = SAMPLE_RATE // 1000 * CHUNK_MS * 2

#: A path to a sound file, PCM16 bytes (16 kHz mono), or an asynchronous iterable of such bytes of any lengths.
Source = str | Path | bytes | bytearray | memoryview | AsyncIterable[bytes]


def default_pace(source: Source) -> Pace:
    """Choose real time for what is recorded, and no pacing for what arrives in its own time."""
    return Pace.AS_IT_COMES if isinstance(source, AsyncIterable) else Pace.REAL_TIME


async def chunks(source: Source) -> AsyncIterator[bytes]:
    """Give the audio of ``source`` in chunks of at most 100 ms, each of whole samples.

    :raises AudioError: the file cannot be read, or has a format that needs the ``audio`` extra.
    """
    async for block in _blocks(source):
        view = memoryview(block)
        for at in range(0, len(view), CHUNK_BYTES):
            yield bytes(view[at : at + CHUNK_BYTES])


def check_file(path: str | Path) -> None:
    """Make sure that a sound file can be read, before anything else depends on it.

    :raises AudioError: as :func:`chunks`; ``BAD_AUDIO`` also when it is empty.
    """
    if next(_file_blocks(Path(path)), None) is None:
        raise AudioError("BAD_AUDIO", f"{path} holds no sound")


def read_file(path: str | Path) -> bytes:
    """Read a whole sound file as 16 kHz mono PCM16.

    :raises AudioError: as :func:`chunks`.
    """
    return b"".join(_file_blocks(Path(path)))


def write_wav(path: str | Path, pcm: bytes, sample_rate: int = SAMPLE_RATE) -> None:
    """Write mono PCM16 as a WAV file; folders are made as needed."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(sample_rate)
        out.writeframes(pcm)


async def _blocks(source: Source) -> AsyncIterator[bytes]:
    if isinstance(source, str | Path):
        blocks = _file_blocks(Path(source))
        # Decoding blocks the thread it runs in, so it gets another one; the loop keeps serving the socket.
        while (block := await asyncio.to_thread(next, blocks, None)) is not None:
            yield block
    elif isinstance(source, AsyncIterable):
        async for block in _whole_samples(source):
            yield block
    elif len(source) % 2:
        raise AudioError("BAD_AUDIO", "PCM16 has two bytes for each sample, and these bytes are odd in number")
    else:
        yield bytes(source)


async def _whole_samples(source: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in source:
        block = rest + bytes(piece)
        even = len(block) & ~1
        rest = block[even:]
        yield block[:even]


def _file_blocks(path: Path) -> Iterator[bytes]:
    if not path.is_file():
        raise AudioError("NO_SUCH_FILE", f"there is no file {path}")
    ready = _ready_wav(path)
    if ready is not None:
        yield from ready
        return
    av = _import_av(path)
    try:
        yield from _decoded(av, path)
    except (av.FFmpegError, OSError, IndexError, ValueError) as trouble:
        raise AudioError(
            "BAD_AUDIO", f"{path} cannot be read as sound", "Play it once to see whether it is whole."
        ) from (trouble)


def _ready_wav(path: Path) -> Iterator[bytes] | None:
    """Open a WAV file that needs no conversion; None when it is something else."""
    try:
        file = wave.open(str(path), "rb")  # noqa: SIM115 - closed by the generator that reads it
    except (wave.Error, EOFError, OSError):
        return None
    if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (SAMPLE_RATE, 1, 2):
        file.close()
        return None
    return _wav_blocks(file)


def _wav_blocks(file: wave.Wave_read) -> Iterator[bytes]:
    with contextlib.closing(file):
        while block := file.readframes(SAMPLE_RATE):
            yield block[: len(block) & ~1]


def _import_av(path: Path) -> types.ModuleType:
    try:
        import av  # noqa: PLC0415 - an extra
        import av.error  # noqa: PLC0415
    except ImportError as missing:
        raise AudioError("AUDIO_EXTRA_MISSING", f"{path} is not a 16 kHz mono PCM16 WAV file") from missing
    return av


def _decoded(av: Any, path: Path) -> Iterator[bytes]:  # noqa: ANN401 - a module that may be absent
    with av.open(str(path), metadata_errors="ignore") as container:
        if not container.streams.audio:
            raise AudioError("BAD_AUDIO", f"{path} holds no sound")
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        for frame in container.decode(container.streams.audio[0]):
            yield from _plane_bytes(resampler.resample(frame))
        yield from _plane_bytes(resampler.resample(None))


def _plane_bytes(frames: list[Any]) -> Iterator[bytes]:
    for frame in frames:
        yield bytes(frame.planes[0])[: frame.samples * 2]
