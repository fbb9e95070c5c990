"""Jobs: list, look at, cancel."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from lingua_scheduler.http.clock import now_ms
from lingua_scheduler.http.endpoint import Call, Endpoint, Guard, Nothing
from lingua_scheduler.http.models.jobs import JobCancelled, JobDetail, JobPage, JobQuery, JobView
from lingua_scheduler.http.problems import ProblemError
from lingua_state import jobs
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from lingua_state.models import JobRecord

log = logging.getLogger(__name__)


async def list_jobs(call: Call[JobQuery, None]) -> JobPage:
    """Answer one page of jobs."""
    store, query = call.scheduler.store, call.query
    page = await jobs.list_jobs(store, query.status, query.limit, query.cursor)
    return JobPage(
        now_ms=await now_ms(store),
        next_cursor=page.cursor,
        jobs=[JobView.model_validate(job) for job in page.items],
    )


async def get_job(call: Call[Nothing, None]) -> JobDetail:
    """Answer one job wholly; somebody else's looks exactly like one that is not there."""
    return JobDetail.model_validate(await _find(call))


async def cancel_job(call: Call[Nothing, None]) -> JobCancelled:
    """End a job that nobody wants any more."""
    job = await _find(call)
    cancelled = await call.scheduler.cancel_job(job.job_id)
    log.info("job cancelled by request", extra={"job_id": job.job_id, "outcome": cancelled, "side": "http"})
    after = await _find(call)
    return JobCancelled(job_id=job.job_id, cancelled=cancelled, status=after.status)


async def _find(call: Call[Any, None]) -> JobRecord:
    job = await jobs.get(call.scheduler.store, call.path_id("job_id"))
    if job is None or not (call.identity.may("read") or job.tenant == call.identity.tenant):
        raise ProblemError(ErrorCode.NOT_FOUND, "There is no such job.")
    return job


ENDPOINTS = (
    Endpoint(
        "GET", "/api/v1/jobs", list_jobs, "jobs", "List jobs, newest first", query=JobQuery, answer=JobPage,
        errors=(ErrorCode.STORE_UNAVAILABLE,),
    ),
    Endpoint(
        "GET", "/api/v1/jobs/{job_id}", get_job, "jobs", "Look at a job", guard=Guard.TOKEN, answer=JobDetail,
        errors=(ErrorCode.STORE_UNAVAILABLE,),
    ),
    Endpoint(
        "POST", "/api/v1/jobs/{job_id}/cancel", cancel_job, "jobs", "Cancel a job", guard=Guard.ADMIN,
        answer=JobCancelled, errors=(ErrorCode.STORE_UNAVAILABLE,),
    ),
)  # fmt: skip
