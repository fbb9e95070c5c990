"""Events of a node that are worth reading, told once each: pure in what to tell, and the posting of it.

An event's name comes from the condition that changed and when it did, so that a repeated call or a second operator
posts it once.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lingua_operator.cluster import EVENTS, MANAGER, NODES, ClusterError, Conflict
from lingua_operator.conditions import ACCEPTED, CONNECTED, DRAINED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lingua_operator.cluster import Cluster, Kind
    from lingua_operator.fleets.values import Fleet
    from lingua_operator.resource import Node

log = logging.getLogger(__name__)

#: What a change of a condition is told as, by type and reason. What is not here is told by the status alone.
TOLD: Mapping[tuple[str, str], Literal["Normal", "Warning"]] = {
    (ACCEPTED, "InvalidSpec"): "Warning",
    (ACCEPTED, "NodeIdTaken"): "Warning",
    (ACCEPTED, "NoPairs"): "Warning",
    (ACCEPTED, "SecretMissing"): "Warning",
    (ACCEPTED, "SecretKeyMissing"): "Warning",
    (ACCEPTED, "SecretForbidden"): "Warning",
    (CONNECTED, "Connected"): "Normal",
    (ACCEPTED, "PodTemplateRefused"): "Warning",
    (CONNECTED, "NotConnected"): "Warning",
    (CONNECTED, "ImagePullFailed"): "Warning",
    (CONNECTED, "CrashLoop"): "Warning",
    (CONNECTED, "ContainerNotMade"): "Warning",
    (CONNECTED, "Unschedulable"): "Warning",
    (CONNECTED, "PodRefused"): "Warning",
    (CONNECTED, "PodNameTaken"): "Warning",
    (CONNECTED, "PodEnded"): "Warning",
    (CONNECTED, "Evicted"): "Warning",
    (DRAINED, "Draining"): "Normal",
    (DRAINED, "Drained"): "Normal",
    (DRAINED, "DeadlinePassed"): "Warning",
}


@dataclass(frozen=True, slots=True)
class Told:
    """One event. ``mark`` makes it the same event when it is told again."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    mark: str


def told_by(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Told]:
    """Tell which events a change of status is worth. A node that never was connected is not told to be gone."""
    before = {each.get("type"): each for each in old.get("conditions") or []}
    found = []
    for condition in new.get("conditions") or []:
        kind, reason = condition["type"], condition["reason"]
        was = before.get(kind, {})
        if was.get("reason") == reason or (kind, reason) not in TOLD:
            continue
        if (kind, reason) == (CONNECTED, "NotConnected") and was.get("reason") != "Connected":
            continue
        mark = f"{kind} {reason} {condition['lastTransitionTime']}"
        found.append(Told(TOLD[kind, reason], reason, condition["message"], mark))
    return found


async def post(cluster: Cluster, node: Node | Fleet, told: Told, now: str, kind: Kind = NODES) -> None:
    """Write an event beside a node or a fleet. A failure is no matter: the status says the same."""
    name = f"{node.name[:200]}.{hashlib.sha256(f'{node.uid} {told.mark}'.encode()).hexdigest()[:16]}"
    body = {
        "metadata": {"name": name, "namespace": node.namespace},
        "involvedObject": {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "namespace": node.namespace,
            "name": node.name,
            "uid": node.uid,
        },
        "type": told.type,
        "reason": told.reason,
        "message": told.message[:1024],
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "reportingInstance": MANAGER,
    }
    try:
        await cluster.create(EVENTS, body)
    except Conflict:
        return
    except ClusterError as error:
        log.info("an event could not be posted", extra={"status": error.status, "reason": told.reason})
