"""What a pod template may not ask for. Pure.

The rules are those of the Pod Security Standards, level *restricted*, as Kubernetes 1.36 enforces them
(https://kubernetes.io/docs/concepts/security/pod-security-standards/), with the name of each control, and a few of our
own: who may write a TranslationNode need not be allowed to make pods, so a template must not give more than the pod of
a node needs. What a template leaves open is filled in by :mod:`lingua_operator.pod_defaults`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STANDARD = "Pod Security Standards"
OURS = "Lingua"

Body = dict[str, Any]
#: A field that breaks a rule, and what is wanted instead.
Finding = tuple[str, str]

_CAPABILITIES = ("securityContext", "capabilities")
CONTAINERS = ("initContainers", "containers")
_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
    }
)  # fmt: skip
_SELINUX_TYPES = frozenset({"container_engine_t", "container_init_t", "container_kvm_t", "container_t"})
_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HOOKS = ("postStart", "preStop")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator's settings and the node's ``auth`` let a template choose.

    ``images`` are prefixes of image names; none: any image.
    """

    service_accounts: frozenset[str] = frozenset({"default"})
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """One field of a template that breaks one rule."""

    field: str
    rule: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.field}: {self.wanted} ({self.rule})"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule by the name under which it is published, and what finds the fields that break it."""

    source: str
    name: str
    find: Callable[[Body, Allowed], Iterator[Finding]]

    def __str__(self) -> str:
        return f"{self.source}: {self.name}"


def refusals(template: Mapping[str, Any], allowed: Allowed) -> list[Refusal]:
    """List every field of a pod template that may not be as it is; none: the template can be used."""
    body = {"metadata": _map(template.get("metadata")), "spec": _map(template.get("spec"))}
    return [
        Refusal(f"workload.podTemplate.{where}", str(rule), wanted)
        for rule in RULES
        for where, wanted in rule.find(body, allowed)
    ]


def _map(value: Any) -> Body:  # noqa: ANN401 - whatever a tenant wrote
    return dict(value) if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - whatever a tenant wrote
    return value if isinstance(value, list) else []


