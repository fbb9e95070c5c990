"""One recording in, one result out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lingua_client.errors import TranslationFailedError
from lingua_client.events import Failed, Missing, Result, Timings
from lingua_client.pacing import Pace
from lingua_client.session import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lingua_client.events import Event
    from lingua_client.settings import SessionSettings
    from lingua_client.sources import Source


async def translate(
    url: str,
    audio: Source,
    source: str,
    target: str,
    *,
    token: str | None = None,
    settings: SessionSettings | None = None,
) -> Result:
    """Translate a recording as fast as the service allows; the results of its utterances are joined into one.

    :raises TranslationFailedError: nothing was said in it (``NO_SPEECH``), or no utterance got a result.
    :raises LinguaError: as :func:`lingua_client.connect`.
    """
    async with connect(url, source=source, target=target, token=token, settings=settings) as session:
        events = [event async for event in session.translate(audio, pace=Pace.FAST)]
    results = [event for event in events if isinstance(event, Result)]
    if not results:
        raise why_nothing(events)
    return join(results)


def join(results: Sequence[Result]) -> Result:
    """Make one result of several in their order: texts and speech joined, times summed, names those of the last."""
    last = results[-1]
    rate = results[0].sample_rate
    return replace(
        last,
        text=" ".join(result.text for result in results if result.text),
        translation=" ".join(result.translation for result in results if result.translation),
        speech=b"".join(result.speech for result in results if result.sample_rate == rate),
        sample_rate=rate,
        timings=Timings(*(_total(results, stage) for stage in ("asr_ms", "nmt_ms", "tts_ms", "total_ms"))),
    )


def _total(results: Sequence[Result], stage: str) -> float | None:
    told = [value for result in results if (value := getattr(result.timings, stage)) is not None]
    return sum(told) if told else None


def why_nothing(events: Sequence[Event]) -> TranslationFailedError:
    """Find the reason why a session gave no result."""
    for event in events:
        if isinstance(event, Failed) and not event.resent:
            return TranslationFailedError(event.code, event.message or "the utterance failed")
        if isinstance(event, Missing) and event.reason != "silence_detected":
            return TranslationFailedError("NO_OUTCOME", f"there is no result: {event.reason}")
    return TranslationFailedError("NO_SPEECH", "no speech was heard in the recording")
