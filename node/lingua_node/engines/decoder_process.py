"""One decoder in a process of its own: ``python -m lingua_node.engines.decoder_process``.

Pocketsphinx holds the interpreter's lock while it decodes, so each decoder lives alone. The first frame names the
model; then each HEAR brings an utterance and is answered by exactly one RESULT. A STOP ends the utterance at the next
step. The process ends when its input is closed.
"""

from __future__ import annotations

import json
import math
import os
import select
import struct
import warnings
from typing import Any, BinaryIO

import numpy as np
import pocketsphinx

from lingua_node.engines import pipes
from lingua_node.engines.base import ASR_RATE
from lingua_node.engines.pipes import STEP_SAMPLES, Kind, Readable

_FRAME_SAMPLES = 160
_SEARCH = "speech"
_CHANNEL_SEARCH = "channel"
_NOTHING: dict[str, Any] = {"text": "", "fit": None, "words": []}

Samples = np.ndarray[tuple[int, ...], np.dtype[np.int16]]
Numbers = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

# Pocketsphinx counts the mean it was given as 500 frames and forgets from 800 on: so many may still be measured.
_PRIOR_FRAMES = 500
_CHANNEL_SAMPLES = 290 * _FRAME_SAMPLES


class DecoderProcess:
    """Serve one decoder over two pipes."""

    def __init__(self, incoming: Readable, outgoing: BinaryIO) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    def run(self) -> None:
        """Load the model, then decode until the input is closed."""
        first = pipes.read(self._incoming)
        if first is None:
            return
        spec: dict[str, Any] = json.loads(first.body)
        try:
            self._decoder = load(spec)
        except (RuntimeError, ValueError, OSError) as error:
            self._send(Kind.FAILED, {"message": str(error)})
            return
        self._noise = int(spec.get("noise", 0))
        self._search = self._decoder.current_search()
        self._cmn = _numbers(self._decoder.get_cmn(False))
        self._decode(with_noise(np.zeros(ASR_RATE, np.int16), 100), 0)  # the first utterance would be heard otherwise
        self._send(Kind.READY, {})
        while frame := pipes.read(self._incoming):
            if frame.kind is Kind.HEAR:
                self._hear(frame.body)

    def _hear(self, body: bytes) -> None:
        (partial_steps,) = struct.unpack_from("<I", body)
        samples = with_noise(np.frombuffer(body, np.int16, offset=4), self._noise)
        self._send(Kind.RESULT, self._decode(samples, partial_steps) if len(samples) else _NOTHING)

    def _decode(self, samples: Samples, partial_steps: int) -> dict[str, Any]:
        self._measure_channel(samples)
        self._forget_noise()
        self._decoder.start_utt()
        stopped = self._feed(samples, partial_steps)
        self._decoder.end_utt()
        return {"stopped": True} if stopped else outcome(self._decoder)

    def _measure_channel(self, samples: Samples) -> None:
        """Set the cepstral mean to that of the first seconds of this very utterance.

        Without it one speaker's microphone would shape the next one's text, and short utterances are heard much worse.
        The mean is taken while searching for one word, which costs almost nothing.
        """
        self._forget_noise()
        self._decoder.set_cmn(_text_of(self._cmn))
        self._decoder.activate_search(_CHANNEL_SEARCH)
        self._decoder.start_utt()
        self._decoder.process_raw(samples[:_CHANNEL_SAMPLES].tobytes())
        mixed, frames = _numbers(self._decoder.get_cmn(True)), self._decoder.n_frames()
        self._decoder.end_utt()
        self._decoder.set_cmn(_text_of(own_mean(self._cmn, mixed, frames)))
        self._decoder.activate_search(self._search)

    def _forget_noise(self) -> None:
        with warnings.catch_warnings(action="ignore"):  # said to be unnecessary, but nothing else resets it
            self._decoder.start_stream()

    def _feed(self, samples: Samples, partial_steps: int) -> bool:
        """Decode step by step; tell whether a STOP came."""
        last = ""
        for step, at in enumerate(range(0, len(samples), STEP_SAMPLES), 1):
            self._decoder.process_raw(samples[at : at + STEP_SAMPLES].tobytes())
            if self._stop_asked():
                return True
            if partial_steps and step % partial_steps == 0:
                last = self._partial(last)
        return False

    def _partial(self, last: str) -> str:
        found = self._decoder.hyp()
        text = found.hypstr if found else ""
        if text != last:
            self._outgoing.write(pipes.pack(Kind.PARTIAL, text.encode()))
            self._outgoing.flush()
        return text

    def _stop_asked(self) -> bool:
        readable, _, _ = select.select([self._incoming], [], [], 0)
        if not readable:
            return False
        frame = pipes.read(self._incoming)
        return frame is None or frame.kind is Kind.STOP

    def _send(self, kind: Kind, value: dict[str, Any]) -> None:
        self._outgoing.write(pipes.pack(kind, json.dumps(value).encode()))
        self._outgoing.flush()


