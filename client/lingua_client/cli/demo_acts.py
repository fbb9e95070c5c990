"""The acts of the demo. Each shows something, proves that it happened, and gives the evidence.

A proof that fails is an error with the code ``DEMO_FAILED``; nothing is shown that was not measured or answered.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lingua_client.api import Api
from lingua_client.cli.job import why
from lingua_client.cli.live import Growing
from lingua_client.errors import LinguaError
from lingua_client.events import Event, Failed, Finalized, Missing, Partial, Result, Skipped, Timings
from lingua_client.once import join, why_nothing
from lingua_client.pacing import Pace
from lingua_client.session import Session, connect
from lingua_client.settings import SessionSettings
from lingua_client.sources import read_file, write_wav

if TYPE_CHECKING:
    from lingua_client.cli.page import Page
    from lingua_client.cli.stack import Stack

_ENGLISH: Final = "sense-and-sensibility-0920"
_TURNS: Final = (("es-el-tren-llega", "es"), ("go-forward", "en"), ("es-donde-esta-la-estacion", "es"))
_AT_WORK: Final = frozenset({"dispatched", "accepted", "processing"})
_LOSS_S: Final = 10.0
_POLL_S: Final = 0.002
#: Partials as often as a node gives them: its recogniser is fast, and the demo wants to show the sentence grow.
_SETTINGS: Final = SessionSettings(partial_interval_ms=20, vad_silence_ms=0)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where an act plays."""

    page: Page
    stack: Stack
    speech: Path
    out: Path

    def recording(self, name: str) -> Path:
        """Find a recording."""
        return self.speech / f"{name}.wav"

    def said(self, name: str) -> str:
        """Read what is truly said in a recording."""
        return (self.speech / f"{name}.txt").read_text().strip()


@dataclass(slots=True)
class Heard:
    """What came of one recording: its result, and how often the sentence was seen to grow."""

    result: Result
    partials: int


async def one_speaker(stage: Stage) -> dict[str, Any]:
    """Translate a real recording from English into Spanish, in real time."""
    page, file = stage.page, stage.recording(_ENGLISH)
    page.heading("1  A recording, from English into Spanish")
    _played(stage, _ENGLISH)
    async with connect(stage.stack.url, source="en", target="es", settings=_SETTINGS) as session:
        heard = await _play(stage, session, file)
    _require(heard.partials > 0, "no partial came while the sentence was recognised")
    wav = _speech(stage, heard.result, "1-spanish")
    job = await _served(stage, heard.result)
    return {"act": "one_speaker", "file": str(file), "partials": heard.partials, **_evidence(heard.result, job, wav)}


async def two_speakers(stage: Stage) -> dict[str, Any]:
    """Let two people speak English and Spanish in turns, in one session."""
    stage.page.heading("2  Two people in turns, English and Spanish")
    turns = []
    async with connect(stage.stack.url, source="en", target="es", mode="two_way_auto", settings=_SETTINGS) as session:
        for number, (name, language) in enumerate(_TURNS, start=1):
            turns.append(await _turn(stage, session, name, language, number))
    return {"act": "two_speakers", "turns": turns}


async def lost_node(stage: Stage) -> dict[str, Any]:
    """Kill the node that works on a job, and see another one finish it."""
    page, stack = stage.page, stage.stack
    page.heading("3  A node is killed in mid-job")
    _played(stage, _ENGLISH, "as fast as allowed")
    events: list[Event] = []
    victim, job_id, killed_s = "", "", 0.0
    async with connect(stack.url, source="en", target="es", settings=_SETTINGS) as session:
        async for event in session.translate(stage.recording(_ENGLISH), pace=Pace.FAST):
            events.append(event)
            if isinstance(event, Finalized) and not victim:
                job_id = event.job_id
                victim = await _kill_at_work(stage, job_id)
                killed_s = time.monotonic()
    seconds = time.monotonic() - killed_s
    result = _result(events)
    _require(bool(victim), "the cut of the utterance was not reported")
    _require(result.job_id == job_id, "the result is of another job")
    return await _shown_loss(stage, victim, result, seconds)


ACTS: Final = (one_speaker, two_speakers, lost_node)


async def _turn(stage: Stage, session: Session, name: str, language: str, number: int) -> dict[str, Any]:
    page = stage.page
    if number > 1:
        page.console.print()
    _played(stage, name)
    heard = await _one_utterance(stage, session, stage.recording(name))
    result = heard.result
    spoken = result.source or "?"
    other = "en" if language == "es" else "es"
    _require(spoken == language, f"turn {number} was heard as {spoken}, and {language} was spoken")
    page.line("language", f"{spoken} was heard, so it is said in {result.target or other}")
    wav = _speech(stage, result, f"2-turn-{number}-{result.target or other}")
    job = await _served(stage, result)
    return _evidence(result, job, wav)


async def _play(stage: Stage, session: Session, file: Path) -> Heard:
    """Play a recording in real time to the end of its session."""
    events: list[Event] = []
    with Growing(stage.page.console, "  heard       ", plain_partials=True) as line:
        async for event in session.translate(file, pace=Pace.REAL_TIME):
            events.append(event)
            if isinstance(event, Partial):
                line.show(event)
    return _told(stage, _result(events), line.shown)


