"""Fuzz every decoder of the wire with coverage guidance: ``python tests/wire/fuzz_decoders.py -max_total_time=30``.

The first byte of an input chooses the decoder. Whatever the rest is, only WireError may come out, and what is read must
come back the same when it is written. A finding is kept by libFuzzer as a file and repeated by naming that file.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import atheris

with atheris.instrument_imports(include=["lingua_wire"]):
    from lingua_wire import audio, codec, frames, plan_a
    from lingua_wire.catalogue import CATALOGUE, Direction
    from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Callable


def _message(direction: Direction) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        message = codec.decode(data, direction)
        assert codec.decode(codec.encode(message), direction) == message

    return read


def _fields(data: bytes) -> None:
    """Put any JSON into a field of any message: libFuzzer alone seldom finds its way to a whole message."""
    provider = atheris.FuzzedDataProvider(data)
    direction = provider.PickValueInList(list(Direction))
    name = provider.PickValueInList(list(CATALOGUE[direction]))
    field = provider.PickValueInList(list(CATALOGUE[direction][name].model_fields))
    value = provider.ConsumeBytes(len(data))
    codec.decode(b'{"type":"%s","%s":%s}' % (name.encode(), field.encode(), value or b"null"), direction)


def _text(data: bytes) -> None:
    codec.decode(data.decode("utf-16-le", "surrogatepass" if len(data) % 2 == 0 else "replace"), Direction.FROM_CLIENT)


def _frame(data: bytes) -> None:
    frame = frames.unpack(data)
    packed = frames.pack(
        frame.kind,
        frame.audio,
        index=frame.index,
        seq=frame.seq,
        samples=frame.samples,
        last=frame.last,
        key=frame.key,
    )
    assert packed == data


def _opus(data: bytes) -> None:
    assert 0 <= plan_a.packet_us(data) <= plan_a.MAX_PACKET_US
    plan_a.voice_flag(data)
    assert plan_a.join(plan_a.packets(data)) == data


def _wav(data: bytes) -> None:
    wav = audio.parse_wav(data)
    assert bytes(audio.parse_wav(audio.write_wav(wav.pcm, wav.sample_rate, wav.channels)).pcm) == bytes(wav.pcm)


def _base64(data: bytes) -> None:
    # Unused bits of the last character may be anything (RFC 4648 3.5), so the text need not come back, only the bytes.
    decoded = audio.decode_base64(data)
    assert audio.decode_base64(audio.encode_base64(decoded)) == decoded


DECODERS = [*map(_message, Direction), _fields, _text, _frame, _opus, _wav, _base64]


def fuzz(data: bytes) -> None:
    """Give one input to the decoder that its first byte names."""
    refusal = _refusal(DECODERS[data[0] % len(DECODERS)], data[1:]) if data else None
    assert refusal is None or refusal.message.isprintable()
    assert refusal is None or len(refusal.message) < 1000


def _refusal(decoder: Callable[[bytes], None], data: bytes) -> WireError | None:
    try:
        decoder(data)
    except WireError as error:
        return error
    return None


def main() -> None:
    """Fuzz until libFuzzer's own arguments say stop."""
    atheris.Setup(sys.argv, fuzz)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
