"""Every kind of address, against real servers: plain, Unix socket, TLS, Sentinel, cluster."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kit.certificates import make_certificate
from kit.eventually import PATIENCE_S, eventually
from kit.redis_servers import CLUSTER, redis_server
from lingua_state.client import RedisSettings, Store, open_store
from lingua_state.embedded import EmbeddedServer, free_port, launch, start
from lingua_state.epoch import ensure_epoch
from lingua_state.errors import StoreRefused, StoreUnavailable
from lingua_state.routes import Endpoint, read_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from kit.redis_servers import Server


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[Store]:
    store = await open_store(RedisSettings(url=url, **settings))
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def running(directory: Path, *options: str) -> Iterator[EmbeddedServer]:
    server = start(directory, program=redis_server(), options=options)
    try:
        yield server
    finally:
        server.stop()


async def both_ways(store: Store) -> None:
    """Prove that the shared connection and the plain client reach the same server."""
    epoch = await ensure_epoch(store)
    assert await store.redis.get(store.keys.epoch()) == epoch


async def test_a_plain_address_works_both_ways(server: Server) -> None:
    async with opened(server.url, cell=server.cell) as store:
        await both_ways(store)


async def test_a_database_of_its_own_is_used_both_ways(valkey: Server) -> None:
    async with opened(f"redis://127.0.0.1:{valkey.process.port}/3") as store:
        await both_ways(store)
    async with opened(valkey.url) as store:
        assert await store.call("DBSIZE") == 0


async def test_a_unix_socket_works_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with running(tmp_path / "data", "--unixsocket", str(path)):
        async with opened(f"unix://{path}") as store:
            await both_ways(store)


async def test_a_password_is_used_both_ways_and_is_not_shown(tmp_path: Path) -> None:
    with running(tmp_path, "--requirepass", "s3cret") as server:
        async with opened(f"redis://:s3cret@127.0.0.1:{server.port}") as store:
            await both_ways(store)
            assert "s3cret" not in repr(store)
        with pytest.raises(StoreRefused, match="NOAUTH"):
            async with opened(f"redis://127.0.0.1:{server.port}"):
                pass


async def test_tls_works_both_ways_and_a_stranger_is_not_trusted(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    tls_port = free_port()
    options = ["--tls-port", str(tls_port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    with running(tmp_path / "data", *options, "--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no"):
        async with opened(f"rediss://127.0.0.1:{tls_port}?ssl_ca_certs={certificate}") as store:
            await both_ways(store)
        with pytest.raises(StoreUnavailable, match="certificate"):
            async with opened(f"rediss://127.0.0.1:{tls_port}", retry_budget_ms=100):
                pass


async def test_a_cluster_address_finds_the_cells_primary_both_ways(servers: dict[str, Server]) -> None:
    server = servers[CLUSTER]
    server.flush()
    async with opened(f"redis+cluster://127.0.0.1:{server.process.port}", cell="c0") as store:
        await both_ways(store)


@contextmanager
def cluster_of_two(directory: Path) -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    def options() -> tuple[str, ...]:
        return ("--cluster-enabled", "yes", "--appendonly", "no", "--cluster-port", str(free_port()))

    with running(directory / "1", *options()) as one, running(directory / "2", *options()) as two:
        yield one, two


async def test_a_slot_that_moved_is_found_again(tmp_path: Path) -> None:
    with cluster_of_two(tmp_path) as (one, two):
        async with opened(one.url, cell="c0") as first, opened(two.url, cell="c0") as second:
            await form_cluster(first, second)
            slot = int(await first.call("CLUSTER", "KEYSLOT", first.keys.root))
            async with opened(f"redis+cluster://127.0.0.1:{one.port}", cell="c0") as store:
                await both_ways(store)
                await move_empty_slot(first, second, slot)
                assert await ensure_epoch(store) == await second.call("GET", store.keys.epoch())
                assert store.policy.retries > 0


async def form_cluster(first: Store, second: Store) -> None:
    await first.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    info = await second.call("INFO", "server")
    port = next(line.partition(":")[2] for line in info.splitlines() if line.startswith("tcp_port"))
    bus = (await second.call("CONFIG", "GET", "cluster-port"))["cluster-port"]
    await first.call("CLUSTER", "MEET", "127.0.0.1", port, bus)
    await eventually(lambda: all_know(2, first, second))


async def all_know(count: int, *stores: Store) -> bool:
    texts = [await store.call("CLUSTER", "INFO") for store in stores]
    return all(f"cluster_known_nodes:{count}" in text and "cluster_state:ok" in text for text in texts)


async def move_empty_slot(first: Store, second: Store, slot: int) -> None:
    await first.call("DEL", first.keys.epoch())
    there = await second.call("CLUSTER", "MYID")
    for store in (second, first):
        await store.call("CLUSTER", "SETSLOT", slot, "NODE", there)


@contextmanager
def primary_replica_sentinel(directory: Path) -> Iterator[tuple[EmbeddedServer, EmbeddedServer, EmbeddedServer]]:
    with (
        running(directory / "1", "--appendonly", "no") as one,
        running(directory / "2", "--appendonly", "no", "--replicaof", "127.0.0.1", str(one.port)) as two,
    ):
        sentinel = start_sentinel(directory / "3", one.port)
        try:
            yield one, two, sentinel
        finally:
            sentinel.stop()


def start_sentinel(directory: Path, primary_port: int, *more: str) -> EmbeddedServer:
    directory.mkdir()
    port = free_port()
    settings = directory / "sentinel.conf"
    settings.write_text(
        f'bind 127.0.0.1\nport {port}\ndir "{directory}"\nlogfile "{directory / "server.log"}"\n'
        f"sentinel monitor lingua 127.0.0.1 {primary_port} 1\n" + "".join(f"{line}\n" for line in more)
    )
    return launch([str(redis_server()), str(settings), "--sentinel"], port, directory)


@pytest.mark.slow
async def test_the_primary_is_found_again_after_the_sentinels_changed_it(tmp_path: Path) -> None:
    with primary_replica_sentinel(tmp_path) as (one, two, sentinel):
        async with opened(f"redis+sentinel://127.0.0.1:{sentinel.port}/lingua", retry_budget_ms=20_000) as store:
            await both_ways(store)
            assert await port_of(store) == one.port
            async with opened(sentinel.url) as asking:
                await eventually(lambda: replica_is_known(asking))
                await asking.call("SENTINEL", "FAILOVER", "lingua")
            await eventually(lambda: is_at(store, two.port))
            await both_ways(store)


async def test_the_primary_that_the_sentinels_name_is_found_both_ways(tmp_path: Path) -> None:
    with running(tmp_path / "1") as one:
        sentinel = start_sentinel(tmp_path / "2", one.port)
        try:
            async with opened(f"redis+sentinel://127.0.0.1:{sentinel.port}/lingua") as store:
                await both_ways(store)
                assert await port_of(store) == one.port
            with pytest.raises(StoreUnavailable, match="other"):
                async with opened(f"redis+sentinel://127.0.0.1:{sentinel.port}/other", retry_budget_ms=100):
                    pass
        finally:
            sentinel.stop()


async def test_sentinels_with_tls_and_a_password_of_their_own_are_asked_with_these(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    tls = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate)]
    secure, asked = free_port(), free_port()
    options = ["--tls-port", str(secure), *tls, "--tls-auth-clients", "no", "--requirepass", "of-the-store"]
    with running(tmp_path / "1", *options) as one:
        sentinel = start_sentinel(
            tmp_path / "2", secure,
            f"tls-port {asked}", f"tls-cert-file {certificate}", f"tls-key-file {key}", "tls-auth-clients no",
            f"tls-ca-cert-file {certificate}", "tls-replication yes", "requirepass of-the-sentinels",
            "sentinel auth-pass lingua of-the-store",
        )  # fmt: skip
        address = f"://:of-the-store@127.0.0.1:{asked}/lingua?ssl_ca_certs={certificate}"
        try:
            async with opened(f"rediss+sentinel{address}&sentinel_password=of-the-sentinels") as store:
                await both_ways(store)
                assert await port_of(store) == one.port
            plain = (
                f"{address.replace(str(asked), str(sentinel.port))}&sentinel_password=of-the-sentinels&sentinel_ssl=no"
            )
            async with opened(f"rediss+sentinel{plain}") as store:
                await both_ways(store)
            with pytest.raises(StoreUnavailable):
                async with opened(f"rediss+sentinel{address}&sentinel_password=wrong", retry_budget_ms=100):
                    pass
        finally:
            sentinel.stop()


async def port_of(store: Store) -> int:
    return int((await store.call("CONFIG", "GET", "port"))["port"])


async def is_at(store: Store, port: int) -> bool:
    await store.call("SET", store.keys.epoch(), "x")  # the old primary refuses this once it is a replica
    return await port_of(store) == port


async def replica_is_known(asking: Store) -> bool:
    replicas = await asking.call("SENTINEL", "REPLICAS", "lingua")
    return any(replica["flags"] == "slave" and replica["master-link-status"] == "ok" for replica in replicas)


async def test_a_closed_store_refuses_and_leaves_no_connection(valkey: Server) -> None:
    async with opened(valkey.url) as watching:
        store = await open_store(RedisSettings(url=valkey.url, client_name="closing", retry_budget_ms=100))
        assert "name=closing" in await watching.call("CLIENT", "LIST")
        await store.close()
        await eventually(lambda: nobody_called(watching, "closing"))
        with pytest.raises(StoreUnavailable, match="closed"):
            await store.call("PING")


async def nobody_called(watching: Store, name: str) -> bool:
    return f"name={name}" not in await watching.call("CLIENT", "LIST")


async def test_a_close_in_the_middle_of_calls_fails_them_all_and_hangs_none(valkey: Server) -> None:
    store = await open_store(RedisSettings(url=valkey.url))
    await store.redis.client_pause(3_000)
    calls = [asyncio.create_task(store.call("PING")) for _ in range(50)]
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_S):
        await store.close()
        got = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, StoreUnavailable) for one in got)
    async with opened(valkey.url, retry_budget_ms=20_000, timeout_ms=20_000) as other:
        await other.call("CLIENT", "UNPAUSE")


async def test_all_calls_of_a_process_share_one_connection(server: Server) -> None:
    async with opened(server.url, cell=server.cell, client_name="sharing") as store:
        await asyncio.gather(*(ensure_epoch(store) for _ in range(64)))
        assert store.shared.connects == 1
        assert (await store.call("CLIENT", "LIST")).count("name=sharing") == 1


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h:1/2", {"kind": "direct", "endpoints": (Endpoint("h", 1),), "db": 2}),
        ("redis://u:p%40@h", {"username": "u", "password": "p@", "endpoints": (Endpoint("h", 6379),)}),
        ("rediss://h", {"tls": True}),
        ("unix:///run/r.sock?db=1", {"endpoints": (Endpoint(path="/run/r.sock"),), "db": 1}),
        (
            "redis+sentinel://u:p@a:1,b/lingua/3",
            {"kind": "sentinel", "endpoints": (Endpoint("a", 1), Endpoint("b", 26379)), "service": "lingua", "db": 3},
        ),
        ("rediss+sentinel://a/lingua", {"tls": True, "kind": "sentinel"}),
        ("redis+cluster://a:1,[::1]:2", {"kind": "cluster", "endpoints": (Endpoint("a", 1), Endpoint("::1", 2))}),
    ],
)
def test_an_address_is_read(url: str, expected: dict[str, object]) -> None:
    address = read_address(url)
    assert {name: getattr(address, name) for name in expected} == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://h",
        "redis+sentinel://u:s3cret@h:1",
        "redis+cluster://",
        "redis+cluster://u:s3cret@:1",
        "redis+cluster://u:s3cret@h:99999",
        "redis+sentinel://u:s3cret@h/lingua/x",
        "redis://u:s3cret@h:x",
    ],
)
def test_an_address_that_is_wrong_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as told:
        read_address(url)
    assert "s3cret" not in str(told.value)


def test_the_password_is_not_shown() -> None:
    assert "s3cret" not in repr(read_address("redis://u:s3cret@h"))
    assert "s3cret" not in repr(RedisSettings(url="redis://u:s3cret@h"))
