"""From answers and close codes to errors: every code has words and most have a remedy."""

from __future__ import annotations

import pytest

from lingua_client import refusals
from lingua_client.cli.exits import MEANINGS, ExitCode, exit_code
from lingua_client.errors import (
    AudioError,
    CannotReachError,
    LinguaError,
    NoCapacityError,
    NotFoundError,
    RefusedError,
    SessionEndedError,
)
from lingua_wire.codes import CODES, CloseCode


@pytest.mark.parametrize("close", list(CloseCode))
def test_every_close_code_becomes_an_error_of_the_wires_table(close: CloseCode) -> None:
    error = refusals.from_close(close)
    assert error.code in {code.value for code in CODES}
    assert error.message


def test_an_error_before_the_close_tells_more_than_the_close() -> None:
    error = refusals.from_close(CloseCode.BAD_SETTINGS, ("UNSUPPORTED_FORMAT", "only 16 kHz"))
    assert (error.code, error.message) == ("UNSUPPORTED_FORMAT", "only 16 kHz")
    assert isinstance(error, RefusedError)


def test_a_lost_connection_is_told_as_lost() -> None:
    error = refusals.from_close(0)
    assert error.code == "WS_DISCONNECTED"
    assert exit_code(error) is ExitCode.CANNOT_REACH


def test_a_problem_document_wins_over_its_status() -> None:
    error = refusals.from_status(404, {"code": "INVALID_SESSION", "detail": "no such session"})
    assert isinstance(error, NotFoundError)
    assert (error.code, error.message) == ("INVALID_SESSION", "no such session")


@pytest.mark.parametrize(
    ("status", "kind"), [(401, RefusedError), (404, NotFoundError), (429, RefusedError), (503, NoCapacityError)]
)
def test_a_status_alone_is_enough_for_the_kind(status: int, kind: type[LinguaError]) -> None:
    error = refusals.from_status(status, retry_after="7")
    assert type(error) is kind
    assert getattr(error, "retry_after_s", None) == (None if status == 404 else 7)


def test_each_kind_of_error_has_its_exit_code() -> None:
    errors = {
        CannotReachError("CANNOT_REACH", ""): ExitCode.CANNOT_REACH,
        NotFoundError("NOT_FOUND", ""): ExitCode.NOT_FOUND,
        NoCapacityError("NO_AVAILABLE_NODE", ""): ExitCode.REFUSED,
        RefusedError("UNAUTHENTICATED", ""): ExitCode.REFUSED,
        AudioError("BAD_AUDIO", ""): ExitCode.BAD_INPUT,
        SessionEndedError("INTERNAL_ERROR", ""): ExitCode.FAILED,
        LinguaError("USAGE", ""): ExitCode.USAGE,
    }
    assert {error: exit_code(error) for error in errors} == errors
    assert set(MEANINGS) == set(ExitCode)
