"""Translate with Apertium's pipelines, kept warm: one chain of processes for each step of a route.

A pipeline translates a text that ends with a zero byte and flushes (null-flush mode), about a millisecond a sentence.
Apertium is GPL software: it is only ever run as programs of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shlex
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from lingua_node.engines.base import EngineError, Translation
from lingua_node.processes import end_process
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MODES = Path("/usr/share/apertium/modes")
"""Where Debian's packages put the pipelines."""

Pair = tuple[str, str]

_CODES = {"en": "eng", "es": "spa", "ca": "cat"}
_TIMEOUT_S = 5.0
#: The first text waits for dictionaries to be read: on a busy machine that takes long, and is no fault.
_LOAD_TIMEOUT_S = 60.0
_READ_LIMIT_BYTES = 1024 * 1024
_BROKEN = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
_RESERVED = re.compile(r"([\[\]{}^$/\\@<>])")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SENTENCE_END = (".", "?", "!", "…", ":", ";")


class Pipeline:
    """The chain of processes that translates one pair directly."""

    def __init__(self, commands: Sequence[Sequence[str]], timeout_s: float = _TIMEOUT_S) -> None:
        self._commands = commands
        self._timeout_s = timeout_s
        self._processes: list[Process] = []
        self._turn = asyncio.Lock()
        self._number = 0

    @property
    def pids(self) -> tuple[int, ...]:
        """Name the processes, first to last."""
        return tuple(process.pid for process in self._processes)

    async def start(self) -> None:
        """Start every process of the chain.

        :raises EngineError: MODEL_LOAD_FAILED when a program is not installed.
        """
        source: int = PIPE
        try:
            for command in self._commands:
                source = await self._start_one(command, source)
        except OSError as error:
            await self.close()
            raise EngineError(ErrorCode.MODEL_LOAD_FAILED, f"apertium: {error}") from error

    async def _start_one(self, command: Sequence[str], source: int) -> int:
        """Start one process that reads ``source``, which is closed here; give what to read from next, or PIPE."""
        last = len(self._processes) == len(self._commands) - 1
        readable, writable = (PIPE, PIPE) if last else os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=source,
                stdout=writable,
                stderr=DEVNULL,
                start_new_session=True,
                limit=_READ_LIMIT_BYTES,
            )
        except OSError:
            if not last:
                os.close(readable)
            raise
        finally:
            for end in {source, writable} - {PIPE}:
                os.close(end)
        self._processes.append(process)
        return readable

    async def close(self) -> None:
        """End the chain; safe to repeat."""
        processes, self._processes = self._processes, []
        await asyncio.gather(*(end_process(process) for process in processes))

    async def translate(self, text: str, timeout_s: float | None = None) -> str:
        """Translate one text within ``timeout_s``, else the chain's own; a chain that died is started again once.

        :raises EngineError: NMT_TIMEOUT, PROCESSING_ERROR.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s if timeout_s is None else timeout_s):
                    return await self._translate_or_restart(text)
            except TimeoutError as error:
                await self.close()
                raise EngineError(ErrorCode.NMT_TIMEOUT, "the translation took too long") from error
            except BaseException:  # an answer that nobody read would be taken for the next one's
                await asyncio.shield(self.close())
                raise

    async def _translate_or_restart(self, text: str) -> str:
        try:
            return await self._exchange(text)
        except _BROKEN:
            await self.close()
        try:
            return await self._exchange(text)
        except _BROKEN as error:
            raise EngineError(ErrorCode.PROCESSING_ERROR, "the translation programs ended") from error

    async def _exchange(self, text: str) -> str:
        if not self._processes:
            await self.start()
        sink, source = self._processes[0].stdin, self._processes[-1].stdout
        if sink is None or source is None:
            raise EngineError(ErrorCode.PROCESSING_ERROR, "the translation programs have no pipes")
        # A blank in brackets passes every program untouched: an answer without it comes from a dying chain.
        self._number += 1
        mark = f"[{self._number}]"
        sink.write(f"{text}{mark}\0".encode())
        await sink.drain()
        answer = (await source.readuntil(b"\0"))[:-1].decode("utf-8", "replace")
        if mark not in answer:
            raise BrokenPipeError("the answer is not to this text")
        return answer.replace(mark, "", 1)


class ApertiumNmt:
    """Translate the pairs that Apertium has, directly or through other languages.

    ``pivots`` names the language to go through for a pair where that reads better than the direct way.
    """

    name = "apertium"

    def __init__(self, languages: Iterable[str], pivots: Mapping[Pair, str] | None = None, modes: Path = MODES) -> None:
        self._modes = modes
        self._direct = direct_pairs(languages, modes)
        wanted = [(src, tgt) for src in sorted(set(languages)) for tgt in sorted(set(languages)) if src != tgt]
        routes = ((pair, route_of(pair, self._direct, pivots or {})) for pair in wanted)
        self._routes = {pair: route for pair, route in routes if route}
        self._pipelines: dict[Pair, Pipeline] = {}

    @property
    def pairs(self) -> frozenset[Pair]:
        """Name the directed pairs it translates."""
        return frozenset(self._routes)

    def note(self, src: str, tgt: str) -> str:
        """Say which languages a pair goes through; empty when it is direct."""
        middle = self._routes[src, tgt][1:-1]
        return f"pivot through {' and '.join(middle)}" if middle else ""

    async def start(self) -> None:
        """Start the pipelines of every route.

        :raises EngineError: MODEL_NOT_AVAILABLE when Apertium is not installed, MODEL_LOAD_FAILED.
        """
        if not self._routes:
            message = f"no pair of Apertium in {self._modes}; Debian's packages are apertium-eng-spa and its like"
            raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, message)
        steps = {step for route in self._routes.values() for step in steps_of(route)}
        self._pipelines = {step: Pipeline(commands_of(self._direct[step])) for step in steps}
        await asyncio.gather(*(self._warm(pipeline) for pipeline in self._pipelines.values()))

    @staticmethod
    async def _warm(pipeline: Pipeline) -> None:
        await pipeline.translate(prepare("ok")[0], _LOAD_TIMEOUT_S)

    async def close(self) -> None:
        """End every pipeline; safe to repeat."""
        await asyncio.gather(*(pipeline.close() for pipeline in self._pipelines.values()))

    def pids(self, src: str, tgt: str) -> tuple[int, ...]:
        """Name the processes of a direct pair."""
        return self._pipelines[src, tgt].pids

    async def translate(self, text: str, src: str, tgt: str) -> Translation:
        """Translate one text along the pair's route.

        :raises EngineError: MODEL_NOT_AVAILABLE for a pair not served, NMT_TIMEOUT, PROCESSING_ERROR.
        """
        route = self._routes.get((src, tgt))
        if route is None or not self._pipelines:
            raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"no translation from {src} to {tgt}")
        prepared, added = prepare(text)
        for step in steps_of(route):
            prepared = await self._pipelines[step].translate(prepared)
        return Translation(tidy(prepared, full_stop_added=added), route)


def direct_pairs(languages: Iterable[str], modes: Path = MODES) -> dict[Pair, Path]:
    """Find the pipeline of each pair among ``languages`` that is installed."""
    listed = sorted(set(languages))
    candidates = {(src, tgt): modes / f"{_mode_name(src, tgt)}.mode" for src in listed for tgt in listed if src != tgt}
    return {pair: path for pair, path in candidates.items() if path.is_file()}


def _mode_name(src: str, tgt: str) -> str:
    if "eo" in (src, tgt):
        return f"{src}-{tgt}"
    return f"{_CODES.get(src, src)}-{_CODES.get(tgt, tgt)}"


def route_of(pair: Pair, direct: Iterable[Pair], pivots: Mapping[Pair, str]) -> tuple[str, ...]:
    """Choose the languages to go through: the pivot asked for, else the fewest; empty when there is no way."""
    src, tgt = pair
    steps = sorted(direct)
    pivot = pivots.get(pair)
    if pivot is not None and {(src, pivot), (pivot, tgt)} <= set(steps):
        return (src, pivot, tgt)
    reached: dict[str, tuple[str, ...]] = {src: (src,)}
    waiting = deque([src])
    while waiting and tgt not in reached:
        here = waiting.popleft()
        for _, there in (step for step in steps if step[0] == here and step[1] not in reached):
            reached[there] = (*reached[here], there)
            waiting.append(there)
    return reached.get(tgt, ())


def steps_of(route: Sequence[str]) -> list[Pair]:
    """Split a route into its directed steps."""
    return list(itertools.pairwise(route))


def commands_of(mode: Path) -> list[list[str]]:
    """Read the programs of a pipeline, in null-flush mode and without marks for unknown words."""
    return [_command(part) for part in mode.read_text("utf-8").split("|")]


def _command(part: str) -> list[str]:
    program, *arguments = [word for word in shlex.split(part) if word != "$2"]
    arguments = ["-n" if word == "$1" else word for word in arguments]
    # lt-proc flushes some of its modes only when its output is not buffered at all
    unbuffered = ["stdbuf", "-o0"] if program == "lt-proc" and shutil.which("stdbuf") else []
    return [*unbuffered, program, "-z", *arguments]


def prepare(text: str) -> tuple[str, bool]:
    """Escape a text for a pipeline and end its sentence; tell whether a full stop was added.

    The taggers of some pairs hold a sentence back until it ends.
    """
    plain = " ".join(text.replace("\0", " ").split())
    added = not plain.endswith(_SENTENCE_END)
    return _RESERVED.sub(r"\\\1", plain + "." * added) + "\n", added


def tidy(text: str, *, full_stop_added: bool) -> str:
    """Undo :func:`prepare` and put single spaces between words."""
    plain = " ".join(_ESCAPED.sub(r"\1", text).split())
    return plain.removesuffix(".").rstrip() if full_stop_added else plain
