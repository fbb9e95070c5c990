"""People who keep talking to the service in the cluster, through the real client library, and count what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kit.samples import EXAMPLES, Sample, count_word_errors, read_sample
from lingua_client import Failed, Finalized, LinguaError, Missing, Result, connect
from lingua_client.settings import SessionSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lingua_client.events import Event
    from lingua_client.session import Session

#: The Service of the schedulers as this machine reaches it (tests/e2e_kind/cluster.yaml).
URL = "http://127.0.0.1:30510"

#: Only the end of a recording ends an utterance: what was said can be counted.
_WHOLE = SessionSettings(vad_silence_ms=0, pause_ms=0, partial_interval_ms=0, connect_timeout_s=60.0)

#: Words of the recording that may be heard otherwise; a result of other speech has more.
_WORD_ERRORS = 2


def recording(name: str = "go-forward") -> Sample:
    """Read one of the project's recordings."""
    return read_sample(EXAMPLES / "speech" / f"{name}.wav")


@dataclass(slots=True)
class Speaker:
    """One session: what was said into it and what came out."""

    sample: Sample = field(default_factory=recording)
    url: str = URL
    source: str = "en"
    target: str = "es"
    said: int = 0
    results: list[Result] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    lost: list[Event] = field(default_factory=list)
    #: How each utterance was cut, and what befell session and utterances meanwhile, in order.
    story: list[str] = field(default_factory=list)
    #: Seconds from the end of an utterance to its result.
    waits_s: list[float] = field(default_factory=list)
    #: Lost utterances that the library sent again.
    resent: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: bool = False

    async def talk(self, stop: asyncio.Event) -> None:
        """Say the recording in real time, again and again until told to stop; then wait for every outcome."""
        async with connect(self.url, source=self.source, target=self.target, settings=_WHOLE) as session:
            listening = asyncio.create_task(self._listen(session))
            try:
                await self._say(session)
                while not stop.is_set() and not self._ended:
                    await self._say(session)
                    await self._until_owed(1)
                await session.finish()
                await listening
            finally:
                listening.cancel()
                with contextlib.suppress(asyncio.CancelledError, LinguaError):
                    await listening

    async def keep_quiet(self, opened: asyncio.Event, asked: asyncio.Event) -> None:
        """Open a session, say nothing until asked to, then say the recording once and wait for its outcome."""
        async with connect(self.url, source=self.source, target=self.target, settings=_WHOLE) as session:
            listening = asyncio.create_task(self._listen(session))
            opened.set()
            await asked.wait()
            await self._say(session)
            await session.finish()
            await listening

    async def _say(self, session: Session) -> None:
        await session.stream(self.sample.pcm)
        self.said += 1

    async def _until_owed(self, most: int) -> None:
        """Wait until at most so many results are owed: a slow machine is talked to slowly, and never in silence."""
        while not self._ended and len(self.results) + len(self.lost) < self.said - most:
            self._news.clear()
            await self._news.wait()

    async def _listen(self, session: Session) -> None:
        try:
            async for event in session:
                self._take(event)
                self._news.set()
        finally:
            self._ended = True
            self._news.set()

    def _take(self, event: Event) -> None:
        self.events[type(event).__name__] += 1
        if isinstance(event, Finalized):
            self.story.append(f"{event.utterance_index} {event.reason} {event.start_ms:.0f}-{event.end_ms:.0f} ms")
        elif not isinstance(event, Result):
            self.story.append(repr(event))
        if isinstance(event, Result):
            self.results.append(event)
            self.waits_s.append(event.waited_ms / 1000)
        elif isinstance(event, Missing) or (isinstance(event, Failed) and not event.resent):
            self.lost.append(event)
        elif isinstance(event, Failed):
            self.resent += 1

    def check(self) -> None:
        """Check that each sentence came back once, and as what it was."""
        heard = [(result.utterance_index, result.text, result.job_id) for result in self.results]
        told = f"said {self.said}, events {dict(self.events)}, lost {self.lost}, heard {heard}, {self.story}"
        assert not self.lost, told
        indices = Counter(result.utterance_index for result in self.results)
        assert max(indices.values(), default=0) <= 1, f"double: {indices}; {told}"
        assert len(self.results) <= self.said + self.resent, told
        assert len(self._sentences()) == self.said, told
        for sentence in self._sentences():
            assert count_word_errors(self.sample.text, sentence) <= _WORD_ERRORS, told
        for result in self.results:
            assert result.translation, result
            assert result.speech, result

    def _sentences(self) -> list[str]:
        """Give what was heard, sentence by sentence: one that was being spoken when a lost one was sent again came in
        two parts (docs/weaknesses.md)."""
        found: list[str] = []
        for result in sorted(self.results, key=lambda each: each.utterance_index):
            if found and self.resent and count_word_errors(self.sample.text, found[-1]) > _WORD_ERRORS:
                found[-1] += f" {result.text}"
            else:
                found.append(result.text)
        return found


