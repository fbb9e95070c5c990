"""Speech for tests: a detector that reads its verdict from the bytes, and real sound from espeak-ng."""

from __future__ import annotations

import array
import functools
import io
import math
import random
import subprocess
import wave
from fractions import Fraction
from typing import TYPE_CHECKING

from lingua_scheduler.sessions.voice import Heard
from lingua_wire import plan_a

if TYPE_CHECKING:
    from lingua_scheduler.sessions.voice import Payload

#: Samples that one byte of scripted audio stands for: 10 ms at 16 kHz.
BYTE_SAMPLES = 160
SPEECH = ord("S")


class ScriptedDetector:
    """Take each byte for 10 ms: ``S`` is speech, any other is silence."""

    sample_rate = 16_000

    def __init__(self) -> None:
        self._silence = 0

    def hear(self, payload: Payload) -> Heard:
        """Judge a chunk at its word."""
        text = bytes(payload)
        speech = text.count(SPEECH)
        tail = len(text) - 1 - text.rfind(SPEECH) if speech else len(text)
        self._silence = tail if speech else self._silence + tail
        return Heard(len(text) * BYTE_SAMPLES, speech * BYTE_SAMPLES, self._silence * BYTE_SAMPLES)

    def pass_over(self, payload: Payload) -> Heard:
        """Judge it all the same: what is passed over is never looked at."""
        return self.hear(payload)


@functools.cache
def spoken(text: str) -> array.array[int]:
    """Speak English with espeak-ng: 16-bit samples at 16 kHz."""
    done = subprocess.run(["espeak-ng", "--stdout", text], capture_output=True, check=True)
    with wave.open(io.BytesIO(done.stdout)) as sound:
        rate = sound.getframerate()
        samples = array.array("h", sound.readframes(30 * rate))
    step = rate / 16_000
    return array.array("h", (samples[int(at * step)] for at in range(int(len(samples) / step))))


def silence(seconds: float) -> array.array[int]:
    """Give digital silence at 16 kHz."""
    return array.array("h", bytes(int(seconds * 16_000) * 2))


def noise(level_dbfs: float, seconds: float, seed: int = 1) -> array.array[int]:
    """Give white noise of a level (RMS) at 16 kHz."""
    source, amplitude = random.Random(seed), 32_768 * 10 ** (level_dbfs / 20)
    return array.array("h", (_clip(source.gauss(0, amplitude)) for _ in range(int(seconds * 16_000))))


def tone(hertz: float, level_dbfs: float, seconds: float) -> array.array[int]:
    """Give a sine wave at 16 kHz."""
    amplitude, turn = 32_768 * 10 ** (level_dbfs / 20), 2 * math.pi * hertz / 16_000
    return array.array("h", (_clip(amplitude * math.sin(turn * at)) for at in range(int(seconds * 16_000))))


def mixed(one: array.array[int], other: array.array[int]) -> array.array[int]:
    """Lay two sounds over each other, as long as the shorter one."""
    return array.array("h", (_clip(a + b) for a, b in zip(one, other, strict=False)))


def plan_a_packets(pcm: array.array[int], application: str = "voip") -> list[bytes]:
    """Encode 16 kHz samples as Opus packets of 20 ms with libopus."""
    import av

    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 16_000, "mono", "s16"
    encoder.bit_rate, encoder.time_base = 24_000, Fraction(1, 16_000)
    encoder.options = {"application": application, "frame_duration": "20"}
    packets: list[bytes] = []
    for at in range(0, len(pcm) - 319, 320):
        frame = av.AudioFrame(format="s16", layout="mono", samples=320)
        frame.sample_rate, frame.pts = 16_000, at
        frame.planes[0].update(pcm[at : at + 320].tobytes())
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets


def plan_a_chunks(pcm: array.array[int], packets_per_chunk: int = 5, application: str = "voip") -> list[bytes]:
    """Encode 16 kHz samples as Plan A payloads."""
    packets = plan_a_packets(pcm, application)
    return [plan_a.join(packets[at : at + packets_per_chunk]) for at in range(0, len(packets), packets_per_chunk)]


def pcm_chunks(pcm: array.array[int], chunk_ms: int = 100) -> list[bytes]:
    """Cut 16 kHz samples into chunks of bytes."""
    data, size = pcm.tobytes(), chunk_ms * 32
    return [data[at : at + size] for at in range(0, len(data), size)]


def _clip(value: float) -> int:
    return max(-32_768, min(32_767, int(value)))
