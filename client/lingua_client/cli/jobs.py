"""``lingua jobs``: the newest jobs."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from lingua_client.cli import output
from lingua_client.cli.asking import ask, pair
from lingua_client.cli.options import DEFAULT_URL, Json, Limit, Token, Url


class JobStatus(StrEnum):
    """The statuses a job can be listed by."""

    PENDING = "pending"
    ASSIGNED = "assigned"
    DISPATCHED = "dispatched"
    ACCEPTED = "accepted"
    PROCESSING = "processing"
    COMPLETED = "completed"
    COMPLETED_NO_TEXT = "completed_no_text"
    FAILED = "failed"
    CANCELLED = "cancelled"


Status = Annotated[JobStatus | None, typer.Option("--status", help="Only jobs of this status.")]


def jobs(
    url: Url = DEFAULT_URL, token: Token = None, status: Status = None, limit: Limit = 20, as_json: Json = False
) -> None:
    """List the newest jobs: where each is in its life."""
    word = status.value if status else None
    found = ask(url, token, lambda api: api.pages("/api/v1/jobs", "jobs", limit, status=word))
    if as_json:
        output.print_json({"jobs": found})
        return
    columns = ("job", "status", "pair", "node", "attempt", "audio", "took", "why it ended so")
    output.print_table(columns, [_row(job) for job in found], empty="There is no such job.")


def _row(job: dict[str, Any]) -> tuple[object, ...]:
    return (
        job["job_id"],
        output.status(job["status"]),
        pair(job["pair"]),
        job["node_id"] or "-",
        job["attempt_id"],
        output.age(job["audio_ms"]),
        output.age(job["ended_ms"] - job["created_ms"]) if job["ended_ms"] else "-",
        job["error_code"] or "",
    )
