from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kit.wire_messages import ALL
from lingua_wire import limits
from lingua_wire.catalogue import CATALOGUE, Direction
from lingua_wire.codec import decode, encode, encode_text, excerpt
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError
from lingua_wire.session_messages import AsrPartial, Error, SessionClose

DIRECTIONS = st.sampled_from(list(Direction))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)
HEARTBEAT = '{"type":"client_heartbeat","session_id":"s","timestamp":1'


def refusal(raw: str | bytes, direction: Direction = Direction.FROM_CLIENT) -> WireError:
    with pytest.raises(WireError) as caught:
        decode(raw, direction)
    return caught.value


def read_or_refuse(raw: str | bytes, direction: Direction) -> WireError | None:
    try:
        decode(raw, direction)
    except WireError as error:
        return error
    return None


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "hello",
        "null",
        "[]",
        '"text"',
        "{",
        HEARTBEAT + "}}",
        HEARTBEAT + ',"x":NaN}',
        HEARTBEAT + ',"x":Infinity}',
        HEARTBEAT + ',"x":-Infinity}',
        HEARTBEAT + ',"x":1e999}',
        HEARTBEAT + ',"x":"\\ud800"}',
        HEARTBEAT + ',"x":"\\udc00\\ud800"}',
        HEARTBEAT + ',"x":"\ud800"}',
        HEARTBEAT + ',"x":"a\nb"}',
        HEARTBEAT.encode() + b',"x":"\xff"}',
        HEARTBEAT.encode() + b',"x":"\xed\xa0\x80"}',
        b"\xef\xbb\xbf" + HEARTBEAT.encode() + b"}",
        b"\x00\x01",
    ],
)
def test_what_is_not_json_of_this_protocol_ends_the_connection_with_1007(raw: str | bytes) -> None:
    error = refusal(raw)
    assert (error.code, error.close, error.fatal) == (ErrorCode.INVALID_MESSAGE, CloseCode.BAD_DATA, True)


@pytest.mark.parametrize(
    "fields",
    [
        ',"timestamp":1',
        ',"timestamp":"2"',
        ',"x":1,"x":1',
        ',"x":{"a":1,"a":2}',
        ',"x":[{"a":"b","a":"b"}]',
        ',"x":"\\"","x":"\\""',
        ',"x":"\\u0022","timestamp":1',
        ',"\\u0074imestamp":1',
        ',"x":"\\\\","x":"\\\\"',
    ],
)
def test_a_key_given_twice_is_refused(fields: str) -> None:
    assert refusal(HEARTBEAT + fields + "}").message == "a key stands twice in one object"


def test_a_key_given_twice_is_found_in_a_long_message_too() -> None:
    audio = "A" * 100_000
    chunk = f'{{"type":"audio_chunk","session_id":"s","seq":1,"is_final":true,"payload":"{audio}"'
    assert refusal(chunk + ',"seq":2}').message == "a key stands twice in one object"
    decode(chunk + "}", Direction.FROM_CLIENT)


@pytest.mark.parametrize("text", ['say "hi"', "\\", '\\"', '"', "\u2028", "héllo ☃ 😀", "\x7f", ""])
def test_any_text_is_read_as_it_was_written(text: str) -> None:
    message = SessionClose(session_id="s", reason=text)
    assert decode(encode(message), Direction.FROM_CLIENT) == message
    assert decode(encode_text(message), Direction.FROM_CLIENT) == message
    assert (
        decode(json.dumps({"type": "session_close", "session_id": "s", "reason": text}), Direction.FROM_CLIENT)
        == message
    )


@pytest.mark.parametrize("opening", ['{"x":', "["])
@pytest.mark.parametrize("depth", [limits.JSON_DEPTH, 500, 5_000])
def test_json_that_is_too_deep_is_refused(opening: str, depth: int) -> None:
    closing = "}" if opening.startswith("{") else "]"
    deep = HEARTBEAT + ',"x":' + opening * depth + "1" + closing * depth + "}"
    assert refusal(deep).close is CloseCode.BAD_DATA


def test_json_as_deep_as_allowed_is_read() -> None:
    depth = limits.JSON_DEPTH - 1
    decode(HEARTBEAT + ',"x":' + "[" * depth + "]" * depth + "}", Direction.FROM_CLIENT)
    assert refusal(HEARTBEAT + ',"x":' + "[" * (depth + 1) + "]" * (depth + 1) + "}").close is CloseCode.BAD_DATA


@pytest.mark.parametrize("raw", ["{}", '{"type":null}', '{"type":5}', '{"type":["session_close"]}', '{"type":{}}'])
def test_a_message_without_a_type_is_refused_and_the_connection_goes_on(raw: str) -> None:
    error = refusal(raw)
    assert (error.code, error.fatal) == (ErrorCode.INVALID_MESSAGE, False)


def test_an_unknown_type_is_named_safely() -> None:
    error = refusal('{"type":"<b>\\u0000 my secret words ' + "x" * 500 + '"}')
    assert (error.code, error.fatal) == (ErrorCode.UNKNOWN_MESSAGE, False)
    assert error.message == "there is no message ?b???my?secret?words?xxxxxxxxxxxxxxxxxxx... from client to scheduler"


