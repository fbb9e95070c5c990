from __future__ import annotations

import pytest

from lingua_wire.codes import CODES, NEVER_RETRY, CloseCode, ErrorCode
from lingua_wire.errors import WireError

BASE = {
    "INVALID_MESSAGE",
    "INTERNAL_ERROR",
    "INVALID_SESSION",
    "SESSION_CLOSED",
    "NODE_UNAVAILABLE",
    "NODE_OVERLOADED",
    "MODEL_NOT_AVAILABLE",
    "MODEL_LOAD_FAILED",
    "UNSUPPORTED_FEATURE",
    "INVALID_PAIRING_CODE",
    "NO_AVAILABLE_NODE",
    "WS_DISCONNECTED",
    "NMT_TIMEOUT",
    "TTS_TIMEOUT",
    "JOB_TIMEOUT",
    "MODEL_VERIFY_FAILED",
    "MODEL_CORRUPTED",
    "PROCESSING_ERROR",
    "NO_GPU_AVAILABLE",
    "NODE_ID_CONFLICT",
    "INVALID_CAPABILITY_SCHEMA",
    "SCHEDULER_DEPENDENCY_DOWN",
    "DUPLICATE_JOB_ID",
    "DUPLICATE_UTTERANCE_INDEX",
}


def test_every_code_has_a_row_and_every_row_a_code() -> None:
    assert set(CODES) == set(ErrorCode)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_a_row_is_fit_for_people_and_programs(code: ErrorCode) -> None:
    row = CODES[code]
    assert code.value == code.name
    assert 400 <= row.http_status < 600
    assert row.title[0].isupper()
    assert not row.title.endswith(".")


def test_the_codes_that_existing_peers_know_are_there() -> None:
    assert set(ErrorCode) >= BASE


def test_a_client_never_retries_what_would_be_refused_again() -> None:
    assert {int(code) for code in NEVER_RETRY} == {4401, 4403, 4415, 4422}


def test_an_error_is_fatal_exactly_when_it_names_a_close_code() -> None:
    assert not WireError(ErrorCode.OUT_OF_STATE, "x").fatal
    assert WireError(ErrorCode.OUT_OF_STATE, "x", close=CloseCode.BAD_DATA).fatal
