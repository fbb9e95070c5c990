"""Where the primary is: read the address that a person wrote, and look for the server behind it at every connect.

Four kinds of address (docs/data-model.md): a server (``redis://``, ``rediss://``, ``unix://``), Sentinels
(``redis+sentinel://host:port,host:port/service/db``) and a cluster (``redis+cluster://host:port,host:port``). The two
latter also exist with TLS (``rediss+sentinel``, ``rediss+cluster``).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

if TYPE_CHECKING:
    from ssl import SSLContext

#: What an option for the Sentinels begins with.
_ASKING = "sentinel_"
#: How long the other Sentinels have once one has answered.
_OTHERS_S = 0.3
_DEFAULT_PORTS = {"redis": 6379, "redis+cluster": 6379, "redis+sentinel": 26379}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server to connect to: a host and port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """What a store's URL says. ``options`` (TLS files and such) go to redis-py as they are, for connections to the
    store; ``asking`` for those to the Sentinels."""

    kind: str
    endpoints: tuple[Endpoint, ...]
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    asking: dict[str, Any] = field(default_factory=dict, repr=False)

    def tls_context(self) -> SSLContext | None:
        """Make the TLS context exactly as redis-py reads these options."""
        if not self.tls:
            return None
        return SSLConnection(**self.options).ssl_context.get()


def read_address(url: str) -> Address:
    """Read a store's URL.

    :raises ValueError: it is none of the known kinds, or misses a part. The message never holds the password.
    """
    scheme = url.partition("://")[0]
    plain = scheme.replace("rediss", "redis", 1)
    if plain in ("redis+sentinel", "redis+cluster"):
        return _read_many(url, plain, tls=scheme != plain)
    if scheme not in ("redis", "rediss", "unix"):
        raise ValueError(
            f"a store is named redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://, not {scheme}://"
        )
    return _read_one(url)


def _read_one(url: str) -> Address:
    options: dict[str, Any] = dict(parse_url(url))
    kind = options.pop("connection_class", None)
    path = options.pop("path", "") if kind is UnixDomainSocketConnection else ""
    host, port = options.pop("host", "localhost"), options.pop("port", 6379)
    endpoint = Endpoint(path=path) if path else Endpoint(host, int(port))
    return Address(
        kind="direct",
        endpoints=(endpoint,),
        db=int(options.pop("db", 0)),
        username=options.pop("username", None),
        password=options.pop("password", None),
        tls=kind is SSLConnection,
        options=options,
    )


def _read_many(url: str, scheme: str, *, tls: bool) -> Address:
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    endpoints = tuple(_endpoint(text, _DEFAULT_PORTS[scheme]) for text in hosts.split(",") if text)
    service, _, db = parts.path.strip("/").partition("/")
    if not endpoints:
        raise ValueError(f"{scheme}:// names at least one host")
    if scheme == "redis+sentinel" and not service:
        raise ValueError("redis+sentinel:// ends in the name of the service: redis+sentinel://host:26379/lingua")
    given = dict(parse_qsl(parts.query))
    options = {name: value for name, value in given.items() if not name.startswith(_ASKING)}
    return Address(
        kind=scheme.removeprefix("redis+"),
        endpoints=endpoints,
        service=service,
        db=int(db or 0),
        username=unquote(username) or None,
        password=unquote(password) or None,
        tls=tls,
        options=options,
        asking=_asking(given, tls=tls) if scheme == "redis+sentinel" else {},
    )


def _asking(given: dict[str, str], *, tls: bool) -> dict[str, Any]:
    """Choose how the Sentinels are asked: with TLS as the store is, unless ``sentinel_ssl`` says otherwise; their
    password is their own."""
    own: dict[str, Any] = {
        name.removeprefix(_ASKING): value for name, value in given.items() if name.startswith(_ASKING)
    }
    secure = str(own.pop("ssl", tls)).lower() in ("true", "1", "yes", "on")
    shared = {name: value for name, value in given.items() if name.startswith("ssl_")}
    return {"ssl": True, **shared, **own} if secure else own


def _endpoint(text: str, default_port: int) -> Endpoint:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a host is missing in the store's address")
    return Endpoint(parts.hostname, parts.port or default_port)


class Route(Protocol):
    """Finds the server that holds a cell. ``moves``: somebody will know where it went."""

    @property
    def moves(self) -> bool:
        """Tell whether it may be another one later."""
        ...

    async def find(self) -> Endpoint:
        """Look for the primary now. Raises redis-py's errors or OSError."""
        ...

    async def close(self) -> None:
        """Give up what the look-up holds."""
        ...


@dataclass(frozen=True, slots=True)
class Direct:
    """The server whose address was given."""

    endpoint: Endpoint
    moves: bool = False

    async def find(self) -> Endpoint:
        """Name the server."""
        return self.endpoint

    async def close(self) -> None:
        """Hold nothing."""


