"""Secrets from files, and passwords of any characters in an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingua_operator import settings as operator_settings
from lingua_scheduler import settings as scheduler_settings
from lingua_state.routes import read_address
from lingua_state.secret_files import SecretFileError, read_secret, with_passwords

if TYPE_CHECKING:
    from pathlib import Path

PASSWORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)
URLS = st.sampled_from(
    [
        "redis://h:1/0", "redis://u@h:1/0", "redis://u:old@h/2", "rediss://h?ssl_ca_certs=/a", "unix:///tmp/s?db=1",
        "redis+cluster://a:1,b:2", "redis+sentinel://u@a,b:2/main/1",
    ]
)  # fmt: skip


@given(URLS, PASSWORDS)
def test_a_password_of_any_characters_is_read_back_and_changes_nothing_else(url: str, password: str) -> None:
    before, after = read_address(url), read_address(with_passwords(url, password, ""))
    assert after.password == password
    assert (after.kind, after.endpoints, after.service, after.db, after.tls, after.options) == (
        before.kind, before.endpoints, before.service, before.db, before.tls, before.options,
    )  # fmt: skip
    assert (after.username or None) == (before.username or None)


@given(PASSWORDS, PASSWORDS)
def test_the_sentinels_get_their_own(password: str, theirs: str) -> None:
    read = read_address(with_passwords("redis+sentinel://a/main?sentinel_username=u", password, theirs))
    assert (read.password, read.asking) == (password, {"username": "u", "password": theirs})


def test_nothing_is_changed_where_there_is_no_password() -> None:
    assert with_passwords("redis://u:p@h:1/0?x=1", "", "") == "redis://u:p@h:1/0?x=1"


def test_a_file_is_read_without_the_line_feed_that_editors_leave(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("  swordfish\n")
    assert read_secret("LINGUA_X", {"LINGUA_X_FILE": str(file)}) == "swordfish"
    assert read_secret("LINGUA_X", {"LINGUA_X": "plain"}) is None


def test_a_secret_given_twice_or_not_there_is_told_without_it(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"\xff\xfe")
    for environment, told in (
        ({"LINGUA_X": "canary", "LINGUA_X_FILE": str(file)}, "LINGUA_X and LINGUA_X_FILE are both set: keep one"),
        ({"LINGUA_X_FILE": "/nowhere/x"}, "LINGUA_X_FILE='/nowhere/x': No such file or directory"),
        ({"LINGUA_X_FILE": str(file)}, f"LINGUA_X_FILE={str(file)!r}: it is no text"),
    ):
        with pytest.raises(SecretFileError) as caught:
            read_secret("LINGUA_X", environment)
        assert str(caught.value) == told


def test_every_secret_of_the_scheduler_may_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = scheduler_settings.secret_variables()
    assert {variable for variable, _, _ in secrets} >= {"LINGUA_REDIS_PASSWORD", "LINGUA_AUTH_NODE_SECRET"}
    for variable, _, _ in secrets:
        (tmp_path / variable).write_text(f"redis://of-{variable.lower()}\n")
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / variable))
    monkeypatch.setenv("LINGUA_REDIS_PREFIX", "kept")
    read = scheduler_settings.load_settings()
    for variable, group, name in secrets:
        assert getattr(getattr(read, group), name).get_secret_value() == f"redis://of-{variable.lower()}"
    assert read.redis.prefix == "kept"
    assert not [name for name in scheduler_settings.unknown_variables() if name.endswith("_FILE")]


def test_programs_say_which_file_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINGUA_REDIS_URL_FILE", "/nowhere/url")
    monkeypatch.delenv("LINGUA_REDIS_URL", raising=False)
    with pytest.raises(scheduler_settings.SettingsError, match="LINGUA_REDIS_URL_FILE='/nowhere/url'"):
        scheduler_settings.load_settings()
    with pytest.raises(operator_settings.SettingsError, match="LINGUA_REDIS_URL_FILE='/nowhere/url'"):
        operator_settings.load_settings()


def test_both_programs_put_the_same_address_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text("p@ss/word?")
    monkeypatch.setenv("LINGUA_REDIS_URL", "rediss://lingua@h:6380/0")
    monkeypatch.setenv("LINGUA_REDIS_PASSWORD_FILE", str(tmp_path / "password"))
    address = "rediss://lingua:p%40ss%2Fword%3F@h:6380/0"
    assert scheduler_settings.load_settings().redis.address() == address
    assert operator_settings.load_settings().redis.address() == address
