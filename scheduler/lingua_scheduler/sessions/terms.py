"""What a session was opened with: the client's wishes, checked and completed. Pure."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from lingua_scheduler.nodes.capability import pairing_digest
from lingua_scheduler.sessions.cuts import CutRules
from lingua_scheduler.sessions.profile import ClientProfile, client_profile
from lingua_state.models import AUTO, Pair
from lingua_wire.audio import SAMPLE_RATE, AudioFormat
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.fields import Mode
from lingua_wire.ids import normal_language
from lingua_wire.session_messages import LanguageSettings, Pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lingua_scheduler.auth import Identity
    from lingua_scheduler.settings import CutSettings, SchedulerSettings
    from lingua_wire.session_messages import SessionInit, SessionUpdate, Utterance

#: A session's own times stay within these.
MIN_DURATION_MS: Final = 1_000
MAX_DURATION_MS: Final = 60_000
MIN_PARTIAL_MS: Final = 100
#: The store looks each of them up for each utterance.
MAX_CANDIDATES: Final = 32


@dataclass(frozen=True, slots=True)
class Languages:
    """Which languages are heard and spoken. ``pair.source`` is ``auto`` where the speaker is not known."""

    pair: Pair
    mode: Mode = Mode.ONE_WAY
    lang_a: str | None = None
    lang_b: str | None = None
    candidates: tuple[str, ...] = ()

    @property
    def both_ways(self) -> bool:
        """Tell whether a node must serve both directions."""
        return self.mode is Mode.TWO_WAY_AUTO

    def direction(self, detected: str | None) -> tuple[str | None, str | None]:
        """Tell what was spoken into what, once the node found the language; None where that is not known."""
        source = detected if self.pair.source == AUTO else self.pair.source
        if not self.both_ways:
            return source, self.pair.target
        if source is None or source not in (self.lang_a, self.lang_b):
            return source, None
        return source, self.lang_b if source == self.lang_a else self.lang_a


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a session. ``pairing`` is the digest of a pairing code; ``partial_ms`` 0: no partials."""

    profile: ClientProfile
    languages: Languages
    rules: CutRules
    trace_id: str
    platform: str = ""
    tenant: str = ""
    subject: str = ""
    pairing: str | None = field(default=None, repr=False)
    dialect: str | None = None
    features: Mapping[str, Any] | None = None
    pipeline: Pipeline = field(default_factory=Pipeline)
    partial_ms: int = 1_000
    audio_format: AudioFormat = AudioFormat.PCM16
    sample_rate: int = SAMPLE_RATE

    def updated(self, update: SessionUpdate) -> Terms:
        """Apply a ``session_update``; absent fields stay.

        :raises WireError: BAD_SETTINGS words, as :func:`terms_of`.
        """
        pair = self.languages.pair
        source = normal_language(update.src_lang) if update.src_lang else pair.source
        target = normal_language(update.tgt_lang) if update.tgt_lang else pair.target
        languages = replace(self.languages, pair=Pair(source, target))
        _check(languages, close=None)
        return replace(self, languages=languages, rules=_chosen_rules(self.rules, update))

    def of_utterance(self, utterance: Utterance) -> Terms:
        """Give the terms of one whole utterance, which names its own languages.

        :raises WireError: as :func:`terms_of`, but the connection goes on.
        """
        languages = languages_of(utterance, utterance.src_lang, utterance.tgt_lang, close=None)
        return replace(
            self,
            languages=languages,
            trace_id=utterance.trace_id or self.trace_id,
            dialect=utterance.dialect or self.dialect,
            features=utterance.features or self.features,
            pipeline=utterance.pipeline or self.pipeline,
            partial_ms=_partial_ms(utterance, self.partial_ms),
        )


def terms_of(init: SessionInit, identity: Identity, settings: SchedulerSettings) -> Terms:
    """Read a ``session_init``.

    :raises WireError: with the close code: 4400 for settings that contradict each other, 4415 for a format that is no
        stream.
    """
    profile = client_profile(init.extensions, settings.flow, resume=settings.session.resume_ms > 0)
    audio_format = init.audio_format or profile.assumed_format
    if audio_format is AudioFormat.WAV:
        raise WireError(
            ErrorCode.UNSUPPORTED_FORMAT,
            "audio_format: a stream is pcm16 or opus; wav is for whole utterances",
            close=CloseCode.AUDIO_FORMAT,
        )
    return Terms(
        profile=profile,
        languages=languages_of(init, init.src_lang, init.tgt_lang, close=CloseCode.BAD_SETTINGS),
        rules=_chosen_rules(_cut_rules(settings.cut, profile), init),
        trace_id=init.trace_id or secrets.token_hex(16),
        platform=init.platform,
        tenant=identity.tenant if identity.verified else _named_tenant(init),
        subject=identity.subject,
        pairing=pairing_digest(init.pairing_code) if init.pairing_code else None,
        dialect=init.dialect,
        features=init.features,
        pipeline=init.pipeline or Pipeline(),
        partial_ms=_partial_ms(init, settings.session.partial_ms),
        audio_format=audio_format,
        sample_rate=init.sample_rate or SAMPLE_RATE,
    )


