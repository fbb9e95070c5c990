"""The pod of a node, on plain values: what it is made of, when it is replaced, and what is told of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lingua_operator.pod_view import PodView, parse_pod
from lingua_operator.pods import allowed_for, build_pod, plan_pods, pod_hash, pod_name, problem_of
from lingua_operator.reconcile import PodFact, Problem
from lingua_operator.resource import Node, parse_node

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CONTAINERS = [{"name": "side", "image": "s:1"}, {"name": "node", "image": "n:1"}]


def node(template: dict[str, Any] | None = None, conditions: list[dict[str, Any]] | None = None, **spec: Any) -> Node:
    pod_template = template or {"spec": {"containers": CONTAINERS}}
    return parse_node(
        {
            "metadata": {
                "name": "es", "namespace": "speech", "uid": "u1", "generation": 3, "resourceVersion": "9",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"lingua.dev/fleet": "es", "lingua.dev/template-hash": "h", "team": "x"},
            },
            "spec": {
                "languages": {"asr": ["en", "auto"], "tts": ["es"]}, "capacity": {"maxJobs": 3},
                "workload": {"podTemplate": pod_template}, **spec,
            },
            "status": {"conditions": conditions or []},
        }
    )  # fmt: skip


def drained(generation: int = 3) -> list[dict[str, Any]]:
    return [{"type": "Drained", "status": "True", "reason": "Drained", "observedGeneration": generation}]


def pod(**changes: Any) -> PodView:
    words: dict[str, Any] = {
        "name": "es-1", "uid": "p1", "owner_uid": "u1", "hash": pod_hash(node()), "number": 0,
        "created": NOW - timedelta(seconds=60), "deleted": None, "ended": False, "running": True, "finished": NOW,
        "reason": "PodNotConnected", "message": "m", "version": 1,
    }  # fmt: skip
    return PodView(**(words | changes))


def plan(of: Node, *pods: PodView, now: datetime = NOW, wished: bool = True, refused: Problem | None = None) -> Any:
    return plan_pods(of, pods, now, wished=wished, refused=refused)


def test_a_node_without_a_pod_gets_one() -> None:
    assert plan(node()).create == 0


def test_a_pod_that_is_as_wished_stays() -> None:
    found = plan(node(), pod())
    assert (found.create, found.delete) == (None, ())
    assert found.fact == PodFact(gone=False, reason="PodNotConnected", message="m")


def test_a_pod_of_an_older_template_is_drained_then_deleted_then_made_again() -> None:
    old = pod(hash="older")
    first = plan(node(), old)
    assert first.fact.drain
    assert first.delete == ()
    assert plan(node(conditions=drained(2)), old).delete == ()
    second = plan(node(conditions=drained()), old)
    assert second.delete == (old,)
    assert second.fact.drain
    ending = plan(node(conditions=drained()), replace(old, deleted=NOW + timedelta(seconds=30)))
    assert (ending.create, ending.fact.drain) == (None, True)
    assert plan(node(conditions=drained())).create == 0
    assert not plan(node(conditions=drained()), pod()).fact.drain


def test_a_pod_of_an_older_template_that_never_ran_is_replaced_at_once() -> None:
    assert plan(node(), pod(hash="older", running=False)).delete


def test_a_failed_pod_is_replaced_more_slowly_each_time() -> None:
    waits = []
    for number in range(7):
        failed = pod(ended=True, number=number, reason="Evicted")
        waiting = plan(node(), failed)
        assert waiting.create is None
        assert waiting.fact.reason == "Evicted"
        waits.append((waiting.wake_at - NOW).total_seconds())
        assert plan(node(), failed, now=waiting.wake_at).create == number + 1
    assert waits == [10, 20, 40, 80, 160, 300, 300]


def test_a_pod_that_ran_long_is_replaced_at_once() -> None:
    failed = pod(ended=True, number=5, created=NOW - timedelta(hours=1))
    assert plan(node(), failed).create == 1


def test_a_failed_pod_goes_only_when_its_successor_is_there() -> None:
    failed, new = pod(ended=True, number=0), pod(uid="p2", name="es-2", number=1)
    assert plan(node(), failed, now=NOW + timedelta(seconds=20)).delete == ()
    assert plan(node(), failed, new).delete == (failed,)


def test_of_two_pods_the_newer_stays() -> None:
    first, second = pod(), pod(uid="p2", name="es-2", number=1)
    assert plan(node(), second, first).delete == (first,)


def test_a_pod_that_should_long_have_ended_holds_nobody_up() -> None:
    lost = pod(deleted=NOW - timedelta(seconds=61))
    assert plan(node(), lost).create == 0
    assert plan(node(), replace(lost, deleted=NOW)).create is None


def test_a_node_that_shall_have_no_pod_loses_it() -> None:
    assert plan(node(), pod(), wished=False).delete == (pod(),)


def test_a_refused_template_makes_no_pod_and_leaves_the_one_that_runs() -> None:
    refused = Problem("PodTemplateRefused", "spec.hostPID")
    assert plan(node(), refused=refused).create is None
    running = plan(node(), pod(hash="older"), refused=refused)
    assert (running.delete, running.fact.drain, running.fact.problem) == ((), False, refused)


def test_the_problem_names_the_field_the_rule_and_how_many_more() -> None:
    bad = node({"spec": {"containers": CONTAINERS, "hostPID": True, "hostIPC": True}}).spec
    assert bad
    found = problem_of(bad, allowed_for(bad, frozenset(), ()))
    assert found
    assert found.reason == "PodTemplateRefused"
    assert "workload.podTemplate.spec.hostPID" in found.message
    assert "Pod Security Standards, baseline: Host Namespaces" in found.message
    assert "1 more fields" in found.message


def test_a_node_may_name_the_account_of_its_auth_and_no_other() -> None:
    spec = node(auth={"serviceAccountName": "speaker"}).spec
    assert spec
    assert allowed_for(spec, frozenset({"extra"}), ()).service_accounts == {"speaker"}
    spec = node().spec
    assert spec
    assert allowed_for(spec, frozenset({"extra"}), ()).service_accounts == {"default", "extra"}


def env(body: dict[str, Any]) -> dict[str, str]:
    container = next(each for each in body["spec"]["containers"] if each["name"] == "node")
    return {each["name"]: each["value"] for each in container["env"]}


def test_a_pod_is_told_who_it_is_where_to_go_and_what_to_do() -> None:
    body = build_pod(node(drainDeadlineSeconds=120), 0, "ws://scheduler:5010/ws/node")
    assert env(body) == {
        "LINGUA_NODE_NODE_ID": "speech.es", "LINGUA_NODE_URL": "ws://scheduler:5010/ws/node",
        "LINGUA_NODE_MAX_JOBS": "3", "LINGUA_NODE_LANGUAGES": "en,es", "LINGUA_NODE_DRAIN_S": "120",
    }  # fmt: skip
    assert "env" not in body["spec"]["containers"][0]
    assert body["spec"]["terminationGracePeriodSeconds"] == 150
    assert body["metadata"]["ownerReferences"][0]["uid"] == "u1"
    assert body["metadata"]["name"] == pod_name(node(drainDeadlineSeconds=120), 0)
    assert body["metadata"]["labels"] == {
        "app.kubernetes.io/name": "lingua-node", "app.kubernetes.io/component": "lingua-node",
        "app.kubernetes.io/part-of": "lingua", "app.kubernetes.io/managed-by": "lingua-operator",
        "lingua.dev/fleet": "es", "lingua.dev/template-hash": "h", "lingua.dev/node-id": "speech.es",
    }  # fmt: skip


def test_a_template_chooses_its_settings_but_not_its_name_its_labels_or_its_owner() -> None:
    theirs = [{"name": "LINGUA_NODE_NODE_ID", "value": "other"}, {"name": "LINGUA_NODE_MAX_JOBS", "value": "1"},
              {"name": "MINE", "value": "x"}]  # fmt: skip
    template = {
        "metadata": {
            "name": "x", "ownerReferences": [{"uid": "y"}], "finalizers": ["z"], "labels": {"lingua.dev/fleet": "no"},
            "annotations": {"operator.lingua.dev/pod-hash": "no", "mine": "x"},
        },
        "spec": {"containers": [{"name": "node", "image": "n", "env": theirs}], "terminationGracePeriodSeconds": 900},
    }  # fmt: skip
    body = build_pod(node(template), 0, "")
    assert env(body)["LINGUA_NODE_NODE_ID"] == "speech.es"
    assert env(body)["LINGUA_NODE_MAX_JOBS"] == "1"
    assert env(body)["MINE"] == "x"
    assert "LINGUA_NODE_URL" not in env(body)
    assert set(body["metadata"]) == {"name", "namespace", "labels", "annotations", "ownerReferences"}
    assert body["metadata"]["labels"]["lingua.dev/fleet"] == "es"
    assert body["metadata"]["annotations"]["mine"] == "x"
    assert body["metadata"]["annotations"]["operator.lingua.dev/pod-hash"] == pod_hash(node(template))
    assert body["spec"]["terminationGracePeriodSeconds"] == 900


@pytest.mark.parametrize(
    ("auth", "source"),
    [
        ({"tokenSecretRef": {"name": "t", "key": "k"}},
         {"secret": {"secretName": "t", "items": [{"key": "k", "path": "token"}]}}),
        ({"serviceAccountName": "speaker"},
         {"projected": {"sources": [{"serviceAccountToken":
            {"audience": "lingua-node", "expirationSeconds": 3600, "path": "token"}}]}}),
    ],
)  # fmt: skip
def test_a_credential_comes_as_a_file(auth: dict[str, Any], source: dict[str, Any]) -> None:
    body = build_pod(node(auth=auth), 0, "")
    volume = next(each for each in body["spec"]["volumes"] if each["name"] == "lingua-node-token")
    assert volume == {"name": "lingua-node-token", **source}
    mounts = next(each for each in body["spec"]["containers"] if each["name"] == "node")["volumeMounts"]
    folder = next(each["mountPath"] for each in mounts if each["name"] == "lingua-node-token")
    assert env(body)["LINGUA_NODE_TOKEN_FILE"] == f"{folder}/token"
    assert body["spec"].get("serviceAccountName") == auth.get("serviceAccountName")


def test_what_changes_the_pod_changes_its_hash_and_nothing_else_does() -> None:
    same = pod_hash(node())
    assert pod_hash(node(weight=1, scheduling="Cordoned", drainDeadlineSeconds=9)) == same
    for changed in (
        node({"spec": {"containers": [{"name": "node", "image": "n:2"}]}}),
        node(auth={"serviceAccountName": "speaker"}),
        node(capacity={"maxJobs": 4}),
    ):
        assert pod_hash(changed) != same


def body(status: dict[str, Any], **meta: Any) -> dict[str, Any]:
    metadata = {"name": "es-1", "uid": "p1", "creationTimestamp": "2026-01-01T11:00:00Z", **meta}
    return {"metadata": metadata, "status": status}


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{"name": "node", "state": state, **more}]}


@pytest.mark.parametrize(
    ("status", "reason", "told"),
    [
        (waiting("ImagePullBackOff", "not found"), "ImagePullFailed", "not found"),
        (waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
         "CrashLoop", "exit code 137 (OOMKilled)"),
        (waiting("CreateContainerConfigError", 'secret "t" not found'), "ContainerNotMade", 'secret "t" not found'),
        ({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                                               "message": "0/3 nodes are available: 3 Insufficient cpu."}]},
         "Unschedulable", "Insufficient cpu"),
        ({"phase": "Running"}, "PodNotConnected", "kubectl logs es-1"),
        ({}, "PodStarting", "es-1"),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, "Evicted", "low on memory"),
        ({"phase": "Failed", "reason": "so: odd"}, "PodEnded", "failed"),
        ({"phase": "Succeeded", "containerStatuses": [{"name": "node", "state": {"terminated": {"exitCode": 0}}}]},
         "PodEnded", "exit code 0"),
    ],
)  # fmt: skip
def test_the_trouble_of_a_pod_is_told(status: dict[str, Any], reason: str, told: str) -> None:
    found = parse_pod(body(status))
    assert found.reason == reason
    assert told in found.message


@pytest.mark.parametrize(("written", "number"), [("7", 7), ("²", 0), ("-1", 0), ("9" * 5_000, 0), ("", 0)])
def test_a_number_that_somebody_else_wrote_brings_nothing_down(written: str, number: int) -> None:
    assert parse_pod(body({}, annotations={"operator.lingua.dev/pod-number": written})).number == number


def test_the_owner_of_a_pod_is_its_controller_and_a_translation_node() -> None:
    owners: list[dict[str, Any]] = [
        {"kind": "Job", "uid": "j", "controller": True},
        {"kind": "TranslationNode", "uid": "u1"},
    ]
    assert parse_pod(body({}, ownerReferences=owners)).owner_uid == ""
    owners[1]["controller"] = True
    assert parse_pod(body({}, ownerReferences=owners)).owner_uid == "u1"
