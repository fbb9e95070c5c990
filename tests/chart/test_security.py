"""Every pod of the chart is restricted, and every right it gives is narrow (guarantees T13, T15)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from kit import chart
from kit.kube.api import path
from kit.pod_security import OF_CONTAINER, OF_POD, findings
from lingua_operator.pods import allowed_for, problem_of
from lingua_operator.resource import parse_spec
from lingua_operator.rights import verbs_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from kit.kube.bed import Bed

Body = dict[str, Any]
GROUPS = ("Role", "ClusterRole")
#: Rights that let their holder take others, or read what it need not.
FORBIDDEN_RESOURCES = {
    "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "serviceaccounts/token", "nodes/proxy",
    "roles", "rolebindings", "clusterroles", "clusterrolebindings", "customresourcedefinitions",
    "validatingwebhookconfigurations", "mutatingwebhookconfigurations", "users", "groups", "serviceaccounts",
}  # fmt: skip
FORBIDDEN_VERBS = {"*", "impersonate", "bind", "escalate", "deletecollection"}


@pytest.mark.parametrize("profile", chart.profiles())
def test_every_pod_is_restricted(profile: str) -> None:
    for where, pod in chart.pods(chart.render(chart.profiles()[profile])):
        assert list(findings(pod["spec"])) == [], where


def test_the_api_server_takes_every_pod_in_a_restricted_namespace(bed: Bed) -> None:
    namespace = bed.namespace("restricted", {"pod-security.kubernetes.io/enforce": "restricted"})
    pods = path("pods", namespace, group="v1")
    judged = set()
    for values in chart.profiles().values():
        for where, pod in chart.pods(chart.render(values, namespace)):
            spec = {**pod["spec"], "serviceAccountName": "default"}
            spec.pop("priorityClassName", None)
            answer = bed.api.create(
                pods, {"metadata": {"name": "tried"}, "spec": spec}, dryRun="All", fieldValidation="Strict"
            )
            assert answer.ok, f"{where}: {answer.message}"
            judged.add(where)
    assert {where.partition("/")[0] for where in judged} >= {
        "Deployment",
        "StatefulSet",
        "Job",
        "Pod",
        "TranslationFleet",
    }
    naive = {"metadata": {"name": "tried"}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
    assert "violates PodSecurity" in bed.api.create(pods, naive, dryRun="All").message


@pytest.mark.parametrize("profile", ["to try out, with the node", "all checks of nodes", "every key of the parts"])
def test_the_operator_takes_the_template_of_the_reference_fleet(profile: str) -> None:
    (fleet,) = chart.fleets(chart.render(chart.MATRIX[profile]))
    spec = parse_spec(fleet["spec"]["template"]["spec"])
    assert problem_of(spec, allowed_for(spec, frozenset(), ())) is None


def spoiled(pod: Body, change: Callable[[Body, Body], object]) -> Body:
    pod = copy.deepcopy(pod)
    change(pod, pod["containers"][0])
    return pod


#: One change for each check; the check of that name must find it.
SPOILERS: dict[str, Callable[[Body, Body], object]] = {
    "no namespace of the host": lambda pod, _: pod.update(hostPID=True),
    "only harmless volumes": lambda pod, _: pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
    "no sysctl": lambda pod, _: pod["securityContext"].update(sysctls=[{"name": "a", "value": "1"}]),
    "the token is given or withheld on purpose": lambda pod, _: pod.pop("automountServiceAccountToken"),
    "no list of every service in the environment": lambda pod, _: pod.pop("enableServiceLinks"),
    "not privileged": lambda _, container: container["securityContext"].update(privileged=True),
    "no escalation": lambda _, container: container["securityContext"].pop("allowPrivilegeEscalation"),
    "not root": lambda pod, _: pod["securityContext"].pop("runAsNonRoot"),
    "a high user": lambda pod, _: pod["securityContext"].update(runAsUser=1000),
    "a high group": lambda pod, _: pod["securityContext"].pop("runAsGroup"),
    "the runtime's filter of system calls": lambda pod, _: pod["securityContext"].pop("seccompProfile"),
    "no capability": lambda _, container: container["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
    "no unmasked /proc": lambda _, container: container["securityContext"].update(procMount="Unmasked"),
    "no other profile": lambda pod, _: pod["securityContext"].update(appArmorProfile={"type": "Unconfined"}),
    "no port of the host": lambda _, container: container["ports"][0].update(hostPort=80),
    "a root that can't be written": lambda _, container: container["securityContext"].pop("readOnlyRootFilesystem"),
    "a bound of memory and a request of CPU": lambda _, container: container["resources"].pop("limits"),
    "an image of a known version": lambda _, container: container.update(image="lingua-scheduler"),
    "no secret in a variable": lambda _, container: container["env"].append(
        {"name": "X", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
    ),
    "no secret in a plain variable": lambda _, container: container["env"].append({"name": "A_SECRET", "value": "x"}),
}


def test_every_check_finds_what_it_is_for() -> None:
    pod = chart.one(chart.render(chart.HOSTS), "Deployment", "-scheduler")["spec"]["template"]["spec"]
    assert set(SPOILERS) == set(OF_POD) | set(OF_CONTAINER)
    for what, change in SPOILERS.items():
        assert [found.rpartition(": ")[2] for found in findings(spoiled(pod, change))] == [what]


def rules(bodies: list[Body]) -> list[tuple[str, Body]]:
    return [
        (body["metadata"]["name"], rule)
        for kind in GROUPS
        for body in chart.of_kind(bodies, kind)
        for rule in body["rules"]
    ]


@pytest.mark.parametrize("profile", chart.profiles())
def test_no_right_is_a_wildcard_or_leads_to_others(profile: str) -> None:
    for name, rule in rules(chart.render(chart.profiles()[profile])):
        assert set(rule["verbs"]).isdisjoint(FORBIDDEN_VERBS), name
        assert set(rule["resources"]).isdisjoint(FORBIDDEN_RESOURCES), name
        assert "*" not in "".join([*rule["resources"], *rule["apiGroups"]]), name
        if "secrets" in rule["resources"]:
            assert rule["verbs"] == ["get"], name
        assert "nonResourceURLs" not in rule


def test_rights_are_in_the_whole_cluster_only_where_that_was_asked_for() -> None:
    wide = {
        profile: len(chart.of_kind(chart.render(values), "ClusterRole")) for profile, values in chart.profiles().items()
    }
    asked = {"all checks of nodes", "the whole cluster, watched", "production"}
    assert {profile for profile, count in wide.items() if count} == asked
    (rule,) = chart.one(chart.render(chart.MATRIX["all checks of nodes"]), "ClusterRole")["rules"]
    assert rule == {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}


def test_every_rule_says_what_it_is_for() -> None:
    for file in (chart.CHART / "templates").rglob("*.yaml"):
        lines = file.read_text().splitlines()
        for number, line in enumerate(lines):
            if line.strip().startswith("- apiGroups:"):
                assert lines[number - 1].strip().startswith("# "), f"{file.name}:{number + 1}"


def granted(bodies: list[Body], ending: str) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for role in bodies
        if role["kind"] in GROUPS and role["metadata"]["name"].endswith(ending)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("profile", ["to try out", "the whole cluster, watched", "several namespaces", "production"])
def test_the_operator_gets_the_rights_it_uses_and_no_other(profile: str) -> None:
    bodies = chart.render(chart.profiles()[profile])
    assert granted(bodies, "-operator") == verbs_of(("core", "pods", "fleets", "mirror"))
    standby = chart.profiles()[profile].get("operator", {}).get("standby", False)
    assert granted(bodies, "-standby") == (verbs_of(("standby",)) if standby else set())


def test_each_namespace_served_has_its_role_and_no_other() -> None:
    bodies = chart.render(chart.MATRIX["several namespaces"])
    roles = {body["metadata"]["namespace"] for body in chart.of_kind(bodies, "Role", "-operator")}
    bindings = {body["metadata"]["namespace"]: body for body in chart.of_kind(bodies, "RoleBinding", "-operator")}
    assert roles == set(bindings) == {"red", "blue"}
    for binding in bindings.values():
        (subject,) = binding["subjects"]
        assert subject["namespace"] == chart.NAMESPACE


def test_without_rbac_no_right_is_made() -> None:
    bodies = chart.render(chart.MATRIX["no rights made"])
    assert not [body for body in bodies if body["kind"] in {*GROUPS, "RoleBinding", "ClusterRoleBinding"}]