def _at(value: Any, *path: str) -> Any:  # noqa: ANN401 - whatever a tenant wrote
    """Look up a field; None where the way to it ends."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _containers(body: Body) -> Iterator[tuple[str, Any]]:
    for kind in CONTAINERS:
        for number, container in enumerate(_list(body["spec"].get(kind))):
            yield f"spec.{kind}[{number}]", container


def _contexts(body: Body) -> Iterator[tuple[str, Any]]:
    """Give the security contexts of the pod and of each container."""
    yield "spec.securityContext", body["spec"].get("securityContext")
    for where, container in _containers(body):
        yield f"{where}.securityContext", _at(container, "securityContext")


def _shape(body: Body, _: Allowed) -> Iterator[Finding]:
    """Find what is not even of the right type, so that others can rely on it."""
    spec = body["spec"]
    maps = list(_contexts(body))
    lists = [(f"spec.{name}", spec.get(name)) for name in ("volumes", *CONTAINERS)]
    for where, container in _containers(body):
        maps += [(where, container), (f"{where}.securityContext.capabilities", _at(container, *_CAPABILITIES))]
        lists += [(f"{where}.{name}", _at(container, name)) for name in ("env", "envFrom", "ports", "volumeMounts")]
        lists += [(f"{where}.securityContext.capabilities.add", _at(container, *_CAPABILITIES, "add"))]
    for where, value in maps:
        if value is not None and not isinstance(value, Mapping):
            yield where, "must be a map"
    for where, value in lists:
        if value is not None and not isinstance(value, list):
            yield where, "must be a list"
        elif not all(isinstance(each, Mapping) for each in _list(value)) and not where.endswith(".add"):
            yield where, "must be a list of maps"
    yield from _scalars(body)


def _scalars(body: Body) -> Iterator[Finding]:
    """Find what is no number or no text where the operator itself adds to it."""
    grace_s = body["spec"].get("terminationGracePeriodSeconds")
    if grace_s is not None and (isinstance(grace_s, bool) or not isinstance(grace_s, int)):
        yield "spec.terminationGracePeriodSeconds", "must be a whole number"
    for where, container in _containers(body):
        for number, variable in enumerate(_list(_at(container, "env"))):
            if not isinstance(_at(variable, "name"), str):
                yield f"{where}.env[{number}].name", "must be text"


def _host_process(body: Body, _: Allowed) -> Iterator[Finding]:
    for where, context in _contexts(body):
        if _at(context, "windowsOptions", "hostProcess") not in (None, False):
            yield f"{where}.windowsOptions.hostProcess", "must be false or left out"


def _host_namespaces(body: Body, _: Allowed) -> Iterator[Finding]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if body["spec"].get(name) not in (None, False):
            yield f"spec.{name}", "must be false or left out"


def _privileged(body: Body, _: Allowed) -> Iterator[Finding]:
    for where, container in _containers(body):
        if _at(container, "securityContext", "privileged") not in (None, False):
            yield f"{where}.securityContext.privileged", "must be false or left out"


def _capabilities(body: Body, _: Allowed) -> Iterator[Finding]:
    for where, container in _containers(body):
        added = _at(container, "securityContext", "capabilities", "add")
        if any(each != "NET_BIND_SERVICE" for each in _list(added)):
            yield f"{where}.securityContext.capabilities.add", "may name NET_BIND_SERVICE only"


def _host_path(body: Body, _: Allowed) -> Iterator[Finding]:
    for number, volume in enumerate(_list(body["spec"].get("volumes"))):
        if _at(volume, "hostPath") is not None:
            yield f"spec.volumes[{number}].hostPath", "use emptyDir, a persistentVolumeClaim or an image instead"


def _volume_types(body: Body, _: Allowed) -> Iterator[Finding]:
    for number, volume in enumerate(_list(body["spec"].get("volumes"))):
        for kind in sorted(set(_map(volume)) - _VOLUMES - {"name", "hostPath"}):
            if _at(volume, kind) is not None:
                yield f"spec.volumes[{number}].{kind}", f"use one of {', '.join(sorted(_VOLUMES))}"


def _host_ports(body: Body, _: Allowed) -> Iterator[Finding]:
    for where, container in _containers(body):
        for number, port in enumerate(_list(_at(container, "ports"))):
            if _at(port, "hostPort") not in (None, 0):
                yield f"{where}.ports[{number}].hostPort", "must be 0 or left out"


def _host_probes(body: Body, _: Allowed) -> Iterator[Finding]:
    for where, container in _containers(body):
        handlers = [(name, _at(container, name)) for name in _PROBES]
        handlers += [(f"lifecycle.{name}", _at(container, "lifecycle", name)) for name in _HOOKS]
        for name, handler in handlers:
            for kind in ("httpGet", "tcpSocket"):
                if _at(handler, kind, "host") not in (None, ""):
                    yield f"{where}.{name}.{kind}.host", "must be left out: the pod itself is asked"


def _app_armor(body: Body, _: Allowed) -> Iterator[Finding]:
    for where, context in _contexts(body):
        kind = _at(context, "appArmorProfile", "type")
        if kind not in (None, "RuntimeDefault", "Localhost"):
            yield f"{where}.appArmorProfile.type", "must be RuntimeDefault, Localhost or left out"
    for name, value in _map(body["metadata"].get("annotations")).items():
        fine = value in ("", "runtime/default") or str(value).startswith("localhost/")
        if name.startswith(_APPARMOR_ANNOTATION) and not fine:
            yield f"metadata.annotations[{name}]", "must be runtime/default, localhost/... or left out"


def _se_linux(body: Body, _: Allowed) -> Iterator[Finding]:
    for where, context in _contexts(body):
        options = _at(context, "seLinuxOptions")
        if _at(options, "type") not in (None, "", *_SELINUX_TYPES):
            yield f"{where}.seLinuxOptions.type", f"must be left out or one of {', '.join(sorted(_SELINUX_TYPES))}"
        for name in ("user", "role"):
            if _at(options, name) not in (None, ""):
                yield f"{where}.seLinuxOptions.{name}", "must be left out"


def _proc_mount(body: Body, _: Allowed) -> Iterator[Finding]:
    for where, container in _containers(body):
        if _at(container, "securityContext", "procMount") not in (None, "Default"):
            yield f"{where}.securityContext.procMount", "must be Default or left out"


def _sysctls(body: Body, _: Allowed) -> Iterator[Finding]:
    for number, sysctl in enumerate(_list(_at(body["spec"], "securityContext", "sysctls"))):
        if _at(sysctl, "name") not in _SYSCTLS:
            yield f"spec.securityContext.sysctls[{number}].name", f"may be one of {', '.join(sorted(_SYSCTLS))}"


def _escalation(body: Body, _: Allowed) -> Iterator[Finding]:
    for where, container in _containers(body):
        if _at(container, "securityContext", "allowPrivilegeEscalation") not in (None, False):
            yield f"{where}.securityContext.allowPrivilegeEscalation", "must be false or left out"


def _non_root(body: Body, _: Allowed) -> Iterator[Finding]:
    for where, context in _contexts(body):
        if _at(context, "runAsNonRoot") not in (None, True):
            yield f"{where}.runAsNonRoot", "must be true or left out"


def _non_root_user(body: Body, _: Allowed) -> Iterator[Finding]:
    for where, context in _contexts(body):
        user = _at(context, "runAsUser")
        if user is not None and (not isinstance(user, int) or user == 0):
            yield f"{where}.runAsUser", "must be another user than 0, or left out"


def _seccomp(body: Body, _: Allowed) -> Iterator[Finding]:
    for where, context in _contexts(body):
        profile = _at(context, "seccompProfile")
        if profile is not None and _at(profile, "type") not in ("RuntimeDefault", "Localhost"):
            yield f"{where}.seccompProfile.type", "must be RuntimeDefault or Localhost"


def _service_account(body: Body, allowed: Allowed) -> Iterator[Finding]:
    for name in ("serviceAccountName", "serviceAccount"):
        account = body["spec"].get(name)
        if account not in (None, "", *allowed.service_accounts):
            names = ", ".join(sorted(allowed.service_accounts))
            yield f"spec.{name}", f"may be {names}; set auth.serviceAccountName to use another one"


def _api_token(body: Body, _: Allowed) -> Iterator[Finding]:
    """A node has no business with the API server: its token is for the schedulers and mounted by the operator."""
    if body["spec"].get("automountServiceAccountToken") not in (None, False):
        yield "spec.automountServiceAccountToken", "must be false or left out: a node does not talk to the API server"
    for number, volume in enumerate(_list(body["spec"].get("volumes"))):
        for place, source in enumerate(_list(_at(volume, "projected", "sources"))):
            if _at(source, "serviceAccountToken") is not None:
                where = f"spec.volumes[{number}].projected.sources[{place}].serviceAccountToken"
                yield (
                    where,
                    "remove it: set auth.serviceAccountName, and the operator mounts a token for the schedulers",
                )


def _placement(body: Body, _: Allowed) -> Iterator[Finding]:
    if body["spec"].get("nodeName") not in (None, ""):
        yield "spec.nodeName", "use nodeSelector or affinity: nodeName passes by the scheduler of Kubernetes"
    if str(body["spec"].get("priorityClassName") or "").startswith("system-"):
        yield "spec.priorityClassName", "use a class of your own: system classes push others out"


def _ephemeral(body: Body, _: Allowed) -> Iterator[Finding]:
    if body["spec"].get("ephemeralContainers"):
        yield "spec.ephemeralContainers", "remove them: they are added to running pods only"


def _images(body: Body, allowed: Allowed) -> Iterator[Finding]:
    if not allowed.images:
        return
    named = [(f"{where}.image", _at(container, "image")) for where, container in _containers(body)]
    for number, volume in enumerate(_list(body["spec"].get("volumes"))):
        if _at(volume, "image") is not None:
            named.append((f"spec.volumes[{number}].image.reference", _at(volume, "image", "reference")))
    for where, image in named:
        if not str(image).startswith(allowed.images):
            yield where, f"must begin with one of {', '.join(allowed.images)}"


RULES = (
    Rule(OURS, "Shape", _shape),
    Rule(f"{STANDARD}, baseline", "HostProcess", _host_process),
    Rule(f"{STANDARD}, baseline", "Host Namespaces", _host_namespaces),
    Rule(f"{STANDARD}, baseline", "Privileged Containers", _privileged),
    Rule(f"{STANDARD}, restricted", "Capabilities", _capabilities),
    Rule(f"{STANDARD}, baseline", "HostPath Volumes", _host_path),
    Rule(f"{STANDARD}, restricted", "Volume Types", _volume_types),
    Rule(f"{STANDARD}, baseline", "Host Ports", _host_ports),
    Rule(f"{STANDARD}, baseline", "Host Probes / Lifecycle Hooks", _host_probes),
    Rule(f"{STANDARD}, baseline", "AppArmor", _app_armor),
    Rule(f"{STANDARD}, baseline", "SELinux", _se_linux),
    Rule(f"{STANDARD}, baseline", "/proc Mount Type", _proc_mount),
    Rule(f"{STANDARD}, baseline", "Sysctls", _sysctls),
    Rule(f"{STANDARD}, restricted", "Privilege Escalation", _escalation),
    Rule(f"{STANDARD}, restricted", "Running as Non-root", _non_root),
    Rule(f"{STANDARD}, restricted", "Running as Non-root user", _non_root_user),
    Rule(f"{STANDARD}, restricted", "Seccomp", _seccomp),
    Rule(OURS, "Service Account", _service_account),
    Rule(OURS, "No API Token", _api_token),
    Rule(OURS, "Placement", _placement),
    Rule(OURS, "No Ephemeral Containers", _ephemeral),
    Rule(OURS, "Images", _images),
)