def load(spec: dict[str, Any]) -> Any:  # noqa: ANN401 - pocketsphinx has no types
    """Make the decoder that a specification asks for.

    :raises RuntimeError: pocketsphinx could not read the model.
    """
    decoder = pocketsphinx.Decoder(loglevel="FATAL", **spec["parameters"])
    if grammar := spec.get("grammar"):
        decoder.add_jsgf_string(_SEARCH, grammar)
        decoder.activate_search(_SEARCH)
    one_word = f"#JSGF V1.0;\ngrammar word;\npublic <word> = {spec['any_word']};\n"
    decoder.add_jsgf_string(_CHANNEL_SEARCH, one_word)
    return decoder


def with_noise(samples: Samples, level: int) -> Samples:
    """Lay the same quiet noise under every utterance: digital silence has no spectrum to compare with."""
    if not level:
        return samples
    noise = np.random.default_rng(1).normal(0, level, len(samples))
    return np.clip(samples + noise, -32768, 32767).astype(np.int16)


def own_mean(prior: Numbers, mixed: Numbers, frames: int) -> Numbers:
    """Take the prior out of a running mean, which counts it as so many frames; what is left is the utterance's own."""
    if not frames:
        return prior
    return mixed + (_PRIOR_FRAMES / frames) * (mixed - prior)


def _numbers(text: str) -> Numbers:
    return np.array([float(number) for number in text.split(",")])


def _text_of(numbers: Numbers) -> str:
    return ",".join(f"{number:.4f}" for number in numbers)


def outcome(decoder: Any) -> dict[str, Any]:  # noqa: ANN401 - pocketsphinx has no types
    """Read what was heard: text, words with samples, and the mean log score of a thousand frames."""
    found = decoder.hyp()
    frames = max(1, decoder.n_frames())
    if found is None or not found.hypstr:
        return _NOTHING
    words = [
        [segment.word, segment.start_frame * _FRAME_SAMPLES, (segment.end_frame + 1) * _FRAME_SAMPLES]
        for segment in decoder.seg()
        if not segment.word.startswith(("<", "["))
    ]
    return {"text": found.hypstr, "fit": math.log(max(found.score, 1e-300)) / frames * 1000, "words": words}


def main() -> None:
    """Serve the decoder on standard input and output."""
    with open(os.dup(0), "rb", buffering=0) as incoming, open(os.dup(1), "wb") as outgoing:  # noqa: PTH123
        DecoderProcess(_Whole(incoming), outgoing).run()


class _Whole:
    """Read whole bodies without reading ahead, so that ``select`` tells the truth."""

    def __init__(self, raw: Any) -> None:  # noqa: ANN401 - a raw file
        self._raw = raw

    def read(self, size: int) -> bytes:
        """Read ``size`` bytes, fewer only at the end of the input."""
        parts = bytearray()
        while len(parts) < size and (part := self._raw.read(size - len(parts))):
            parts += part
        return bytes(parts)

    def fileno(self) -> int:
        """Name the file for ``select``."""
        return int(self._raw.fileno())


if __name__ == "__main__":
    main()
