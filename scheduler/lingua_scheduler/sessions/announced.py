"""Whole utterances whose audio comes in binary frames: collected until the last frame, within a bound. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from lingua_wire.frames import Frame
    from lingua_wire.session_messages import Utterance

#: Utterances whose audio is not whole yet.
_MOST: Final = 8


class Announced:
    """Those that were announced and are not whole. ``limit_bytes``: of all their audio together."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._waiting: dict[int, tuple[Utterance, bytearray]] = {}

    def add(self, message: Utterance) -> None:
        """Take in an utterance whose audio follows.

        :raises WireError: OUT_OF_STATE, too many wait for theirs.
        """
        if len(self._waiting) >= _MOST:
            raise WireError(ErrorCode.OUT_OF_STATE, "too many utterances are announced without their audio")
        self._waiting[message.utterance_index] = (message, bytearray())

    def take(self, frame: Frame) -> tuple[Utterance, bytes] | None:
        """Take a frame; returns the utterance and its audio with the last one.

        :raises WireError: OUT_OF_STATE, nobody announced it; TOO_LARGE, it is forgotten.
        """
        found = self._waiting.get(frame.index)
        if found is None:
            raise WireError(ErrorCode.OUT_OF_STATE, "no utterance of this index was announced")
        message, audio = found
        held = sum(len(one) for _, one in self._waiting.values())
        if held + len(frame.audio) > self._limit_bytes:
            del self._waiting[frame.index]
            raise WireError(ErrorCode.TOO_LARGE, f"at most {self._limit_bytes} bytes of announced audio are held")
        audio += frame.audio
        if not frame.last:
            return None
        del self._waiting[frame.index]
        return message, bytes(audio)
