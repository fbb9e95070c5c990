"""The operator's settings: each has a default, a name that works, and a refusal that can be understood."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from kit.operators import variables
from lingua_operator.settings import SettingsError, fields, load_settings, unknown_variables

if TYPE_CHECKING:
    from pydantic import BaseModel


@pytest.mark.parametrize(("variable", "name", "model"), list(fields()))
def test_each_variable_is_read(variable: str, name: str, model: type[BaseModel]) -> None:
    default = model.model_fields[name].default
    given = str(default.get_secret_value() if isinstance(default, SecretStr) else default).lower()
    if isinstance(default, str) and default.isupper():
        given = default
    with variables({variable: given}):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LINGUA_OPERATOR_ADMISSION", "sometimes"),
        ("LINGUA_OPERATOR_NAMESPACES", "Not A Name"),
        ("LINGUA_OPERATOR_RESYNC_EVERY_MS", "-1"),
        ("LINGUA_OPERATOR_HTTP_PORT", "90000"),
        ("LINGUA_REDIS_PREFIX", "with space"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_what_was_given(variable: str, value: str) -> None:
    with variables({variable: value}), pytest.raises(SettingsError) as refused:
        load_settings()
    assert variable in str(refused.value)
    assert value in str(refused.value)


def test_a_lease_must_outlast_its_renewal() -> None:
    with (
        variables({"LINGUA_OPERATOR_STANDBY_RENEW_MS": "30000"}),
        pytest.raises(SettingsError, match="STANDBY_RENEW_MS"),
    ):
        load_settings()


def test_a_spelling_mistake_is_found() -> None:
    assert unknown_variables({"LINGUA_OPERATOR_NAMESPACE": "x", "LINGUA_REDIS_URL": "y"}) == [
        "LINGUA_OPERATOR_NAMESPACE"
    ]


def test_the_store_is_hidden() -> None:
    with variables({"LINGUA_REDIS_URL": "redis://:secret@nowhere:1/0"}):
        assert "secret" not in repr(load_settings())


def test_the_program_checks_its_settings_and_ends_with_a_sentence() -> None:
    with variables({"LINGUA_OPERATOR_ADMISSION": "never"}):
        done = subprocess.run(
            [sys.executable, "-m", "lingua_operator", "--check"], capture_output=True, text=True, check=False
        )
    assert done.returncode == 78
    assert "LINGUA_OPERATOR_ADMISSION='never'" in done.stderr
