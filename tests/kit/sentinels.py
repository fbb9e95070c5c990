"""A primary, its replicas and three Sentinels, each on a loopback address of its own, so that they can be cut apart.

It behaves as one store towards a :class:`kit.rig.Rig`: its commands go to whoever is the primary.
"""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from kit import processes
from kit.eventually import eventually_sync
from kit.history import History
from kit.own_network import Cut, own_network
from kit.redis_servers import valkey_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SERVICE = "lingua"
_PORT, _SENTINEL_PORT = 7000, 27000
_START_S = 60.0
_QUORUM = 2
#: Group of processes that are cut off together with a primary.
ISOLATED_GID = 70_001


@dataclass(slots=True)
class Member:
    """One process with an address of its own."""

    address: str
    port: int
    command: list[str]
    process: subprocess.Popen[bytes]
    note: Callable[[str], None] = field(repr=False)

    def client(self, timeout_s: float = 2.0) -> redis.Redis:
        """Open a plain client. It tries once: who is cut off would cost ten times ``timeout_s`` otherwise."""
        return redis.Redis(
            host=self.address, port=self.port, decode_responses=True, socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0),
        )  # fmt: skip

    def command_of(self, *words: object, timeout_s: float = 2.0) -> Any:
        """Run one command."""
        if words[:2] == ("SENTINEL", "FAILOVER"):
            self.note("failed_over")
        with self.client(timeout_s) as client:
            return client.execute_command(*words)

    def role(self) -> str:
        """Tell its role; nothing when it does not answer."""
        try:
            return str(self.command_of("ROLE", timeout_s=0.5)[0])
        except (redis.RedisError, OSError):
            return ""

    def kill(self) -> None:
        """Let it crash."""
        self.note("failed_over")
        self.process.kill()
        self.process.wait()

    def start(self) -> None:
        """Start it again."""
        self.process = _launch(self.command)

    def pause(self) -> None:
        """Stop it where it is."""
        self.note("failed_over")
        processes.pause(self.process.pid)

    def go_on(self) -> None:
        """Let a paused one go on."""
        processes.go_on(self.process.pid)

    def stop(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.go_on()
            self.process.kill()
        self.process.wait()


class SentinelStore:
    """The whole of it. ``cut`` cuts addresses apart; ``down_after_ms`` is what Sentinels wait before a failover."""

    def __init__(self, directory: Path, replicas: int, down_after_ms: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.note = History(directory.with_name(f"{directory.name}.jsonl"), directory.name).note
        self.cut = Cut()
        self.down_after_ms = down_after_ms
        self.servers: list[Member] = []
        self.sentinels: list[Member] = []
        for number in range(replicas + 1):
            self.servers.append(_server(directory / f"server-{number}", number, self.note))
        for number in range(3):
            self.sentinels.append(_sentinel(directory / f"sentinel-{number}", number, down_after_ms, self.note))

    @property
    def url(self) -> str:
        """Tell the address of the Sentinels."""
        hosts = ",".join(f"{one.address}:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def primary(self) -> Member:
        """Find the server that most Sentinels name. Blocks for a second where one is cut off: call it in a thread."""
        named = eventually_sync(self._named, within_s=_START_S, what="a Sentinel answers")
        chosen = max(set(named) - {""}, key=named.count)
        return next(one for one in self.servers if one.address == chosen)

    def client(self) -> redis.Redis:
        """Open a plain client to the primary."""
        return self.primary().client(timeout_s=10.0)

    def command(self, *words: object) -> Any:
        """Run one command on the primary."""
        return self.primary().command_of(*words)

    def is_whole(self) -> bool:
        """Tell whether one is the primary, all others follow it, and every Sentinel knows all that."""
        primary = self.primary()
        followers = sum(one.role() in ("slave", "replica") for one in self.servers)
        if primary.role() != "master" or followers != len(self.servers) - 1:
            return False
        with primary.client() as client:
            info: Any = client.info("replication")
        online = [info[f"slave{n}"]["state"] for n in range(info["connected_slaves"])].count("online")
        return (
            online == len(self.servers) - 1
            and all(_named_by(one) == primary.address for one in self.sentinels)
            and all(self._knows_all(one) for one in self.sentinels)
        )

    def isolate(self, server: Member, *sentinels: Member) -> None:
        """Cut a server, and Sentinels and processes of :data:`ISOLATED_GID` with it, off from all others."""
        self.note("failed_over")
        inside = [server, *sentinels]
        outside = [one for one in [*self.servers, *self.sentinels] if one not in inside]
        for one in inside:
            for other in outside:
                self.cut.between(one.address, other.address)
        for other in outside:
            self.cut.group(ISOLATED_GID, other.address)
        # Those outside must not reach those inside either; their address is the loopback's first.
        for one in inside:
            self.cut.others(ISOLATED_GID, one.address)

    def stop(self) -> None:
        """End every process."""
        for one in [*self.sentinels, *self.servers]:
            one.stop()

    def _named(self) -> list[str]:
        named = [_named_by(one) for one in self.sentinels]
        return named if any(named) else []

    def _knows_all(self, sentinel: Member) -> bool:
        try:
            told = sentinel.command_of("SENTINEL", "MASTER", SERVICE)
        except (redis.RedisError, OSError):
            return False
        state = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
        return (
            int(state["num-other-sentinels"]) == len(self.sentinels) - 1
            and int(state["num-slaves"]) == len(self.servers) - 1
            and str(state["flags"]) in ("master", "{'master'}")
        )


@contextmanager
def sentinel_store(directory: Path, *, replicas: int = 2, down_after_ms: int = 2_000) -> Iterator[SentinelStore]:
    """Run one, in a network of its own; all of it is well when the block begins."""
    with own_network():
        store = SentinelStore(directory, replicas, down_after_ms)
        try:
            eventually_sync(store.is_whole, within_s=_START_S, what="primary, replicas and Sentinels know each other")
            yield store
        finally:
            store.stop()


def _named_by(sentinel: Member) -> str:
    try:
        named = sentinel.command_of("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE, timeout_s=1.0)
    except (redis.RedisError, OSError):
        return ""
    return str(named[0]) if named else ""


def _server(directory: Path, number: int, note: Callable[[str], None]) -> Member:
    directory.mkdir(parents=True)
    address = f"127.0.1.{number + 1}"
    options = {
        "bind": address, "bind-source-addr": address, "port": _PORT, "dir": directory, "save": "",
        "logfile": directory / "server.log", "appendonly": "yes", "appendfsync": "everysec",
        "maxmemory-policy": "noeviction", "repl-diskless-sync-delay": 0, "repl-ping-replica-period": 1,
        "min-replicas-to-write": 1, "min-replicas-max-lag": 2, "repl-timeout": 5,
    }  # fmt: skip
    lines = [f'{name} "{value}"' for name, value in options.items()]
    if number:
        lines.append(f"replicaof 127.0.1.1 {_PORT}")
    return _member(directory, address, _PORT, lines, note)


def _sentinel(directory: Path, number: int, down_after_ms: int, note: Callable[[str], None]) -> Member:
    directory.mkdir(parents=True)
    address = f"127.0.1.{number + 11}"
    lines = [
        f"port {_SENTINEL_PORT}", f"bind {address}", f"bind-source-addr {address}", f"dir {directory}",
        f"logfile {directory / 'server.log'}",
        f"sentinel announce-ip {address}",
        f"sentinel monitor {SERVICE} 127.0.1.1 {_PORT} {_QUORUM}",
        f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}",
        f"sentinel failover-timeout {SERVICE} 6000",
    ]  # fmt: skip
    return _member(directory, address, _SENTINEL_PORT, lines, note, "--sentinel")


def _member(
    directory: Path, address: str, port: int, lines: list[str], note: Callable[[str], None], *more: str
) -> Member:
    configuration = directory / "server.conf"
    configuration.write_text("\n".join(lines) + "\n")
    command = [str(valkey_server()), str(configuration), *more]
    return Member(address, port, command, _launch(command), note)


def _launch(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
