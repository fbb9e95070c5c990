"""People who talk through the client library while things break: what each of them said, and what each of them heard.

Each utterance is unlike any other, and a node's answer proves the audio and the session, so an answer that a person
should not have heard, or heard twice, shows. They are of two tenants. What they say and hear is noted (kit.history).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kit.eventually import eventually
from kit.proof import audio_id, audio_of, routed_to, utterance
from lingua_client import Failed, LinguaError, Missing, Renewed, Result, Resumed, SessionSettings, connect

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Callable

    from lingua_client import Session

    Note = Callable[..., None]

_numbers = itertools.count()
_CHUNK_BYTES = 3_200
_TENANTS = 2


@dataclass(slots=True)
class Spoken:
    """One utterance and what came of it. ``name`` is its audio's (kit.proof)."""

    name: str
    said_s: float
    answers: list[float] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    @property
    def wait_s(self) -> float:
        """Tell how long its first answer took."""
        return self.answers[0] - self.said_s


@dataclass(frozen=True, slots=True)
class Habits:
    """How people talk: the pause between two utterances, by its mean; how long they wait for an answer before they
    give the run up; how long a session of theirs lasts, by its mean."""

    pause_s: float = 0.3
    outcome_s: float = 90.0
    session_s: float = float("inf")


class Talker:
    """One person. ``broken`` are the reasons for which the library gave a session up, ``gaps_ms`` the times without a
    connection after which it went on, ``renewed`` how often with a fresh session, ``answered`` how many utterances have
    an answer."""

    def __init__(
        self, name: str, url: str, pair: tuple[str, str], source: random.Random, note: Note, habits: Habits
    ) -> None:
        self.name = name
        self.tenant = f"tenant-{sum(name.encode()) % _TENANTS}"
        self.sessions: list[str] = []
        self.spoken: dict[str, Spoken] = {}
        self.strays: list[str] = []
        self.broken: list[str] = []
        self.gaps_ms: list[float] = []
        self.renewed = 0
        self.answered = 0
        self._url = url
        self._pair = pair
        self._source = source
        self._habits = habits
        self._news = asyncio.Event()
        self._write = note

    async def talk(self, until: asyncio.Event) -> None:
        """Say one utterance after the other until told to end, and hear what is owed."""
        while not until.is_set():
            try:
                await self._session(until)
            except LinguaError as error:
                self.broken.append(error.code)
                self._tell("broken", code=error.code)
                await asyncio.sleep(self._source.random() * 0.2)

    async def _session(self, until: asyncio.Event) -> None:
        over_s = time.monotonic() + self._habits.session_s * (0.5 + self._source.random())
        settings = SessionSettings(vad_silence_ms=0, connect_timeout_s=60.0, tenant=self.tenant)
        async with connect(self._url, source=self._pair[0], target=self._pair[1], settings=settings) as session:
            self._opened(session.session_id)
            hearing = asyncio.create_task(self._hear(session))
            try:
                while not until.is_set() and not hearing.done() and time.monotonic() < over_s:
                    await self._say(session)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(until.wait(), self._source.random() * 2 * self._habits.pause_s)
                if not hearing.done():
                    await session.close()
            finally:
                hearing.cancel()
                heard = (await asyncio.gather(hearing, return_exceptions=True))[0]
            if isinstance(heard, LinguaError):
                raise heard

    async def _say(self, session: Session) -> None:
        audio = utterance(self._source.randrange(300, 700, 20), self._source)
        name = audio_id(audio)
        spoken = self.spoken[name] = Spoken(name, time.monotonic())
        self._tell("said", said=name)
        for at in range(0, len(audio), _CHUNK_BYTES):
            await session.send(audio[at : at + _CHUNK_BYTES])
        await session.finalize()
        spoken.said_s = time.monotonic()
        async with asyncio.timeout(self._habits.outcome_s):
            while not spoken.answers and not spoken.refusals:
                self._news.clear()
                await self._news.wait()

    async def _hear(self, session: Session) -> None:
        try:
            async for event in session:
                self._note(event)
                self._news.set()
        finally:
            for spoken in self.spoken.values():
                if not spoken.answers and not spoken.refusals:
                    self._refused(spoken, "session over")
            self._news.set()

    def _note(self, event: object) -> None:
        if isinstance(event, Result):
            self._heard(event)
        elif isinstance(event, Resumed | Renewed):
            self.gaps_ms.append(event.gap_ms)
            self._tell("went_on", fresh=isinstance(event, Renewed), gap_ms=round(event.gap_ms))
            if isinstance(event, Renewed):
                self.renewed += 1
                self._opened(event.session_id)
        elif isinstance(event, Missing) or (isinstance(event, Failed) and not event.resent):
            owed = [spoken for spoken in self.spoken.values() if not spoken.answers and not spoken.refusals]
            word = event.reason if isinstance(event, Missing) else event.code
            if owed:
                self._refused(owed[0], word)
            else:
                self._strayed(word)

    def _heard(self, event: Result) -> None:
        spoken = self.spoken.get(audio_of(event.translation))
        if spoken is None:
            self._strayed("a result")
            return
        self.answered += not spoken.answers
        spoken.answers.append(time.monotonic())
        session, index = routed_to(event.translation, self.sessions) or ("", -1)
        self._tell("heard", said=spoken.name, session=session, index=index, job_id=event.job_id)

    def _opened(self, session_id: str) -> None:
        self.sessions.append(session_id)
        self._tell("opened", session=session_id)

    def _refused(self, spoken: Spoken, word: str) -> None:
        spoken.refusals.append(word)
        self._tell("refused", said=spoken.name, word=word)

    def _strayed(self, word: str) -> None:
        self.strays.append(word)
        self._tell("strayed", word=word)

    def _tell(self, event: str, **more: object) -> None:
        self._write(event, talker=self.name, tenant=self.tenant, **more)