def _named_tenant(init: SessionInit) -> str:
    """Read the tenant that a client without a token names. Ids may have a colon; in names of pairs it has a meaning."""
    tenant = init.tenant_id or ""
    if ":" in tenant:
        raise WireError(ErrorCode.INVALID_MESSAGE, "tenant_id: has a colon", close=CloseCode.BAD_SETTINGS)
    return tenant


def languages_of(said: LanguageSettings, source: str, target: str, *, close: CloseCode | None) -> Languages:
    """Read the languages of a session or of one utterance.

    :raises WireError: they contradict each other.
    """
    pair = Pair(normal_language(source), normal_language(target))
    if said.mode is Mode.TWO_WAY_AUTO:
        languages = _two_ways(said, pair, close)
    else:
        candidates = tuple(normal_language(code) for code in said.auto_langs or ()) if pair.source == AUTO else ()
        languages = Languages(pair, candidates=tuple(code for code in candidates if code != pair.target))
    _check(languages, close)
    return languages


def _two_ways(said: LanguageSettings, pair: Pair, close: CloseCode | None) -> Languages:
    if not said.lang_a or not said.lang_b:
        raise WireError(ErrorCode.INVALID_MESSAGE, "mode two_way_auto needs lang_a and lang_b", close=close)
    lang_a, lang_b = normal_language(said.lang_a), normal_language(said.lang_b)
    target = pair.target if pair.target in (lang_a, lang_b) else lang_b
    return Languages(Pair(AUTO, target), Mode.TWO_WAY_AUTO, lang_a, lang_b, (lang_a, lang_b))


def _check(languages: Languages, close: CloseCode | None) -> None:
    if languages.both_ways:
        if languages.lang_a == languages.lang_b or AUTO in (languages.lang_a, languages.lang_b):
            raise WireError(ErrorCode.INVALID_MESSAGE, "lang_a and lang_b must be two languages", close=close)
        return
    pair = languages.pair
    if pair.target == AUTO:
        raise WireError(ErrorCode.INVALID_MESSAGE, "tgt_lang can't be auto", close=close)
    if len(languages.candidates) > MAX_CANDIDATES:
        raise WireError(ErrorCode.INVALID_MESSAGE, f"auto_langs: at most {MAX_CANDIDATES}", close=close)
    if pair.source == pair.target:
        raise WireError(ErrorCode.INVALID_MESSAGE, "src_lang and tgt_lang must differ", close=close)


def _partial_ms(said: LanguageSettings, default_ms: int) -> int:
    if said.enable_streaming_asr is False:
        return 0
    if said.partial_update_interval_ms:
        return max(MIN_PARTIAL_MS, said.partial_update_interval_ms)
    return default_ms


def _cut_rules(settings: CutSettings, profile: ClientProfile) -> CutRules:
    return CutRules(
        pause_ms=settings.pause_ms,
        max_duration_ms=settings.max_duration_ms,
        max_buffer_bytes=settings.buffer_bytes,
        stabilise_auto_ms=0 if profile.in_order else settings.stabilise_auto_ms,
        stabilise_manual_ms=0 if profile.in_order else settings.stabilise_manual_ms,
        padding_auto_ms=settings.padding_auto_ms,
        padding_manual_ms=settings.padding_manual_ms,
        short_piece_ms=settings.short_piece_ms,
        vad_silence_ms=settings.vad_silence_ms,
        min_speech_ms=settings.min_speech_ms,
        join_window_ms=settings.join_window_ms,
    )


def _chosen_rules(rules: CutRules, said: SessionInit | SessionUpdate) -> CutRules:
    """Apply a client's own choices, brought into bounds."""
    if said.pause_ms is not None:
        rules = replace(rules, pause_ms=said.pause_ms)
    if said.vad_silence_ms is not None:
        rules = replace(rules, vad_silence_ms=said.vad_silence_ms)
    if said.max_duration_ms is not None:
        rules = replace(rules, max_duration_ms=min(max(said.max_duration_ms, MIN_DURATION_MS), MAX_DURATION_MS))
    return rules