def test_only_audio_makes_a_message_of_a_client_longer() -> None:
    long = "x" * limits.JSON_BYTES
    error = refusal(HEARTBEAT + f',"x":"{long}"}}')
    assert (error.code, error.close) == (ErrorCode.TOO_LARGE, CloseCode.TOO_BIG)
    audio = "A" * limits.JSON_BYTES
    decode(
        f'{{"type":"audio_chunk","session_id":"s","seq":1,"is_final":true,"payload":"{audio}"}}', Direction.FROM_CLIENT
    )


@pytest.mark.parametrize(
    ("direction", "limit"),
    [(Direction.FROM_CLIENT, limits.JSON_AUDIO_BYTES), (Direction.FROM_NODE, limits.NODE_JSON_BYTES)],
)
def test_one_byte_over_the_limit_is_too_large(direction: Direction, limit: int) -> None:
    whole = f'{{"type":"x","audio":"{"A" * (limit - 23)}"}}'
    assert len(whole) == limit
    assert refusal(whole, direction).code is ErrorCode.UNKNOWN_MESSAGE
    assert refusal(whole + " ", direction).code is ErrorCode.TOO_LARGE


def test_the_size_counts_bytes_and_not_characters() -> None:
    assert refusal('{"x":"' + "é" * (limits.JSON_AUDIO_BYTES // 2) + '"}').code is ErrorCode.TOO_LARGE


def test_a_limit_of_the_caller_counts() -> None:
    with pytest.raises(WireError, match="a message may have 10 bytes"):
        decode(HEARTBEAT + "}", Direction.FROM_CLIENT, max_bytes=10)


def test_a_flood_of_tiny_values_is_refused_before_it_is_parsed() -> None:
    flood = HEARTBEAT + ',"payload":"A","x":[' + "0," * limits.JSON_COMMAS + "0]}"
    assert refusal(flood).message == f"more than {limits.JSON_COMMAS} values"


def test_a_lone_surrogate_of_our_own_is_an_error_of_ours() -> None:
    with pytest.raises(WireError, match="not valid Unicode"):
        encode({"type": "error", "code": "X", "message": "\ud800"})


def test_a_mapping_is_written_as_it_is() -> None:
    assert (
        encode({"type": "error", "code": ErrorCode.DRAINING, "x": None})
        == b'{"type":"error","code":"DRAINING","x":null}'
    )


def test_codes_are_written_as_their_names() -> None:
    assert encode(Error(code=ErrorCode.DRAINING, message="")) == b'{"type":"error","code":"DRAINING","message":""}'


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "x" * 1000, "ünï", "{}", 5, ""])
def test_an_excerpt_is_short_and_plain(name: object) -> None:
    plain = excerpt(name)
    assert plain.isascii()
    assert plain.isprintable()
    assert len(plain) <= 43


@given(raw=st.binary(max_size=200) | st.text(max_size=200), direction=DIRECTIONS)
def test_any_bytes_are_read_or_refused(raw: str | bytes, direction: Direction) -> None:
    assert read_or_refuse(raw, direction) is not None


@given(value=JSON, direction=DIRECTIONS)
def test_any_json_is_read_or_refused(value: object, direction: Direction) -> None:
    assert read_or_refuse(json.dumps(value), direction) is not None


@given(st.data())
def test_a_spoiled_message_is_read_or_refused(data: st.DataObject) -> None:
    direction, original = data.draw(st.sampled_from(ALL))
    field = data.draw(st.sampled_from(list(original)))
    value = data.draw(JSON)
    error = read_or_refuse(json.dumps({**original, field: value}), direction)
    assert error is None or not (error.fatal and field != "type")


@given(st.data())
def test_a_cut_or_flipped_message_is_read_or_refused(data: st.DataObject) -> None:
    direction, original = data.draw(st.sampled_from(ALL))
    raw = bytearray(json.dumps(original).encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    read_or_refuse(bytes(raw), direction)
    read_or_refuse(bytes(raw[: data.draw(st.integers(0, len(raw)))]), direction)


@given(text=st.text(), tentative=st.text())
def test_reading_and_writing_agree(text: str, tentative: str) -> None:
    message = AsrPartial(
        session_id="s", utterance_index=0, job_id="j", text=text, is_final=False, trace_id="t", tentative=tentative
    )
    assert decode(encode(message), Direction.TO_CLIENT) == message


@given(pairs=st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=6))
def test_a_key_counts_as_repeated_exactly_when_it_is(pairs: list[tuple[str, str]]) -> None:
    names = [name for name, _ in pairs]
    assume("type" not in names)
    body = "".join(f",{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs)
    error = refusal('{"type":"x"' + body + "}")
    repeated = len(set(names)) < len(names)
    assert (error.message == "a key stands twice in one object") is repeated


@given(spoken=st.text("qxz", min_size=4, max_size=30), data=st.data())
def test_no_value_of_a_peer_is_in_an_error(spoken: str, data: st.DataObject) -> None:
    direction, original = data.draw(st.sampled_from(ALL))
    fields = list(CATALOGUE[direction][original["type"]].model_fields)
    spoiled: dict[str, Any] = {
        **original,
        data.draw(st.sampled_from(fields)): data.draw(st.sampled_from([spoken, [spoken]])),
    }
    error = read_or_refuse(json.dumps(spoiled), direction)
    assert error is None or spoken not in str(error)
