"""Scheduler processes: who lives, where peers reach it, how full it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lingua_state.models import InstanceRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lingua_state.client import Store
    from lingua_state.multiplexed import Word


async def announce(  # noqa: PLR0913  (each is a field of the record; all are named by the caller)
    store: Store,
    *,
    instance_id: str,
    address: str,
    version: str,
    sessions: int,
    nodes: int,
    draining: bool,
    ttl_ms: int,
) -> None:
    """Say that the instance lives, for ``ttl_ms`` from now. The rule is in ``scripts/instance_announce.lua``."""
    keys = [store.keys.instance(instance_id), store.keys.instances()]
    args: list[Word] = [instance_id, address, version, sessions, nodes, int(draining), ttl_ms]
    await store.scripts.run("instance_announce", keys, args)


async def leave(store: Store, instance_id: str) -> None:
    """Say that the instance is gone. Leaving twice is fine."""
    keys = [store.keys.instance(instance_id), store.keys.instances()]
    await store.scripts.run("instance_leave", keys, [instance_id])


async def live(store: Store) -> list[InstanceRecord]:
    """List the instances that live, those first that lapse first."""
    _, *rows = await store.scripts.run("instance_list", [store.keys.instances()], [store.keys.root])
    found = ((instance_id, dict(zip(flat[::2], flat[1::2], strict=True))) for instance_id, flat in rows)
    return [_record(instance_id, fields) for instance_id, fields in found if fields]


async def get(store: Store, instance_id: str) -> InstanceRecord | None:
    """Read an instance, if it lives."""
    fields = await store.call("HGETALL", store.keys.instance(instance_id))
    return _record(instance_id, fields) if fields else None


def _record(instance_id: str, fields: Mapping[str, str]) -> InstanceRecord:
    return InstanceRecord(
        instance_id=instance_id,
        address=fields["address"],
        version=fields["version"],
        sessions=int(fields["sessions"]),
        nodes=int(fields["nodes"]),
        draining=fields["draining"] == "1",
        started_ms=int(fields["started_ms"]),
        expires_ms=int(fields["expires_ms"]),
    )