async def _one_utterance(stage: Stage, session: Session, file: Path) -> Heard:
    """Play a recording in real time in a session that goes on."""
    sending = asyncio.create_task(session.stream(file))
    events: list[Event] = []
    with Growing(stage.page.console, "  heard       ", plain_partials=True) as line:
        async for event in session:
            events.append(event)
            if isinstance(event, Partial):
                line.show(event)
            elif isinstance(event, Result | Missing | Skipped) or (isinstance(event, Failed) and not event.resent):
                break
    await sending
    return _told(stage, _result(events), line.shown)


def _told(stage: Stage, result: Result, partials: int) -> Heard:
    stage.page.line("heard", result.text, style="bold")
    stage.page.line("translated", result.translation, style="bold green")
    _require(bool(result.text and result.translation), "the result has no text")
    return Heard(result, partials)


def _played(stage: Stage, name: str, how: str = "in real time") -> None:
    seconds = len(read_file(stage.recording(name))) / 32_000
    stage.page.line("played", f"{stage.recording(name).name}, {seconds:.1f} s", note=how)
    stage.page.line("said", stage.said(name))


def _speech(stage: Stage, result: Result, name: str) -> Path:
    _require(result.speech_ms > 100, "the result has no speech")
    wav = stage.out / f"{name}.wav"
    write_wav(wav, result.speech, result.sample_rate)
    stage.page.line("speech", _short(wav), note=f"{result.speech_ms / 1000:.1f} s at {result.sample_rate} Hz")
    return wav


async def _served(stage: Stage, result: Result) -> dict[str, Any]:
    job = await _job(stage.stack, result.job_id)
    _require(job["status"] == "completed", f"the job's record says {job['status']}")
    stage.page.line("node", job["node_id"], note=why(job))
    stage.page.line("times", times(result.timings))
    stage.page.line("first sound", f"{result.waited_ms:.0f} ms", note="from the end of the speech to translated speech")
    return job


def times(told: Timings) -> str:
    """Write what each stage took."""
    stages = (
        ("recognise", told.asr_ms),
        ("translate", told.nmt_ms),
        ("speak", told.tts_ms),
        ("whole job", told.total_ms),
    )
    return ", ".join(
        f"{name} {ms:.0f} ms" if ms >= 10 else f"{name} {ms:.1f} ms" for name, ms in stages if ms is not None
    )


async def _kill_at_work(stage: Stage, job_id: str) -> str:
    """Wait until a node works on the job, then kill that node's process."""
    _require(bool(job_id), "the cut named no job")
    deadline = time.monotonic() + _LOSS_S
    while (job := await _job(stage.stack, job_id))["status"] not in _AT_WORK or not job["node_id"]:
        _require(job["status"] in ("pending", "assigned"), f"the job was already {job['status']}")
        _require(time.monotonic() < deadline, "no node took the job")
        await asyncio.sleep(_POLL_S)
    program = stage.stack.nodes[job["node_id"]]
    await stage.stack.programs.kill(program)
    stage.page.line(
        "killed", job["node_id"], style="bold red", note=f"SIGKILL to {program.pid} while the job was {job['status']}"
    )
    return str(job["node_id"])


async def _shown_loss(stage: Stage, victim: str, result: Result, seconds: float) -> dict[str, Any]:
    page, job = stage.page, await _job(stage.stack, result.job_id)
    _require(job["status"] == "completed", f"the job's record says {job['status']}")
    _require(job["attempt_id"] == 2 and victim in job["tried_nodes"], "the record does not tell of a lost attempt")
    _require(job["node_id"] not in ("", victim), "the lost node is said to have finished the job")
    page.line("attempt 1", f"{victim}: lost")
    page.line(f"attempt {job['attempt_id']}", f"{job['node_id']}: completed", note=f"{seconds:.1f} s after the kill")
    page.line("heard", result.text, style="bold")
    page.line("translated", result.translation, style="bold green")
    wav = _speech(stage, result, "3-after-the-loss")
    return {"act": "lost_node", "killed": victim, "seconds": round(seconds, 2), **_evidence(result, job, wav)}


def _result(events: list[Event]) -> Result:
    results = [event for event in events if isinstance(event, Result)]
    if not results:
        raise why_nothing(events)
    return join(results)


async def _job(stack: Stack, job_id: str) -> dict[str, Any]:
    async with Api(stack.url) as api:
        return await api.get(f"/api/v1/jobs/{job_id}")


def _evidence(result: Result, job: dict[str, Any], wav: Path) -> dict[str, Any]:
    return {
        "job_id": result.job_id,
        "node_id": job["node_id"],
        "attempt_id": job["attempt_id"],
        "source": result.source,
        "target": result.target,
        "text": result.text,
        "translation": result.translation,
        "speech": str(wav),
        "timings": asdict(result.timings),
        "first_sound_ms": round(result.waited_ms, 1),
    }


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _require(fact: bool, otherwise: str) -> None:
    if not fact:
        raise LinguaError("DEMO_FAILED", otherwise)
