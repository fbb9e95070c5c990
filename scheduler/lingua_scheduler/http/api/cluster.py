"""Sessions, instances and the figures of the whole cell."""

from __future__ import annotations

import asyncio

from lingua_scheduler.http.clock import now_ms
from lingua_scheduler.http.endpoint import Call, Endpoint, Nothing
from lingua_scheduler.http.models.cluster import ClusterAnswer, InstanceView, SessionPage, SessionView, StatsAnswer
from lingua_scheduler.http.models.common import PageQuery
from lingua_state import instances, jobs, nodes, pools, server, sessions
from lingua_wire.codes import ErrorCode


async def list_sessions(call: Call[PageQuery, None]) -> SessionPage:
    """Answer one page of sessions."""
    store = call.scheduler.store
    page = await sessions.list_sessions(store, call.query.limit, call.query.cursor)
    return SessionPage(
        now_ms=await now_ms(store),
        next_cursor=page.cursor,
        sessions=[SessionView.model_validate(session) for session in page.items],
    )


async def get_cluster(call: Call[Nothing, None]) -> ClusterAnswer:
    """Answer all instances that are alive."""
    store = call.scheduler.store
    return ClusterAnswer(
        now_ms=await now_ms(store),
        instance_id=call.scheduler.instance_id,
        instances=[InstanceView.model_validate(instance) for instance in await instances.live(store)],
    )


async def get_stats(call: Call[Nothing, None]) -> StatsAnswer:
    """Answer the figures of the whole cell at one moment."""
    scheduler = call.scheduler
    store = scheduler.store
    session_count, alive, job_counts, node_count, classes, queues = await asyncio.gather(
        sessions.count(store),
        instances.live(store),
        jobs.counts(store),
        nodes.count(store),
        pools.pools(store),
        pools.waiting_depths(store),
    )
    ping = await server.ping_ms(store)
    return StatsAnswer(
        now_ms=await now_ms(store),
        instance_id=scheduler.instance_id,
        version=scheduler.version,
        uptime_s=round(scheduler.uptime_s, 1),
        draining=scheduler.draining,
        sessions=session_count,
        nodes=node_count,
        capacity=sum(pool.capacity for pool in classes),
        free=sum(pool.free for pool in classes),
        instances=len(alive),
        waiting=sum(depth for _, depth, _ in queues),
        oldest_wait_ms=max((oldest_ms for _, _, oldest_ms in queues), default=0),
        jobs=job_counts,
        store_ping_ms=round(ping, 2),
    )


ENDPOINTS = (
    Endpoint(
        "GET", "/api/v1/sessions", list_sessions, "cluster", "List the sessions", query=PageQuery,
        answer=SessionPage, errors=(ErrorCode.STORE_UNAVAILABLE,),
    ),
    Endpoint(
        "GET", "/api/v1/cluster", get_cluster, "cluster", "List the scheduler instances", answer=ClusterAnswer,
        errors=(ErrorCode.STORE_UNAVAILABLE,),
    ),
    Endpoint(
        "GET", "/api/v1/stats", get_stats, "cluster", "Figures of the whole cell", answer=StatsAnswer,
        errors=(ErrorCode.STORE_UNAVAILABLE,),
    ),
)  # fmt: skip
