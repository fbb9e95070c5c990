from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lingua_state.client import RedisSettings, Store, open_store
from lingua_state.errors import StoreRefused
from lingua_state.server import Finding, check_server, judge, judge_profile, ping_ms, read_info

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kit.redis_servers import Server

GOOD = {
    "redis_version": "7.2.4",
    "server_name": "valkey",
    "valkey_version": "9.1.2",
    "maxmemory_policy": "noeviction",
    "aof_enabled": "1",
    "role": "master",
    "cluster_enabled": "0",
}


def codes(findings: list[Finding]) -> dict[str, str]:
    return {finding.code: finding.level for finding in findings}


@asynccontextmanager
async def changed(store: Store, name: str, value: str) -> AsyncIterator[None]:
    before = (await store.call("CONFIG", "GET", name))[name]
    await store.call("CONFIG", "SET", name, value)
    try:
        yield
    finally:
        await store.call("CONFIG", "SET", name, before)


async def test_the_servers_we_test_on_have_no_error_and_say_what_they_lack(store: Store) -> None:
    found = codes(await check_server(store))
    assert "error" not in found.values()
    assert found["not_persistent"] == "warning"
    assert 0 < await ping_ms(store) < 1000


async def test_a_server_that_throws_keys_away_is_an_error(store: Store) -> None:
    async with changed(store, "maxmemory-policy", "allkeys-lru"):
        findings = await check_server(store)
    assert findings[0].code == "eviction"
    assert findings[0].level == "error"
    assert "allkeys-lru" in findings[0].message


async def test_a_persistent_server_is_not_warned_of(store: Store) -> None:
    async with changed(store, "appendonly", "yes"):
        assert "not_persistent" not in codes(await check_server(store))


async def test_a_replica_is_an_error(valkey_store: Store) -> None:
    await valkey_store.redis.replicaof("127.0.0.1", "1")
    try:
        assert codes(await check_server(valkey_store))["replica"] == "error"
    finally:
        await valkey_store.redis.replicaof("NO", "ONE")


async def test_cluster_mode_without_a_cell_is_an_error_and_with_one_is_none(server: Server) -> None:
    for cell in ("", "c0"):
        store = await open_store(RedisSettings(url=server.url, cell=cell))
        try:
            found = codes(await check_server(store))
        finally:
            await store.close()
        assert ("no_cell" in found) == (server.kind == "cluster" and not cell)


async def with_user(server: Server, store: Store, *rules: str) -> Store:
    await store.call("ACL", "SETUSER", "small", "reset", "on", ">pw", "~*", *rules)
    url = server.url.replace("redis://", "redis://small:pw@")
    return await open_store(RedisSettings(url=url, cell=server.cell, retry_budget_ms=200))


async def test_a_user_who_may_not_look_is_a_warning(server: Server, store: Store) -> None:
    small = await with_user(server, store, "+ping", "+script", "+evalsha", "+time", "+zrangebyscore")
    try:
        assert codes(await check_server(small)) == {"cannot_look": "warning"}
    finally:
        await small.close()


async def test_a_user_who_may_not_run_scripts_is_an_error(server: Server, store: Store) -> None:
    small = await with_user(server, store, "+ping", "+info")
    try:
        assert codes(await check_server(small))["scripts_refused"] == "error"
    finally:
        await small.close()


async def test_a_wrong_password_is_refused_and_told_without_it(server: Server, store: Store) -> None:
    await store.call("ACL", "SETUSER", "small", "reset", "on", ">pw", "~*", "+@all")
    with pytest.raises(StoreRefused) as told:
        await open_store(RedisSettings(url=server.url.replace("redis://", "redis://small:s3cret@")))
    assert "WRONGPASS" in str(told.value)
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize(
    ("changes", "code", "level"),
    [
        ({"valkey_version": "7.2.5"}, "too_old", "error"),
        ({"server_name": "redis", "valkey_version": None, "redis_version": "6.2.14"}, "too_old", "error"),
        ({"server_name": "redis", "valkey_version": None, "redis_version": ""}, "too_old", "error"),
        ({"server_name": "redis", "valkey_version": None, "redis_version": "7.0.15"}, "known_hole", "warning"),
        ({"server_name": "redis", "valkey_version": None, "redis_version": "8.6.2"}, "known_hole", "warning"),
        ({"valkey_version": "8.1.3"}, "known_hole", "warning"),
        ({"maxmemory_policy": "volatile-ttl"}, "eviction", "error"),
        ({"aof_enabled": "0"}, "not_persistent", "warning"),
        ({"aof_last_write_status": "err"}, "cannot_save", "warning"),
        ({"rdb_last_bgsave_status": "err"}, "cannot_save", "warning"),
        ({"role": "slave"}, "replica", "error"),
        ({"cluster_enabled": "1"}, "no_cell", "error"),
    ],
)
def test_each_fault_has_its_own_finding(changes: dict[str, str | None], code: str, level: str) -> None:
    info = {name: value for name, value in (GOOD | changes).items() if value is not None}
    found = list(judge(info, cell=""))
    assert codes(found) == {code: level}
    assert all(finding.message and finding.remedy for finding in found)


@pytest.mark.parametrize("version", ["8.0.6", "8.1.4", "9.0.0", "9.1.2"])
def test_a_good_server_has_no_finding(version: str) -> None:
    assert list(judge(GOOD | {"valkey_version": version}, cell="")) == []


def test_redis_that_is_mended_has_no_finding() -> None:
    info = {name: value for name, value in GOOD.items() if name not in ("server_name", "valkey_version")}
    assert list(judge(info | {"redis_version": "8.6.3"}, cell="")) == []


def test_info_is_read_without_its_headings() -> None:
    assert read_info("# Server\r\nredis_version:7.0.1\r\nos:Linux: 6\r\n\r\n") == {
        "redis_version": "7.0.1",
        "os": "Linux: 6",
    }


SENTINELS = "redis+sentinel://a,b,c/lingua"
FIT = {"aof_enabled": "1", "connected_slaves": "2", "min_slaves_good_slaves": "2"}


def profile_codes(url: str, info: dict[str, str], **settings: Any) -> dict[str, str]:
    found = judge_profile(info, RedisSettings(url=url, **settings))
    return {finding.code: finding.level for finding in found}


def test_a_server_that_is_fit_for_its_profile_has_no_findings() -> None:
    assert profile_codes(SENTINELS, FIT, profile="durable") == {}
    assert profile_codes("redis://a", {"aof_enabled": "1"}) == {}


def test_sentinels_without_the_durable_profile_are_told() -> None:
    assert profile_codes(SENTINELS, FIT) == {"not_durable": "warning"}


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"aof_enabled": "0"}, {"not_persistent_durable": "error"}),
        ({"connected_slaves": "0"}, {"replica_away": "warning"}),
        ({"connected_slaves": "1"}, {"no_spare_replica": "warning"}),
    ],
)
def test_each_lack_of_a_durable_server_is_told(change: dict[str, str], finding: dict[str, str]) -> None:
    assert profile_codes(SENTINELS, FIT | change, profile="durable") == finding


def test_a_primary_that_writes_without_replicas_is_an_error() -> None:
    info = {name: value for name, value in FIT.items() if name != "min_slaves_good_slaves"}
    assert profile_codes(SENTINELS, info, profile="durable") == {"no_min_replicas": "error"}


def test_one_address_needs_somebody_who_leads_it() -> None:
    assert profile_codes("redis://a", FIT, profile="durable") == {"one_address": "error"}
    assert profile_codes("redis://a", FIT, profile="durable", fixed_address=True) == {"fixed_address": "warning"}
