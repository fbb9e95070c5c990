"""Open the store: the handle that every function of this package takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lingua_state.durability import Confirmation
from lingua_state.errors import StoreFault
from lingua_state.keys import Keys
from lingua_state.multiplexed import ReplyError
from lingua_state.primary import Primary
from lingua_state.retry import Retrying
from lingua_state.routes import make_redis, make_route, read_address
from lingua_state.runner import Scripts

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from lingua_state.durability import Profile
    from lingua_state.multiplexed import Reply, Word

#: What would hold up everybody who shares the connection.
_BLOCKING = frozenset(
    {"WAIT", "WAITAOF", "BLPOP", "BRPOP", "BLMOVE", "BLMPOP", "BRPOPLPUSH", "BZPOPMIN", "BZPOPMAX", "BZMPOP"}
    | {"XREAD", "XREADGROUP", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "MULTI"}
)


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """How the store is reached.

    :param url: redis://, rediss://, unix://, redis+sentinel:// or redis+cluster:// (see :mod:`lingua_state.routes`).
    :param cell: the hash tag of the cell; empty on a plain server with one cell, needed in cluster mode.
    :param prefix: what every key begins with; another one lets two installations share a server.
    :param timeout_ms: how long one try may take, and a connect.
    :param retry_budget_ms: no try of a call begins later than this after its first.
    :param profile: durable: a job's start and end are answered when replicas have them (docs/runbook.md).
    :param fixed_address: durable, and the one address always leads to the primary: somebody else sees to that.
    :param replicas: durable: how many must have such a write.
    :param confirm_ms: durable: how long they have, before the same is asked again.
    :param cut_off_ms: no try of a call begins later than this after its first where the server lacks replicas.
    :param in_flight_limit: calls of this process that may wait for a reply; more are refused at once.
    """

    url: str = field(repr=False)
    cell: str = ""
    prefix: str = "lingua"
    timeout_ms: int = 2_000
    retry_budget_ms: int = 5_000
    profile: Profile = "standalone"
    fixed_address: bool = False
    replicas: int = 1
    confirm_ms: int = 100
    cut_off_ms: int = 2_500
    in_flight_limit: int = 10_000
    client_name: str = "lingua"


@dataclass(frozen=True, slots=True)
class Store:
    """The store of one cell. ``scripts`` and :meth:`call` share one connection; ``redis`` is a client of its own for
    what may block or is long: WAIT, streams, pages, scans."""

    settings: RedisSettings
    keys: Keys
    scripts: Scripts
    redis: Redis
    shared: Primary
    policy: Retrying

    @property
    def cell(self) -> str:
        """Name the cell; empty where there is only one."""
        return self.settings.cell

    async def call(self, name: str, *words: Word) -> Reply:
        """Run one plain command that is safe to repeat, such as a read, over the shared connection.

        :raises StoreUnavailable: :raises StoreRefused: :raises StoreFault: see lingua_state.errors.
        """
        if name.upper() in _BLOCKING:
            raise ValueError(f"{name} would hold up everybody who shares the connection; use Store.redis")
        try:
            return await self.policy.call(name, *words)
        except ReplyError as error:
            raise StoreFault(str(error)) from error

    async def close(self) -> None:
        """Close every connection; calls in flight fail."""
        await self.redis.aclose()
        await self.shared.close()


async def open_store(settings: RedisSettings) -> Store:
    """Connect. Scripts are given to the server when they are first needed.

    :raises StoreUnavailable: not reached within the retry budget. :raises StoreRefused: it won't serve us.
    :raises ValueError: the URL or the cell is not well formed.
    """
    store = make_store(settings)
    try:
        await store.call("PING")
    except BaseException:
        await store.close()
        raise
    return store


def make_store(settings: RedisSettings) -> Store:
    """Make the handle without asking the server anything: the first call connects, or fails as any later one would.

    :raises ValueError: the URL or the cell is not well formed.
    """
    keys = Keys(prefix=settings.prefix, cell=settings.cell)
    address = read_address(settings.url)
    route = make_route(address, keys.root, settings.timeout_ms)
    wanted = Confirmation(keys.barrier(), settings.replicas, settings.confirm_ms)
    shared = Primary(
        address,
        route,
        timeout_ms=settings.timeout_ms,
        limit=settings.in_flight_limit,
        name=settings.client_name,
        confirmation=wanted if settings.profile == "durable" else None,
    )
    policy = Retrying(shared, settings.retry_budget_ms, settings.cut_off_ms)
    return Store(settings, keys, Scripts(policy), make_redis(address, route, settings.timeout_ms), shared, policy)
