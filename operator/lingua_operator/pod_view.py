"""A pod as the API server gives it, reduced to what its node must know. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lingua_operator.resource import OWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_IMAGE = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ImageInspectError", "ErrImageNeverPull"}
_CONFIG = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
#: People can write annotations too.
_COUNT = re.compile(r"[0-9]{1,9}")
_REASON = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_MESSAGE_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class PodView:
    """One pod of a node. ``reason`` and ``message`` tell what keeps the node from being connected. ``deleted`` is when
    the pod should be gone; None: nobody deleted it. ``finished`` counts only where it ``ended``."""

    name: str
    uid: str
    owner_uid: str
    hash: str
    number: int
    created: datetime
    deleted: datetime | None
    ended: bool
    running: bool
    finished: datetime
    reason: str
    message: str
    version: int

    @property
    def lifetime(self) -> timedelta:
        """Tell how long it was there."""
        return self.finished - self.created


def parse_pod(body: Any) -> PodView:  # noqa: ANN401 - kopf's mapping or the client's dict
    """Read a pod."""
    meta, status = body.get("metadata") or {}, body.get("status") or {}
    marks = meta.get("annotations") or {}
    created = _time(meta.get("creationTimestamp")) or datetime.now(UTC)
    ended = status.get("phase") in ("Failed", "Succeeded")
    reason, message = _ended(status) if ended else _trouble(meta.get("name", ""), status)
    number = str(marks.get(f"{OWN}/pod-number", "0"))
    version = str(meta.get("resourceVersion", "0"))
    return PodView(
        name=meta.get("name", ""),
        uid=meta.get("uid", ""),
        owner_uid=_owner(meta),
        hash=str(marks.get(f"{OWN}/pod-hash", "")),
        number=int(number) if _COUNT.fullmatch(number) else 0,
        created=created,
        deleted=_time(meta.get("deletionTimestamp")),
        ended=ended,
        running=status.get("phase") == "Running",
        finished=_finished(status) or created,
        reason=reason,
        message=message[:_MESSAGE_CHARACTERS],
        version=int(version) if version.isdigit() else 0,
    )


def _owner(meta: Mapping[str, Any]) -> str:
    for owner in meta.get("ownerReferences") or ():
        if owner.get("controller") and owner.get("kind") == "TranslationNode":
            return str(owner.get("uid", ""))
    return ""


def _trouble(name: str, status: Mapping[str, Any]) -> tuple[str, str]:
    """Say why a pod that has not ended does not serve yet, the most telling cause first."""
    for container, state in _waiting(status):
        reason, said = state.get("reason") or "", state.get("message") or ""
        if reason in _IMAGE:
            return "ImagePullFailed", f"the image of container {container} of pod {name} can't be had: {said or reason}"
        if reason == "CrashLoopBackOff":
            how = _last_end(status, container)
            return "CrashLoop", f"container {container} of pod {name} ends again and again{how}"
        if reason in _CONFIG:
            return "ContainerNotMade", f"container {container} of pod {name} can't be made: {said or reason}"
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return "Unschedulable", f"pod {name} finds no machine: {condition.get('message') or 'no reason was given'}"
    if status.get("phase") == "Running":
        return "PodNotConnected", f"pod {name} runs but no node process of it is connected: see kubectl logs {name}"
    return "PodStarting", f"pod {name} is starting"


def _waiting(status: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or ():
            state = (container.get("state") or {}).get("waiting")
            if state:
                yield str(container.get("name", "")), state


def _last_end(status: Mapping[str, Any], name: str) -> str:
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or ():
            last = (container.get("lastState") or {}).get("terminated")
            if container.get("name") == name and last:
                why = last.get("reason") or "Error"
                return f": exit code {last.get('exitCode')} ({why}); see kubectl logs --previous"
    return ""


def _ended(status: Mapping[str, Any]) -> tuple[str, str]:
    told = str(status.get("reason") or "")
    reason = told if _REASON.fullmatch(told) else "PodEnded"
    if status.get("message"):
        return reason, str(status["message"])
    for container in status.get("containerStatuses") or ():
        last = (container.get("state") or {}).get("terminated")
        if last:
            return reason, f"container {container.get('name')} ended with exit code {last.get('exitCode')}"
    return reason, str(status.get("phase", "")).lower()


def _finished(status: Mapping[str, Any]) -> datetime | None:
    times = [
        _time(((container.get("state") or {}).get("terminated") or {}).get("finishedAt"))
        for container in status.get("containerStatuses") or ()
    ]
    times += [_time(condition.get("lastTransitionTime")) for condition in status.get("conditions") or ()]
    return max((time for time in times if time), default=None)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
