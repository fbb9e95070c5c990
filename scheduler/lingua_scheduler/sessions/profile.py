"""How a client is treated: what it negotiated. The rules for clients that ask for nothing are all here.

They come from what existing clients do (docs/protocol.md, Base clients): each ``error`` is a blocking alert for the
person, a warned page mutes itself, and results are shown once per index and page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lingua_scheduler.sessions.flow import FlowRules
from lingua_wire.audio import AudioFormat
from lingua_wire.fields import SESSION_EXTENSIONS, Extension

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingua_scheduler.settings import FlowSettings

#: 2025-01-01, in Unix milliseconds.
_INDEX_EPOCH_MS: Final = 1_735_689_600_000


@dataclass(frozen=True, slots=True)
class ClientProfile:
    """What a client gets and how it is told.

    ``in_order``: its final never overtakes its audio, so no stabilisation wait. ``tells_format``: it says which format
    it sends; others are told apart by parsing. ``warned``: it may get ``backpressure``, warnings and errors about
    single utterances; else transient faults go as ``ui_event`` and nothing is said of skips. ``idle_closed``: silence
    on its socket ends the session. ``bare_speech``: it plays only Plan A Opus or bare 16 kHz samples.
    """

    name: str
    extensions: frozenset[Extension]
    flow: FlowRules
    in_order: bool
    tells_format: bool
    warned: bool
    idle_closed: bool
    bare_speech: bool
    assumed_format: AudioFormat

    @property
    def binary_audio(self) -> bool:
        """Tell whether audio goes in binary frames."""
        return Extension.BINARY_AUDIO in self.extensions

    @property
    def audio_ack(self) -> bool:
        """Tell whether it gets receipts, and so can send audio again."""
        return Extension.AUDIO_ACK in self.extensions

    @property
    def resume(self) -> bool:
        """Tell whether its session can go on over another connection."""
        return Extension.RESUME in self.extensions

    @property
    def reports(self) -> bool:
        """Tell whether it gets a report for each finalize."""
        return Extension.FINALIZE_REPORTS in self.extensions

    @property
    def stable(self) -> bool:
        """Tell whether partials say what will not change any more."""
        return Extension.STABLE_PARTIALS in self.extensions

    def first_index(self, unix_ms: int) -> int:
        """Choose the first utterance index.

        A page shows each index once over its reconnects, so a base session begins above any that it used before:
        tenths of seconds since 2025, faster than anybody speaks utterances.
        """
        return 0 if self.extensions else max(0, unix_ms - _INDEX_EPOCH_MS) // 100


def client_profile(asked: Iterable[str], settings: FlowSettings, *, resume: bool = True) -> ClientProfile:
    """Grant what is known of what was asked for; ``resume`` only where sessions outlive their connection."""
    names = set(asked)
    known = SESSION_EXTENSIONS if resume else SESSION_EXTENSIONS - {Extension.RESUME}
    granted = frozenset(extension for extension in known if extension in names)
    return _extended(granted, settings) if granted else _base(settings)


def _base(settings: FlowSettings) -> ClientProfile:
    return ClientProfile(
        name="base",
        extensions=frozenset(),
        flow=FlowRules(rate=settings.base_rate, burst_ms=settings.burst_ms, only_pause=True),
        in_order=False,
        tells_format=False,
        warned=False,
        idle_closed=False,
        bare_speech=True,
        assumed_format=AudioFormat.OPUS,
    )


def _extended(granted: frozenset[Extension], settings: FlowSettings) -> ClientProfile:
    return ClientProfile(
        name="extended",
        extensions=granted,
        flow=FlowRules(rate=settings.rate, burst_ms=settings.burst_ms, close_after_ms=settings.close_after_ms),
        in_order=True,
        tells_format=True,
        warned=True,
        idle_closed=True,
        bare_speech=False,
        assumed_format=AudioFormat.PCM16,
    )
