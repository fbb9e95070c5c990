from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from kit.wire_messages import ALL, EXAMPLES
from lingua_wire.catalogue import CATALOGUE, Direction
from lingua_wire.codec import decode, encode
from lingua_wire.codes import ErrorCode
from lingua_wire.errors import WireError

EVERY = pytest.mark.parametrize(
    ("direction", "example"), ALL, ids=[f"{direction.name}-{example['type']}" for direction, example in ALL]
)
STRANGE: list[Any] = [{"a": {}}, [[]], True, "\x00 {strange}", 1.5, -1, 10**30]


def read(direction: Direction, example: dict[str, Any]) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(encode(decode(json.dumps(example), direction)))
    return written


def refusal(direction: Direction, example: dict[str, Any]) -> WireError | None:
    try:
        decode(json.dumps(example), direction)
    except WireError as error:
        return error
    return None


def test_every_message_of_the_catalogue_has_an_example_with_all_its_fields() -> None:
    for direction, models in CATALOGUE.items():
        assert list(EXAMPLES[direction]) == list(models)
        for name, model in models.items():
            assert set(EXAMPLES[direction][name]) == set(model.model_fields), name


@EVERY
def test_a_message_comes_back_as_it_was_written(direction: Direction, example: dict[str, Any]) -> None:
    present = {name: value for name, value in example.items() if value is not None}
    assert read(direction, example) == present


@EVERY
def test_the_type_is_written_first(direction: Direction, example: dict[str, Any]) -> None:
    written = encode(decode(json.dumps(example), direction)).decode()
    assert written.startswith(f'{{"type":"{example["type"]}"')


@EVERY
def test_null_stands_for_every_absent_optional_field(direction: Direction, example: dict[str, Any]) -> None:
    model = CATALOGUE[direction][example["type"]]
    optional = [name for name, field in model.model_fields.items() if not field.is_required() and field.default is None]
    empty = {**example, **dict.fromkeys(optional)}
    if "audio_follows" in optional and "audio" in model.model_fields:
        empty["audio_follows"] = True
    assert not set(optional) - {"audio_follows"} & set(read(direction, empty))


@EVERY
def test_a_missing_field_is_named(direction: Direction, example: dict[str, Any]) -> None:
    model = CATALOGUE[direction][example["type"]]
    for name, field in model.model_fields.items():
        if field.is_required():
            lacking = {key: value for key, value in example.items() if key != name}
            with pytest.raises(WireError) as caught:
                decode(json.dumps(lacking), direction)
            assert caught.value.message == f"{example['type']}.{name}: is missing"
            assert caught.value.code is ErrorCode.INVALID_MESSAGE
            assert not caught.value.fatal


@EVERY
def test_a_value_of_a_strange_type_is_read_or_refused_by_name(direction: Direction, example: dict[str, Any]) -> None:
    for name in CATALOGUE[direction][example["type"]].model_fields:
        refusals = [refusal(direction, {**example, name: value}) for value in STRANGE]
        refused = [error for error in refusals if error]
        assert refused or name in {"details", "segments_meta"}
        assert all(f"{example['type']}.{name}" in error.message for error in refused)
        assert not any("strange" in error.message or error.fatal for error in refused)


@EVERY
def test_unknown_fields_are_ignored(direction: Direction, example: dict[str, Any]) -> None:
    assert read(direction, {**example, "x_later": {"deep": [1]}}) == read(direction, example)


@EVERY
def test_a_message_is_frozen(direction: Direction, example: dict[str, Any]) -> None:
    message = decode(json.dumps(example), direction)
    with pytest.raises(ValidationError):
        setattr(message, next(iter(type(message).model_fields)), None)


@pytest.mark.parametrize("value", ["1", 1.5, True, None, [1], -1, 2**53])
def test_only_a_whole_number_in_bounds_is_a_number(value: object) -> None:
    with pytest.raises(WireError, match=r"audio_chunk\.seq"):
        decode(
            json.dumps({"type": "audio_chunk", "session_id": "s", "seq": value, "is_final": True}),
            Direction.FROM_CLIENT,
        )


def test_a_whole_number_may_stand_for_a_fraction() -> None:
    usage = {"cpu_percent": 1, "mem_percent": 2.5}
    beat = {"type": "node_heartbeat", "node_id": "n", "timestamp": 1, "resource_usage": usage}
    assert read(Direction.FROM_NODE, beat)["resource_usage"] == usage


@pytest.mark.parametrize("bad", ["", "a b", "a,b", "{a}", "a\n", "é", "x" * 129])
def test_an_id_that_could_break_a_key_is_refused(bad: str) -> None:
    with pytest.raises(WireError, match="session_id: should be 1 to 128 letters"):
        decode(json.dumps({"type": "client_heartbeat", "session_id": bad, "timestamp": 1}), Direction.FROM_CLIENT)


@pytest.mark.parametrize("bad", ["", "e", "en us", "en:es", "en@t", "{en}", "en-", "123", "en\n", "x" * 40])
def test_a_language_that_could_break_a_key_is_refused(bad: str) -> None:
    with pytest.raises(WireError, match=r"tgt_lang: should (be a language code|have at most 35)"):
        decode(json.dumps({"type": "session_update", "session_id": "s", "tgt_lang": bad}), Direction.FROM_CLIENT)


@pytest.mark.parametrize(("field", "value"), [("audio_format", "mp3"), ("sample_rate", 1), ("sample_rate", 96_000)])
def test_audio_that_nobody_offers_has_its_own_code(field: str, value: object) -> None:
    example = {"type": "utterance", **EXAMPLES[Direction.FROM_CLIENT]["utterance"], field: value}
    with pytest.raises(WireError) as caught:
        decode(json.dumps(example), Direction.FROM_CLIENT)
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(
    ("direction", "name"), [(Direction.FROM_CLIENT, "utterance"), (Direction.TO_NODE, "job_assign")]
)
def test_speech_without_audio_is_refused_unless_frames_follow(direction: Direction, name: str) -> None:
    silent = {"type": name, **EXAMPLES[direction][name], "audio": None}
    with pytest.raises(WireError, match="audio is missing"):
        decode(json.dumps(silent), direction)
    assert read(direction, {**silent, "audio_follows": True})["audio_follows"] is True


def test_a_message_does_not_travel_the_wrong_way() -> None:
    result = {"type": "job_result", **EXAMPLES[Direction.FROM_NODE]["job_result"]}
    with pytest.raises(WireError) as caught:
        decode(json.dumps(result), Direction.FROM_CLIENT)
    assert caught.value.code is ErrorCode.UNKNOWN_MESSAGE


def test_lists_are_bounded() -> None:
    init = {"type": "session_init", **EXAMPLES[Direction.FROM_CLIENT]["session_init"], "extensions": ["x"] * 513}
    with pytest.raises(WireError, match=r"session_init\.extensions: .*at most 512 items"):
        decode(json.dumps(init), Direction.FROM_CLIENT)