@dataclass(frozen=True, slots=True)
class BySentinel:
    """The primary that the Sentinels name.

    One that is cut off from the others goes on naming the old primary, so all are asked, and who has seen the newest
    failover (``config-epoch``) is believed.
    """

    sentinel: Sentinel
    service: str
    moves: bool = True

    async def find(self) -> Endpoint:
        """Ask all Sentinels. Raises MasterNotFoundError: none names a primary that is well."""
        asking = [asyncio.create_task(self._ask(one)) for one in self.sentinel.sentinels]
        try:
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(asking, timeout=_OTHERS_S)
            told = [task.result() for task in asking if task.done() and task.exception() is None]
            if not any(told):
                await asyncio.wait(asking)
                told = [task.result() for task in asking if task.exception() is None]
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        return self._newest([state for state in told if state])

    async def _ask(self, one: Redis) -> dict[str, Any]:
        states = cast("dict[str, dict[str, Any]]", await one.sentinel_masters())
        state = states.get(self.service, {})
        return state if state and self.sentinel.check_master_state(state, self.service) else {}

    def _newest(self, told: list[dict[str, Any]]) -> Endpoint:
        if not told:
            raise MasterNotFoundError(f"no Sentinel names a primary of {self.service} that is well")
        state = max(told, key=lambda state: int(state["config-epoch"]))
        return Endpoint(str(state["ip"]), int(state["port"]))

    async def close(self) -> None:
        """Close the connections to the Sentinels."""
        await self.sentinel.aclose()


@dataclass(frozen=True, slots=True)
class BySlot:
    """The cluster's primary for the one slot in which the cell lives."""

    cluster: RedisCluster
    key: str
    moves: bool = True

    async def find(self) -> Endpoint:
        """Ask the cluster for its slots, and look for ours."""
        await self.cluster.aclose()
        await self.cluster.initialize()
        node = self.cluster.get_node_from_key(self.key)
        if node is None:
            raise ConnectionError("no primary of the cluster serves the cell's slot")
        return Endpoint(str(node.host), int(node.port))

    async def close(self) -> None:
        """Close the connections that were used to ask."""
        await self.cluster.aclose()


def connect_options(timeout_ms: int) -> dict[str, Any]:
    """List what every redis-py connection of this program is made with: bounded, and never retried by itself."""
    return {
        "socket_timeout": timeout_ms / 1000,
        "socket_connect_timeout": timeout_ms / 1000,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 3,
        "decode_responses": True,
    }


def make_route(address: Address, slot_key: str, timeout_ms: int) -> Route:
    """Choose how the primary is found. ``slot_key`` is any name of the cell."""
    if address.kind == "sentinel":
        return BySentinel(_sentinel(address, timeout_ms), address.service)
    if address.kind == "cluster":
        return BySlot(_cluster(address, timeout_ms), slot_key)
    return Direct(address.endpoints[0])


def make_redis(address: Address, route: Route, timeout_ms: int) -> Redis:
    """Make the plain client for reads, pages and streams; its connections are bounded and are opened when needed."""
    options = _credentials(address) | connect_options(timeout_ms)
    if address.kind == "cluster":
        return cast("Redis", _cluster(address, timeout_ms))
    if isinstance(route, BySentinel):
        return cast("Redis", route.sentinel.master_for(address.service, db=address.db, **options))
    endpoint = address.endpoints[0]
    kind = UnixDomainSocketConnection if endpoint.path else SSLConnection if address.tls else Connection
    options |= {"path": endpoint.path} if endpoint.path else {"host": endpoint.host, "port": endpoint.port}
    pool = BlockingConnectionPool(
        connection_class=kind,
        max_connections=16,
        timeout=timeout_ms / 1000,
        db=address.db,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **options,
    )
    return Redis.from_pool(pool)


def _credentials(address: Address) -> dict[str, Any]:
    return {"username": address.username, "password": address.password, **address.options}


def _sentinel(address: Address, timeout_ms: int) -> Sentinel:
    hosts = [(endpoint.host, endpoint.port) for endpoint in address.endpoints]
    return Sentinel(  # type: ignore[no-untyped-call]
        hosts, sentinel_kwargs=address.asking | connect_options(timeout_ms), ssl=address.tls, **address.options
    )


def _cluster(address: Address, timeout_ms: int) -> RedisCluster:
    nodes = [ClusterNode(endpoint.host, endpoint.port) for endpoint in address.endpoints]
    return RedisCluster(
        startup_nodes=nodes,
        ssl=address.tls,
        require_full_coverage=False,
        **_credentials(address),
        **connect_options(timeout_ms),
    )
