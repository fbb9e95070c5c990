"""What a pod template may not ask for: each rule has templates that it alone refuses, and the API server agrees."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.kube.api import path
from kit.kube.manifests import merged
from lingua_operator.pod_defaults import hardened
from lingua_operator.pod_security import OURS, RULES, STANDARD, Allowed, refusals

if TYPE_CHECKING:
    from kit.kube.bed import Bed

Body = dict[str, Any]
PLAIN: Body = {"spec": {"containers": [{"name": "node", "image": "example.org/node:1"}]}}
ALLOWED = Allowed(frozenset({"default", "speaker"}))


def context(**fields: Any) -> Body:
    """A template whose container has a security context."""
    return {"spec": {"containers": [{"name": "node", "image": "example.org/node:1", "securityContext": fields}]}}


def pod(**fields: Any) -> Body:
    made: Body = merged(PLAIN, {"spec": fields})
    return made


def container(**fields: Any) -> Body:
    return {"spec": {"containers": [{"name": "node", "image": "example.org/node:1", **fields}]}}


def init(**fields: Any) -> Body:
    return pod(initContainers=[{"name": "first", "image": "example.org/node:1", **fields}])


def volume(**source: Any) -> Body:
    return pod(volumes=[{"name": "v", **source}])


CONTAINER = "spec.containers[0]"
#: The published controls: name, field, template. The API server refuses each of them too.
STANDARDS = [
    ("HostProcess", "spec.securityContext.windowsOptions.hostProcess",
     pod(securityContext={"windowsOptions": {"hostProcess": True}}, hostNetwork=True)),
    ("HostProcess", f"{CONTAINER}.securityContext.windowsOptions.hostProcess",
     context(windowsOptions={"hostProcess": True})),
    ("Host Namespaces", "spec.hostNetwork", pod(hostNetwork=True)),
    ("Host Namespaces", "spec.hostPID", pod(hostPID=True)),
    ("Host Namespaces", "spec.hostIPC", pod(hostIPC=True)),
    ("Privileged Containers", f"{CONTAINER}.securityContext.privileged", context(privileged=True)),
    ("Privileged Containers", "spec.initContainers[0].securityContext.privileged",
     init(securityContext={"privileged": True})),
    ("Capabilities", f"{CONTAINER}.securityContext.capabilities.add", context(capabilities={"add": ["SYS_ADMIN"]})),
    ("Capabilities", f"{CONTAINER}.securityContext.capabilities.add",
     context(capabilities={"add": ["NET_BIND_SERVICE", "CHOWN"]})),
    ("HostPath Volumes", "spec.volumes[0].hostPath", volume(hostPath={"path": "/"})),
    ("Volume Types", "spec.volumes[0].nfs", volume(nfs={"server": "10.0.0.1", "path": "/"})),
    ("Volume Types", "spec.volumes[0].gitRepo", volume(gitRepo={"repository": "https://example.org/r.git"})),
    ("Volume Types", "spec.volumes[0].iscsi",
     volume(iscsi={"targetPortal": "10.0.0.1:3260", "iqn": "iqn.2001-04.com.example:s", "lun": 0})),
    ("Host Ports", f"{CONTAINER}.ports[0].hostPort",
     container(ports=[{"containerPort": 8080, "hostPort": 8080}])),
    ("Host Probes / Lifecycle Hooks", f"{CONTAINER}.livenessProbe.httpGet.host",
     container(livenessProbe={"httpGet": {"port": 80, "host": "169.254.169.254"}})),
    ("Host Probes / Lifecycle Hooks", f"{CONTAINER}.readinessProbe.tcpSocket.host",
     container(readinessProbe={"tcpSocket": {"port": 80, "host": "10.0.0.1"}})),
    ("Host Probes / Lifecycle Hooks", f"{CONTAINER}.lifecycle.preStop.httpGet.host",
     container(lifecycle={"preStop": {"httpGet": {"port": 80, "host": "10.0.0.1"}}})),
    ("AppArmor", f"{CONTAINER}.securityContext.appArmorProfile.type",
     context(appArmorProfile={"type": "Unconfined"})),
    ("AppArmor", "metadata.annotations[container.apparmor.security.beta.kubernetes.io/node]",
     {"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/node": "unconfined"}},
      **PLAIN}),
    ("SELinux", "spec.securityContext.seLinuxOptions.type",
     pod(securityContext={"seLinuxOptions": {"type": "spc_t"}})),
    ("SELinux", f"{CONTAINER}.securityContext.seLinuxOptions.role", context(seLinuxOptions={"role": "system_r"})),
    ("/proc Mount Type", f"{CONTAINER}.securityContext.procMount",
     merged(context(procMount="Unmasked"), {"spec": {"hostUsers": False}})),
    ("Sysctls", "spec.securityContext.sysctls[0].name",
     pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]})),
    ("Privilege Escalation", f"{CONTAINER}.securityContext.allowPrivilegeEscalation",
     context(allowPrivilegeEscalation=True)),
    ("Running as Non-root", f"{CONTAINER}.securityContext.runAsNonRoot", context(runAsNonRoot=False)),
    ("Running as Non-root", "spec.securityContext.runAsNonRoot", pod(securityContext={"runAsNonRoot": False})),
    ("Running as Non-root user", f"{CONTAINER}.securityContext.runAsUser", context(runAsUser=0)),
    ("Seccomp", f"{CONTAINER}.securityContext.seccompProfile.type", context(seccompProfile={"type": "Unconfined"})),
    ("Seccomp", "spec.securityContext.seccompProfile.type",
     pod(securityContext={"seccompProfile": {"type": "Unconfined"}})),
]  # fmt: skip
TOKEN = {"serviceAccountToken": {"path": "t", "audience": "https://kubernetes.default.svc"}}
TOKEN_FIELD = "spec.volumes[0].projected.sources[0].serviceAccountToken"
#: What Lingua refuses beyond that.
OWN = [
    ("Shape", "spec.securityContext", pod(securityContext=["x"])),
    ("Shape", f"{CONTAINER}.securityContext.capabilities", context(capabilities="ALL")),
    ("Shape", f"{CONTAINER}.securityContext.capabilities.add", context(capabilities={"add": "SYS_ADMIN"})),
    ("Shape", "spec.volumes", pod(volumes={"name": "x"})),
    ("Shape", f"{CONTAINER}.env", container(env=["x"])),
    ("Shape", f"{CONTAINER}.env[0].name", container(env=[{"name": ["x"]}])),
    ("Shape", "spec.terminationGracePeriodSeconds", pod(terminationGracePeriodSeconds="a while")),
    ("Service Account", "spec.serviceAccountName", pod(serviceAccountName="admin")),
    ("Service Account", "spec.serviceAccount", pod(serviceAccount="admin")),
    ("No API Token", "spec.automountServiceAccountToken", pod(automountServiceAccountToken=True)),
    (
        "No API Token",
        "spec.volumes[0].projected.sources[0].serviceAccountToken",
        volume(projected={"sources": [TOKEN]}),
    ),
    ("Placement", "spec.nodeName", pod(nodeName="control-plane")),
    ("Placement", "spec.priorityClassName", pod(priorityClassName="system-node-critical")),
    ("No Ephemeral Containers", "spec.ephemeralContainers", pod(ephemeralContainers=[{"name": "x"}])),
]
FINE = [
    PLAIN,
    pod(serviceAccountName="speaker", automountServiceAccountToken=False),
    context(capabilities={"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}, runAsUser=1000, runAsGroup=0),
    context(seccompProfile={"type": "Localhost", "localhostProfile": "p.json"}, procMount="Default"),
    context(readOnlyRootFilesystem=False, seLinuxOptions={"type": "container_t", "level": "s0:c1,c2"}),
    pod(securityContext={"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}], "fsGroup": 1000}),
    pod(hostNetwork=False, hostPID=None, volumes=[{"name": "m", "image": {"reference": "example.org/model:1"}}]),
    volume(persistentVolumeClaim={"claimName": "models"}),
    container(ports=[{"containerPort": 8080}], livenessProbe={"httpGet": {"port": 8080}}),
]


@pytest.mark.parametrize(("rule", "field", "template"), STANDARDS + OWN)
def test_a_rule_refuses_its_template_and_names_field_and_rule(rule: str, field: str, template: Body) -> None:
    found = refusals(template, ALLOWED)
    named = {(each.field.removeprefix("workload.podTemplate."), each.rule.split(": ", 1)[1]) for each in found}
    assert (field, rule) in named
    assert all(each.rule.startswith((STANDARD, OURS)) for each in found)


def test_every_rule_has_a_template_that_it_refuses() -> None:
    tested = {rule for rule, _, _ in STANDARDS + OWN} | {"Images"}
    assert tested == {rule.name for rule in RULES}
    assert {rule.name for rule in RULES if rule.source.startswith(STANDARD)} == {rule for rule, _, _ in STANDARDS}


def test_images_are_held_to_the_prefixes_that_are_set() -> None:
    allowed = Allowed(images=("registry.example.org/lingua/", "registry.example.org/team/"))
    (found,) = refusals(PLAIN, allowed)
    assert found.field == "workload.podTemplate.spec.containers[0].image"
    (found,) = refusals(merged(volume(image={"reference": "elsewhere.org/m:1"}), {"spec": {"containers": []}}), allowed)
    assert found.field == "workload.podTemplate.spec.volumes[0].image.reference"
    assert not refusals({"spec": {"containers": [{"image": "registry.example.org/team/node:1"}]}}, allowed)


@pytest.mark.parametrize("template", FINE)
def test_what_is_harmless_is_not_refused(template: Body) -> None:
    assert refusals(template, ALLOWED) == []


def test_a_template_that_says_nothing_gets_the_restricted_defaults() -> None:
    spec = hardened(PLAIN["spec"])
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert spec["automountServiceAccountToken"] is False
    (made,) = spec["containers"]
    assert made["securityContext"] == {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
    }  # fmt: skip
    assert made["volumeMounts"] == [{"name": "lingua-tmp", "mountPath": "/tmp"}]
    assert spec["volumes"] == [{"name": "lingua-tmp", "emptyDir": {}}]
    assert PLAIN["spec"]["containers"] == [{"name": "node", "image": "example.org/node:1"}]


def test_what_a_template_says_within_the_rules_stays() -> None:
    said = context(runAsUser=7, capabilities={"add": ["NET_BIND_SERVICE"]}, readOnlyRootFilesystem=False)["spec"]
    (made,) = hardened(said)["containers"]
    assert made["securityContext"]["runAsUser"] == 7
    assert made["securityContext"]["capabilities"] == {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}
    assert made["securityContext"]["readOnlyRootFilesystem"] is False
    assert "volumeMounts" not in made


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("aA/:", max_size=4),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["spec", "metadata", "containers", "initContainers", "securityContext", "capabilities", "add", "volumes",
             "hostPath", "projected", "sources", "ports", "env", "annotations", "sysctls", "name", "lifecycle",
             "preStop", "httpGet", "volumeMounts", "mountPath", "windowsOptions", "seccompProfile", "type"]
        ),
        inner, max_size=5,
    ),
    max_leaves=25,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["spec", "metadata"]), json_values))
def test_no_template_however_odd_brings_the_check_down(template: Body) -> None:
    found = refusals(template, ALLOWED)
    spec = template.get("spec")
    if not found and isinstance(spec, dict):
        hardened(spec)


@pytest.fixture(scope="module")
def guarded(bed: Bed) -> str:
    """A namespace in which the API server itself enforces the standard."""
    name = bed.namespace("guarded", {
        "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest",
    })  # fmt: skip
    bed.account(name, "speaker")
    return name


def judged(bed: Bed, namespace: str, template: Body, spec: Body) -> tuple[bool, str]:
    """Ask the API server about the pod, without making it."""
    body = {"metadata": {"name": "p", **template.get("metadata", {})}, "spec": spec}
    answer = bed.api.create(path("pods", namespace, group="v1"), body, dryRun="All")
    return answer.ok, "" if answer.ok else answer.message


@pytest.mark.parametrize(("rule", "field", "template"), STANDARDS)
def test_the_api_server_refuses_what_the_standard_refuses(
    bed: Bed, guarded: str, rule: str, field: str, template: Body
) -> None:
    del field
    bare = copy.deepcopy(template["spec"])
    fine, message = judged(bed, guarded, template, merged(hardened(PLAIN["spec"]), _relevant(bare)))
    assert not fine, rule
    # Windows' host processes are refused before the standard is asked: the rest of such a pod would be another one.
    assert "violates PodSecurity" in message or rule == "HostProcess", message


def _relevant(spec: Body) -> Body:
    """Keep the restricted defaults where the template says nothing, so that only its own offence is judged."""
    defaults = hardened(PLAIN["spec"])
    for kind in ("containers", "initContainers"):
        spec[kind] = [merged(defaults["containers"][0], each) for each in spec.get(kind, [])]
        for each in spec[kind]:
            # Both at once is no valid pod at all.
            if each["securityContext"].get("privileged"):
                del each["securityContext"]["allowPrivilegeEscalation"]
    spec["volumes"] = defaults["volumes"] + spec.get("volumes", [])
    return spec


@pytest.mark.parametrize("template", FINE)
def test_the_api_server_takes_what_was_hardened(bed: Bed, guarded: str, template: Body) -> None:
    fine, message = judged(bed, guarded, template, hardened(template["spec"]))
    assert fine, message
