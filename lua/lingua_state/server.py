"""Look at the server before serving from it, and say plainly what is wrong and what to do about it.

Everything is read from ``INFO``, so the check needs no right to see or change the server's settings.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lingua_state.errors import StateError, StoreFault, StoreRefused
from lingua_state.routes import read_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lingua_state.client import RedisSettings, Store

Level = Literal["error", "warning"]
Version = tuple[int, ...]

#: The oldest servers whose scripts may start with ``#!lua`` and that are tested.
OLDEST: dict[str, Version] = {"Redis": (7, 0), "Valkey": (8, 0)}

#: Known holes that a script's caller can reach: product, first and first mended version, name.
HOLES: tuple[tuple[str, Version, Version, str], ...] = (
    ("Redis", (7, 0), (7, 2, 11), "CVE-2025-49844"),
    ("Redis", (7, 4), (7, 4, 6), "CVE-2025-49844"),
    ("Redis", (8, 0), (8, 0, 4), "CVE-2025-49844"),
    ("Redis", (8, 2), (8, 2, 2), "CVE-2025-49844"),
    ("Redis", (7, 2), (8, 6, 3), "CVE-2026-23479"),
    ("Valkey", (8, 0), (8, 0, 6), "CVE-2025-49844"),
    ("Valkey", (8, 1), (8, 1, 4), "CVE-2025-49844"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the server. An ``error`` must keep the scheduler from starting; a ``warning`` is told."""

    level: Level
    code: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.level}: {self.message}. {self.remedy}."


async def check_server(store: Store) -> list[Finding]:
    """Check version, memory policy, persistence, role, cluster mode and scripts; errors come first.

    :raises StoreUnavailable: it could not be reached.
    """
    findings = [*await _info_findings(store), *await _script_findings(store)]
    return sorted(findings, key=lambda finding: finding.level)


async def ping_ms(store: Store) -> float:
    """Measure one round trip, in milliseconds."""
    began = time.perf_counter()
    await store.call("PING")
    return (time.perf_counter() - began) * 1000


def read_info(text: str) -> dict[str, str]:
    """Read the answer to INFO."""
    lines = (line.partition(":") for line in text.splitlines() if ":" in line and not line.startswith("#"))
    return {name: value for name, _, value in lines}


def judge(info: Mapping[str, str], *, cell: str) -> Iterator[Finding]:
    """Say what is wrong with a server, from its INFO."""
    yield from _version(info)
    yield from _memory(info)
    yield from _persistence(info)
    yield from _role(info)
    if info.get("cluster_enabled") == "1" and not cell:
        yield Finding(
            "error",
            "no_cell",
            "The server is in cluster mode, and no cell is set, so the keys of one step would be on several servers",
            "Set a cell name such as c0",
        )


def judge_profile(info: Mapping[str, str], settings: RedisSettings) -> Iterator[Finding]:
    """Say what the server lacks for the profile that was chosen (docs/runbook.md)."""
    many = read_address(settings.url).kind != "direct"
    if settings.profile == "standalone":
        if many:
            yield Finding(
                "warning",
                "not_durable",
                "What was promised last is lost when the primary is, since the profile is standalone",
                "Set LINGUA_REDIS_PROFILE to durable",
            )
        return
    if not many:
        yield _one_address(fixed=settings.fixed_address)
    if info.get("aof_enabled") == "0":
        yield Finding(
            "error",
            "not_persistent_durable",
            "The profile is durable, and the server's append-only file is off",
            "Set appendonly to yes on the primary and its replicas",
        )
    yield from _replicas(info, settings.replicas)


def _one_address(*, fixed: bool) -> Finding:
    if fixed:
        return Finding(
            "warning",
            "fixed_address",
            "One address is given, and whoever runs the server must lead it to the primary after each failover",
            "Give the Sentinels' (redis+sentinel://) or the cluster's (redis+cluster://) address if there is one",
        )
    return Finding(
        "error",
        "one_address",
        "The profile is durable, and one server's address is given: a failover would not be followed",
        "Give the Sentinels' (redis+sentinel://) or the cluster's (redis+cluster://) address, or say with "
        "LINGUA_REDIS_FIXED_ADDRESS=true that this one always leads to the primary",
    )