@dataclass(slots=True)
class Crowd:
    """Everybody, and the sums over them."""

    talkers: list[Talker]
    _until: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def spoken(self) -> list[Spoken]:
        """List every utterance."""
        return [spoken for talker in self.talkers for spoken in talker.spoken.values()]

    @property
    def answered(self) -> int:
        """Count the utterances that have an answer."""
        return sum(talker.answered for talker in self.talkers)

    def worst_wait_s(self) -> float:
        """Tell the longest time that anybody waited for an answer."""
        return max((spoken.wait_s for spoken in self.spoken if spoken.answers), default=0.0)

    def violations(self) -> list[str]:
        """Name what nobody may ever see: an answer twice, and an answer to somebody else's speech."""
        found = [f"answered {len(spoken.answers)} times" for spoken in self.spoken if len(spoken.answers) > 1]
        return found + [f"heard what was not said: {stray}" for talker in self.talkers for stray in talker.strays]

    def lost(self) -> list[str]:
        """Name what came of utterances that were never answered."""
        return [", ".join(spoken.refusals) or "nothing" for spoken in self.spoken if not spoken.answers]

    def gaps_ms(self) -> list[float]:
        """List the times that anybody was without a connection."""
        return [gap for talker in self.talkers for gap in talker.gaps_ms]

    def renewed(self) -> int:
        """Count the sessions that could not go on and were begun anew."""
        return sum(talker.renewed for talker in self.talkers)

    def broken(self) -> list[str]:
        """List why sessions were given up."""
        return [reason for talker in self.talkers for reason in talker.broken]


@contextlib.asynccontextmanager
async def crowd(
    url: str, pair: tuple[str, str], count: int, source: random.Random, note: Note, habits: Habits
) -> AsyncIterator[Crowd]:
    """Let ``count`` people talk until the block ends, then let each finish what was begun.

    :param note: writes down what they say and hear (:meth:`kit.history.History.note`).
    """
    first = next(_numbers) * count
    names = [f"talker-{first + number}" for number in range(count)]
    made = Crowd([Talker(name, url, pair, source, note, habits) for name in names])
    tasks = [asyncio.create_task(talker.talk(made._until)) for talker in made.talkers]
    try:
        yield made
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    made._until.set()
    await asyncio.gather(*tasks)


async def heard_again(talking: Crowd, more: int) -> float:
    """Wait until people have heard so many more answers; return how long the first three took."""
    began_s, heard = time.monotonic(), talking.answered
    await eventually(lambda: talking.answered >= heard + 3, within_s=60, what="answers come again")
    took_s = time.monotonic() - began_s
    await eventually(lambda: talking.answered >= heard + more, within_s=60, what=f"{more} more answers")
    return took_s
