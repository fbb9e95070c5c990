"""What is filled in where a pod template says nothing, so that the pod passes the restricted standard. Pure."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from lingua_operator.pod_security import CONTAINERS

if TYPE_CHECKING:
    from collections.abc import Mapping

Body = dict[str, Any]


def hardened(spec: Mapping[str, Any]) -> Body:
    """Fill in what the standard asks for where a pod's spec says nothing. Fit for specs without refusals only."""
    pod = copy.deepcopy(dict(spec))
    whole = _fill(pod, "securityContext", {})
    whole.setdefault("runAsNonRoot", True)
    whole.setdefault("seccompProfile", {"type": "RuntimeDefault"})
    pod["automountServiceAccountToken"] = False
    pod["enableServiceLinks"] = bool(pod.get("enableServiceLinks", False))
    for kind in CONTAINERS:
        for container in pod.get(kind) or ():
            _harden_container(pod, container)
    return pod


def _harden_container(pod: Body, container: Body) -> None:
    own = _fill(container, "securityContext", {})
    own["allowPrivilegeEscalation"] = False
    capabilities = _fill(own, "capabilities", {})
    capabilities["drop"] = ["ALL"]
    if own.get("readOnlyRootFilesystem") is None:
        own["readOnlyRootFilesystem"] = True
        _give_tmp(pod, container)


def _give_tmp(pod: Body, container: Body) -> None:
    """Let a container whose root became read-only still write to /tmp."""
    mounts = _fill(container, "volumeMounts", [])
    if any(str(mount.get("mountPath", "")).rstrip("/") == "/tmp" for mount in mounts):  # noqa: S108 - in the pod
        return
    mounts.append({"name": "lingua-tmp", "mountPath": "/tmp"})  # noqa: S108 - in the pod
    volumes = _fill(pod, "volumes", [])
    if not any(volume.get("name") == "lingua-tmp" for volume in volumes):
        volumes.append({"name": "lingua-tmp", "emptyDir": {}})


def _fill(parent: Body, name: str, empty: Any) -> Any:  # noqa: ANN401 - a map or a list
    if parent.get(name) is None:
        parent[name] = empty
    return parent[name]
