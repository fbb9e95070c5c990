"""The Pod Security Standard "restricted" as a table of checks, and what we ask of pods beyond it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Body = dict[str, Any]
#: Volumes that "restricted" allows.
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
HIGH_UID = 10_000


def _context(container: Body) -> Body:
    return dict(container.get("securityContext", {}))


def _either(pod: Body, container: Body, name: str) -> Any:
    return _context(container).get(name, pod.get("securityContext", {}).get(name))


#: What must be true of a pod.
OF_POD: dict[str, Callable[[Body], bool]] = {
    "no namespace of the host": lambda pod: not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")),
    "only harmless volumes": lambda pod: all(set(found) - {"name"} <= VOLUMES for found in pod.get("volumes", [])),
    "no sysctl": lambda pod: not pod.get("securityContext", {}).get("sysctls"),
    "the token is given or withheld on purpose": lambda pod: "automountServiceAccountToken" in pod,
    "no list of every service in the environment": lambda pod: pod.get("enableServiceLinks") is False,
}
#: What must be true of each container of a pod.
OF_CONTAINER: dict[str, Callable[[Body, Body], bool]] = {
    "not privileged": lambda _, container: not _context(container).get("privileged"),
    "no escalation": lambda _, container: _context(container).get("allowPrivilegeEscalation") is False,
    "not root": lambda pod, container: _either(pod, container, "runAsNonRoot") is True,
    "a high user": lambda pod, container: (_either(pod, container, "runAsUser") or 0) >= HIGH_UID,
    "a high group": lambda pod, container: (_either(pod, container, "runAsGroup") or 0) >= HIGH_UID,
    "the runtime's filter of system calls": lambda pod, container: (
        (_either(pod, container, "seccompProfile") or {}).get("type") in ("RuntimeDefault", "Localhost")
    ),
    "no capability": lambda _, container: (
        _context(container).get("capabilities", {}).get("drop") == ["ALL"]
        and not _context(container).get("capabilities", {}).get("add")
    ),
    "no unmasked /proc": lambda _, container: _context(container).get("procMount", "Default") == "Default",
    "no other profile": lambda pod, container: (
        not any(_either(pod, container, name) for name in ("seLinuxOptions", "windowsOptions", "appArmorProfile"))
    ),
    "no port of the host": lambda _, container: not any(port.get("hostPort") for port in container.get("ports", [])),
    "a root that can't be written": lambda _, container: _context(container).get("readOnlyRootFilesystem") is True,
    "a bound of memory and a request of CPU": lambda _, container: (
        "memory" in container.get("resources", {}).get("limits", {})
        and {"cpu", "memory"} <= set(container.get("resources", {}).get("requests", {}))
    ),
    "an image of a known version": lambda _, container: (
        "@sha256:" in container["image"]
        or (":" in container["image"].rpartition("/")[2] and not container["image"].endswith(":latest"))
    ),
    "no secret in a variable": lambda _, container: (
        not any("secretKeyRef" in variable.get("valueFrom", {}) for variable in container.get("env", []))
    ),
    "no secret in a plain variable": lambda _, container: (
        not any(
            # A path is where a secret is mounted.
            word in variable["name"] and not variable.get("value", "/").startswith("/")
            for variable in container.get("env", [])
            for word in ("SECRET", "PASSWORD", "TOKEN")
            if variable["name"] != "LINGUA_AUTH_TOKEN_REVIEW"
        )
    ),
}


def findings(pod: Body) -> Iterator[str]:
    """Say what is wrong with a pod's spec."""
    for what, holds in OF_POD.items():
        if not holds(pod):
            yield what
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        for what, kept in OF_CONTAINER.items():
            if not kept(pod, container):
                yield f"{container['name']}: {what}"