@dataclass(slots=True)
class Crowd:
    """Several speakers, and what they met altogether."""

    speakers: list[Speaker]

    @property
    def said(self) -> int:
        """Count the utterances."""
        return sum(speaker.said for speaker in self.speakers)

    @property
    def heard(self) -> int:
        """Count the results."""
        return sum(len(speaker.results) for speaker in self.speakers)

    @property
    def events(self) -> Counter[str]:
        """Count the events by kind."""
        return sum((speaker.events for speaker in self.speakers), Counter())

    @property
    def waits_s(self) -> list[float]:
        """List the waits for results, shortest first."""
        return sorted(wait for speaker in self.speakers for wait in speaker.waits_s)

    def summary(self) -> str:
        """Tell the figures."""
        waits = self.waits_s or [0.0]
        return (
            f"{self.said} utterances, {self.heard} results, wait p50 {waits[len(waits) // 2]:.1f} s,"
            f" longest {waits[-1]:.1f} s; {dict(self.events)}"
        )


@asynccontextmanager
async def talking(count: int, url: str = URL) -> AsyncIterator[Crowd]:
    """Let this many people talk; at the end of the block each stops, gets what is owed, and all is checked."""
    stop = asyncio.Event()
    crowd = Crowd([Speaker(url=url) for _ in range(count)])
    tasks = [asyncio.create_task(speaker.talk(stop)) for speaker in crowd.speakers]
    try:
        yield crowd
        stop.set()
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for speaker in crowd.speakers:
        speaker.check()


async def more_heard(crowd: Crowd, results: int, within_s: float = 120.0) -> None:
    """Wait until each speaker has had this many results more than now."""
    wanted = [len(speaker.results) + results for speaker in crowd.speakers]
    end = time.monotonic() + within_s
    while any(len(speaker.results) < count for speaker, count in zip(crowd.speakers, wanted, strict=True)):
        assert time.monotonic() < end, f"no results: {crowd.summary()}"
        await asyncio.sleep(0.2)


@asynccontextmanager
async def silent_sessions(count: int, url: str = URL) -> AsyncIterator[list[Session]]:
    """Hold sessions that are open and say nothing; the library keeps each alive."""
    patient = replace(_WHOLE, connect_timeout_s=240.0)  # there may be room only once another pod is up
    async with contextlib.AsyncExitStack() as stack:
        opening = [connect(url, source="en", target="es", settings=patient) for _ in range(count)]
        async with asyncio.TaskGroup() as group:
            opened = [group.create_task(stack.enter_async_context(each)) for each in opening]
        yield [each.result() for each in opened]


@asynccontextmanager
async def keeping_quiet(count: int, url: str = URL) -> AsyncIterator[Crowd]:
    """Let this many people be there in silence; at the end of the block each says a sentence, and all is checked."""
    asked = asyncio.Event()
    crowd = Crowd([Speaker(url=url) for _ in range(count)])
    opened = [asyncio.Event() for _ in crowd.speakers]
    pairs = zip(crowd.speakers, opened, strict=True)
    tasks = [asyncio.create_task(speaker.keep_quiet(one, asked)) for speaker, one in pairs]
    try:
        async with asyncio.timeout(120):
            await asyncio.gather(*(one.wait() for one in opened))
        yield crowd
        asked.set()
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for speaker in crowd.speakers:
        speaker.check()


async def say_once(speaker: Speaker | None = None, within_s: float = 90.0) -> Result:
    """Say the recording once, check what comes back, and return it."""
    speaking, stop = speaker or Speaker(), asyncio.Event()
    stop.set()
    async with asyncio.timeout(within_s):
        await speaking.talk(stop)
    speaking.check()
    return speaking.results[0]
