"""Utterances whose results prove where they belong, and marks that show where speech or text went astray.

A test node answers with the HMAC of session, index and audio; the client knows all three, so a result that went to the
wrong place, or belongs to other audio, can't pass. A node of the fault suite writes the index beside it, since a client
that sends an utterance again is told its result under the first index.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import random
from itertools import count
from typing import TYPE_CHECKING

from kit.speech import spoken

if TYPE_CHECKING:
    from collections.abc import Iterable

#: In every text that a test node says.
TEXT_MARK = "SpokenWordsMark"
#: In all audio that test clients and nodes send: 18 bytes, so that its base64 is the same at every third place.
AUDIO_MARK = b"SpeechAudioMark-42"
_KEY = b"the nodes and the clients of the tests"
_MS_BYTES = 32
_ROUTED_WORDS = 3
_numbers = count(1)


def utterance(ms: int = 500, source: random.Random | None = None) -> bytes:
    """Make PCM16 at 16 kHz with speech in all of it, marked, and unlike any other."""
    speech = _speech()
    at = (source or random).randrange(0, len(speech) - ms * _MS_BYTES, 2) if ms * _MS_BYTES < len(speech) else 0
    audio = (speech * (ms * _MS_BYTES // len(speech) + 2))[at : at + ms * _MS_BYTES]
    stamp = AUDIO_MARK + next(_numbers).to_bytes(6, "big")
    return stamp + audio[len(stamp) :]


def proof(session_id: str, index: int, audio: bytes) -> str:
    """Tell what a node must say about this audio as this utterance of this session."""
    said = f"{session_id}/{index}/".encode() + hashlib.sha256(audio).digest()
    return f"{TEXT_MARK} {hmac.new(_KEY, said, hashlib.sha256).hexdigest()}"


def audio_id(audio: bytes) -> str:
    """Name this audio, without telling anything of it; no two share their name."""
    return hmac.new(_KEY, hashlib.sha256(audio).digest(), hashlib.sha256).hexdigest()


def routed_proof(session_id: str, index: int, audio: bytes) -> str:
    """Tell what a node of the fault suite must say: which audio, as which utterance, and a seal over both and the
    session."""
    return _routed(session_id, index, audio_id(audio))


def audio_of(text: str) -> str:
    """Read from a node's answer which audio it is about; empty where it is no such answer."""
    words = text.split(".")
    return words[0].removeprefix(f"{TEXT_MARK} ") if len(words) == _ROUTED_WORDS else ""


def routed_to(text: str, sessions: Iterable[str]) -> tuple[str, int] | None:
    """Find of which of these sessions an answer is the proof, and as which utterance; None: of none."""
    index = int(text.split(".")[1])
    fits = (one for one in sessions if hmac.compare_digest(_routed(one, index, audio_of(text)), text))
    found = next(fits, None)
    return None if found is None else (found, index)


def _routed(session_id: str, index: int, audio: str) -> str:
    seal = hmac.new(_KEY, f"{session_id}/{index}/{audio}".encode(), hashlib.sha256).hexdigest()
    return f"{TEXT_MARK} {audio}.{index}.{seal}"


def speech_of(text: str, ms: int = 20) -> bytes:
    """Make the speech that belongs to a text."""
    sound = AUDIO_MARK + hashlib.sha256(text.encode()).digest()
    return (sound + bytes(ms * _MS_BYTES))[: ms * _MS_BYTES]


@functools.cache
def marks() -> tuple[bytes, ...]:
    """List every form in which a mark could stand in a log or in Redis."""
    encoded = [base64.b64encode(bytes(shift) + AUDIO_MARK)[4 if shift else 0 : -4] for shift in range(3)]
    return (TEXT_MARK.encode(), AUDIO_MARK, AUDIO_MARK.hex().encode(), *encoded)


@functools.cache
def _speech() -> bytes:
    """Speak without a pause: what is below a tenth of the loudest 20 ms is cut out."""
    pcm = spoken("we are all along the river now and you are allowed to row away in our yellow rowing boat")
    frames = [pcm[at : at + 320] for at in range(0, len(pcm) - 319, 320)]
    loudness = [sum(map(abs, frame)) for frame in frames]
    return b"".join(frame.tobytes() for frame, loud in zip(frames, loudness, strict=True) if loud > max(loudness) / 10)
