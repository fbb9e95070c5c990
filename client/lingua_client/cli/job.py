"""``lingua job ID``: one job wholly."""

from typing import Annotated, Any, Final

import typer
from rich.text import Text

from lingua_client.cli import output
from lingua_client.cli.asking import ask, pair
from lingua_client.cli.options import DEFAULT_URL, Json, Token, Url

JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id.")]

_AFFINITY: Final = {
    "turn": "it holds the earlier audio of this turn",
    "session": "it holds the context of this session",
    "none": "it was the least loaded",
}
_STEPS: Final = (
    ("assigned_ms", "got a node"),
    ("dispatched_ms", "sent to it"),
    ("accepted_ms", "accepted"),
    ("started_ms", "started"),
    ("ended_ms", "ended"),
)


def job(job_id: JobId, url: Url = DEFAULT_URL, token: Token = None, as_json: Json = False) -> None:
    """Show one job: its node and why, its attempts, its times."""
    found = ask(url, token, lambda api: api.get(f"/api/v1/jobs/{job_id}"))
    if as_json:
        output.print_json(found)
        return
    out = output.console()
    for name, value in _lines(found):
        out.print(Text.assemble((f"{name:<11}", "dim"), value if isinstance(value, Text) else output.plain(value)))


def why(document: dict[str, Any]) -> str:
    """Tell in words why the job's node was chosen."""
    reason = _AFFINITY.get(str(document.get("affinity")), str(document.get("affinity")))
    moved = document.get("moved_from")
    return f"{reason}; moved from {moved}" if moved else reason


def _lines(found: dict[str, Any]) -> list[tuple[str, object]]:
    lines: list[tuple[str, object]] = [
        ("job", found["job_id"]),
        ("status", output.status(found["status"])),
        ("pair", pair(found["pair"])),
        ("session", f"{found['session_id']}, utterance {found['utterance_index']}"),
        ("audio", f"{output.age(found['audio_ms'])} ({found['finalize_reason']})"),
        ("node", f"{found['node_id'] or '-'}: {why(found)}" if found["node_id"] else "-"),
        ("attempt", f"{found['attempt_id']}{_tried(found)}"),
        ("times", _times(found)),
    ]
    if found["error_code"]:
        lines.append(("error", f"{found['error_code']}: {found['error_message'] or ''}"))
    return lines


def _tried(found: dict[str, Any]) -> str:
    lost = [node for node in found["tried_nodes"] if node != found["node_id"]]
    return f" (before: {', '.join(lost)})" if lost else ""


def _times(found: dict[str, Any]) -> str:
    created = found["created_ms"]
    return ", ".join(f"{words} +{found[name] - created} ms" for name, words in _STEPS if found.get(name)) or "-"
