"""Settings: every field can be set by its variable, and a bad value is told so that a person can mend it."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from lingua_scheduler import settings

FIELDS = sorted(settings.fields())
BAD = "not-a-\x00value"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, _, _ in FIELDS:
        monkeypatch.delenv(variable, raising=False)


def _value(loaded: settings.SchedulerSettings, variable: str, name: str) -> object:
    group = variable.removeprefix(settings.PREFIX).removesuffix(name.upper()).strip("_").lower()
    return getattr(getattr(loaded, group) if group else loaded, name)


@pytest.mark.parametrize(("variable", "name", "model"), FIELDS, ids=[field[0] for field in FIELDS])
def test_each_variable_sets_its_field(variable: str, name: str, model: type, monkeypatch: pytest.MonkeyPatch) -> None:
    default = _value(settings.load_settings(), variable, name)
    text = default.get_secret_value() if isinstance(default, SecretStr) else str(default)
    changed = str(default + 1) if isinstance(default, int | float) and default < 90 else text or "abc"
    changed = str(not default) if isinstance(default, bool) else changed
    changed = {"LINGUA_PEER_ADDRESS": "http://127.0.0.1:9", "LINGUA_AUDIO_RELEASE": "result"}.get(variable, changed)
    monkeypatch.setenv(variable, changed)
    loaded = _value(settings.load_settings(), variable, name)
    told = loaded.get_secret_value() if isinstance(loaded, SecretStr) else str(loaded)
    assert told == changed


@pytest.mark.parametrize(
    "variable",
    [variable for variable, name, model in FIELDS if model.model_fields[name].annotation not in (str, SecretStr)],
)
def test_a_bad_value_names_variable_and_value(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "nonsense!")
    with pytest.raises(settings.SettingsError) as caught:
        settings.load_settings()
    assert f"{variable}='nonsense!': " in str(caught.value)


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [v for v, name, model in FIELDS if model.model_fields[name].annotation is SecretStr]
    assert len(secrets) >= 4
    for variable in secrets:
        monkeypatch.setenv(variable, "canary-secret-of-32-characters-xx")
    assert "canary" not in repr(settings.load_settings())


def test_every_field_says_its_unit_or_what_it_is() -> None:
    units = ("_ms", "_bytes", "_percent", "ms", "bytes")
    plain = {"rate", "base_rate", "limit", "jobs", "kept", "attempts", "capacity", "port", "internal_port"}
    plain |= {"connections_per_address", "outbox_events", "queue_messages", "forwarded_hops", "pairing_tries"}
    plain |= {"classes", "new_classes", "changes", "crowd", "openings_per_s"}
    plain |= {"moves_per_s", "close_batch", "per_minute", "above_mean", "at_least", "replicas"}
    numbers = [
        name
        for _, name, model in FIELDS
        if isinstance(model.model_fields[name].default, int | float) and model.model_fields[name].annotation is not bool
    ]
    assert [name for name in numbers if not name.endswith(units) and name not in plain] == []


def test_a_misspelt_variable_of_a_group_is_found() -> None:
    given = {"LINGUA_CUT_PAUSE_MSX": "1", "LINGUA_CUT_PAUSE_MS": "1", "LINGUA_NODE_URL": "x", "LINGUA_URL": "y"}
    assert settings.unknown_variables(given) == ["LINGUA_CUT_PAUSE_MSX"]