def _replicas(info: Mapping[str, str], wanted: int) -> Iterator[Finding]:
    # INFO has the number of good replicas only where min-replicas-to-write and min-replicas-max-lag are set.
    if "min_slaves_good_slaves" not in info:
        yield Finding(
            "error",
            "no_min_replicas",
            "A primary that is cut off from its replicas would go on taking writes that nobody will ever see",
            "Set min-replicas-to-write to 1 and min-replicas-max-lag to 2 on the primary and its replicas",
        )
    connected = int(info.get("connected_slaves", "0"))
    if connected < wanted:
        yield Finding(
            "warning",
            "replica_away",
            f"{connected} replicas are connected and {wanted} must have each job, so none is taken",
            "Bring the replica back, or add one",
        )
    elif connected == wanted:
        yield Finding(
            "warning",
            "no_spare_replica",
            "After a failover nothing is taken until the old primary is back as a replica, 10 s or more",
            "Add a replica",
        )


async def _info_findings(store: Store) -> list[Finding]:
    try:
        info = read_info(await store.call("INFO"))
        return [*judge(info, cell=store.cell), *judge_profile(info, store.settings)]
    except StoreRefused as error:
        return [
            Finding(
                "warning",
                "cannot_look",
                f"The server does not let us look at its state ({error})",
                "Allow the command INFO to this user, or check version, maxmemory-policy and persistence by hand",
            )
        ]


async def _script_findings(store: Store) -> list[Finding]:
    try:
        await store.scripts.load_all()
        await store.scripts.run("instance_list", [store.keys.instances()], [store.keys.root])
    except (StoreRefused, StoreFault) as error:
        return [_scripts_refused(error)]
    return []


def _scripts_refused(error: StateError) -> Finding:
    return Finding(
        "error",
        "scripts_refused",
        f"The server does not run our scripts ({error})",
        "Use Redis 7.0 or Valkey 8 or later, and allow EVALSHA and SCRIPT LOAD to this user",
    )


def _version(info: Mapping[str, str]) -> Iterator[Finding]:
    product = "Valkey" if info.get("server_name") == "valkey" or "valkey_version" in info else "Redis"
    text = info.get("valkey_version" if product == "Valkey" else "redis_version", "")
    version = tuple(int(part) for part in text.split(".") if part.isdigit())
    oldest = OLDEST[product]
    if version < oldest:
        wanted = ".".join(map(str, oldest))
        yield Finding("error", "too_old", f"This is {product} {text or 'of unknown version'}", f"Use {wanted} or later")
        return
    for name in sorted(
        {name for known, since, mended, name in HOLES if known == product and since <= version < mended}
    ):
        yield Finding(
            "warning",
            "known_hole",
            f"{product} {text} has the known hole {name}, unless who made this package has mended it",
            "Use the newest version of this server",
        )


def _memory(info: Mapping[str, str]) -> Iterator[Finding]:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield Finding(
            "error",
            "eviction",
            f"The server throws keys away when memory is short (maxmemory-policy is {policy}), so jobs would vanish",
            "Set maxmemory-policy to noeviction",
        )


def _persistence(info: Mapping[str, str]) -> Iterator[Finding]:
    if info.get("aof_enabled") == "0":
        yield Finding(
            "warning",
            "not_persistent",
            "The server forgets everything when it restarts, since its append-only file is off",
            "Set appendonly to yes",
        )
    if info.get("aof_last_write_status", "ok") != "ok" or info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield Finding(
            "warning",
            "cannot_save",
            "The server could not write its data to disk the last time, and may refuse to change anything",
            "Look at its disk and its log",
        )


def _role(info: Mapping[str, str]) -> Iterator[Finding]:
    if info.get("role", "master") != "master":
        yield Finding(
            "error",
            "replica",
            "This server is a replica, so nothing can be changed on it",
            "Give the address of the primary, or the Sentinels' (redis+sentinel://)",
        )
