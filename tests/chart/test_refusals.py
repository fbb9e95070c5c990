"""Values that can't work are refused before anything is made, with words that tell what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kit import chart

B, H = chart.BUNDLED, chart.HOSTS
EXTERNAL = H["redis"]["external"]


def external(**more: Any) -> dict[str, Any]:
    return {"redis": {"external": {**EXTERNAL, **more}}}


#: Values, and words of the refusal: the first say what is wrong, the last what to do.
CONTRADICTIONS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "no Redis is named", "set redis.external.existingSecret"),
    ({"redis": {**B["redis"], **H["redis"]}}, "both name a store", "set redis.bundled.enabled=false"),
    (external(existingSecret="redis"), "both name the store", "keep one"),
    (
        {"redis": {"external": {"existingSecret": "redis", "username": "u"}}},
        "existingSecret holds the whole address",
        "write user and passwords into it",
    ),
    (
        {"redis": {"external": {"existingSecret": "redis", "tls": {"enabled": True}}}},
        "existingSecret holds the whole address",
        "ask for TLS in it (rediss://)",
    ),
    (external(tls={"secret": "ca"}), "TLS is off", "set redis.external.tls.enabled=true"),
    (external(tls={"enabled": True, "clientCertificate": True}), "needs the Secret", "set redis.external.tls.secret"),
    (external(sentinelPasswordSecret="s"), "is for redis.external.kind=sentinel", "set the kind"),
    (external(kind="cluster"), "needs a cell", "set redis.cell"),
    (
        {"redis": {"cell": "c0", "external": {**EXTERNAL, "kind": "cluster", "database": 2}}},
        "has database 0 only",
        "set redis.external.database=0",
    ),
    (
        {**H, "scheduler": {"podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}}},
        "Kubernetes takes one",
        "set the other to null",
    ),
    (
        {**H, "scheduler": {"podDisruptionBudget": {"minAvailable": 0, "maxUnavailable": 0}}},
        "Kubernetes takes one",
        "set the other to null",
    ),
    (
        {**H, "scheduler": {"autoscaling": {"minReplicas": 9, "maxReplicas": 3}}},
        "minReplicas is above maxReplicas",
        "raise the other",
    ),
    (
        {**H, "scheduler": {"rollout": {"maxSurge": "0%", "maxUnavailable": 0}}},
        "no pod could ever be replaced",
        "set one of them to 1",
    ),
    (
        {**H, "auth": {"clients": {"existingSecret": "a", "keySetUrl": "https://id.example/jwks"}}},
        "more than one key",
        "keep one of",
    ),
    ({**H, "auth": {"clients": {"issuer": "x"}}}, "no key for tokens is named", "set auth.clients.existingSecret"),
    (
        {**H, "auth": {"nodes": {"tokenReview": True}}, "rbac": {"create": False}},
        "rbac.create is false",
        "name it as scheduler.serviceAccount.name",
    ),
    (
        {**H, "operator": {"scope": "cluster", "namespaces": ["a"]}},
        "operator.namespaces lists some",
        "set operator.scope=namespace",
    ),
    (
        {**H, "node": {"enabled": True}, "operator": {"enabled": False}},
        "only the operator runs",
        "operator.enabled=true",
    ),
    ({**H, "node": {"enabled": True}, "scheduler": {"enabled": False}}, "there are none", "scheduler.enabled=true"),
    ({**H, "node": {"enabled": True}, "rbac": {"create": False}}, "rbac.create is false", "apply the fleet yourself"),
    (
        {**H, "node": {"enabled": True}, "operator": {"namespaces": ["red"]}},
        "not among operator.namespaces",
        "add it there",
    ),
    (
        {**H, "node": {"enabled": True, "tokenSecret": "t"}, "auth": {"nodes": {"tokenReview": True}}},
        "node.tokenSecret is not used",
        "empty the one",
    ),
    (
        {**H, "node": {"enabled": True}, "auth": {"nodes": {"existingSecret": "n"}}},
        "the reference node has none",
        "set node.tokenSecret",
    ),
    ({**H, "scheduler": {"ingress": {"enabled": True}}}, "has no host", "set scheduler.ingress.hosts"),
    ({**H, "scheduler": {"httpRoute": {"enabled": True}}}, "has no Gateway", "set scheduler.httpRoute.parentRefs"),
    (
        {**H, "scheduler": {"settings": {"LINGUA_SESSION_LIMIT": 5}}},
        "LINGUA_SESSION_LIMIT is set by the chart",
        "remove it here",
    ),
    (
        {**H, "operator": {"settings": {"LINGUA_OPERATOR_ADMISSION": "open"}}},
        "LINGUA_OPERATOR_ADMISSION is set by the chart",
        "remove it here",
    ),
]

#: Values that the schema refuses, and what helm's message names.
IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"schedulr": {}}, "schedulr"),
    ({"scheduler": {"replica": 3}}, "replica"),
    ({"scheduler": {"autoscaling": {"mode": "both"}}}, "/scheduler/autoscaling/mode"),
    ({"scheduler": {"autoscaling": {"hpa": True, "keda": {}}}}, "hpa"),
    ({"scheduler": {"autoscaling": {"minReplicas": 1}}}, "/scheduler/autoscaling/minReplicas"),
    ({"scheduler": {"autoscaling": {"sessionsPercent": 101}}}, "sessionsPercent"),
    ({"scheduler": {"replicas": "three"}}, "/scheduler/replicas"),
    ({"scheduler": {"replicas": -1}}, "/scheduler/replicas"),
    ({"scheduler": {"drainSeconds": 0}}, "/scheduler/drainSeconds"),
    ({"scheduler": {"image": {"digest": "latest"}}}, "/scheduler/image/digest"),
    ({"scheduler": {"image": {"repository": ""}}}, "/scheduler/image/repository"),
    ({"scheduler": {"settings": {"PYTHONPATH": "/x"}}}, "PYTHONPATH"),
    ({"scheduler": {"extraEnv": [{"value": "x"}]}}, "name"),
    ({"scheduler": {"service": {"type": "ExternalName"}}}, "/scheduler/service/type"),
    ({"scheduler": {"podDisruptionBudget": {"minAvailable": "101%"}}}, "minAvailable"),
    ({"scheduler": {"resources": {"request": {}}}}, "request"),
    ({"scheduler": {"resources": {"requests": {"cpu": "much"}}}}, "cpu"),
    ({"operator": {"admission": "closed"}}, "/operator/admission"),
    ({"operator": {"namespaces": ["Red"]}}, "/operator/namespaces/0"),
    ({"operator": {"namespaces": ["red", "red"]}}, "/operator/namespaces"),
    ({"operator": {"replicas": 2}}, "replicas"),
    ({"redis": {"external": {"hosts": ["redis"]}}}, "/redis/external/hosts/0"),
    ({"redis": {"external": {"username": "a:b@c"}}}, "/redis/external/username"),
    ({"redis": {"external": {"url": "redis://x"}}}, "url"),
    ({"redis": {"bundled": {"password": "short"}}}, "/redis/bundled/password"),
    ({"redis": {"prefix": "a{b}"}}, "/redis/prefix"),
    ({"auth": {"clients": {"keySetUrl": "ftp://x"}}}, "/auth/clients/keySetUrl"),
    ({"auth": {"clients": {"origins": ["example.com"]}}}, "/auth/clients/origins/0"),
    ({"auth": {"clients": {"existingSecret": "Not A Name"}}}, "/auth/clients/existingSecret"),
    ({"node": {"languages": {"asr": []}}}, "/node/languages/asr"),
    ({"node": {"replicas": 10001}}, "/node/replicas"),
    ({"networkPolicy": {"clients": [{"cidr": "10.0.0.0/8"}]}}, "cidr"),
    ({"fullnameOverride": "Lingua!"}, "/fullnameOverride"),
]


@pytest.mark.parametrize(("values", "wrong", "remedy"), CONTRADICTIONS, ids=lambda value: str(value)[:60])
def test_values_that_contradict_each_other_are_refused_with_what_to_do(
    values: dict[str, Any], wrong: str, remedy: str
) -> None:
    told = chart.refusal(values)
    assert "These values can't work" in told
    assert wrong in told
    assert remedy in told


@pytest.mark.parametrize(("values", "named"), IMPOSSIBLE, ids=lambda value: str(value)[:60])
def test_values_that_nobody_knows_or_that_are_out_of_range_are_refused_by_name(
    values: dict[str, Any], named: str
) -> None:
    told = chart.refusal({**chart.HOSTS, **values})
    assert "don't meet the specifications of the schema" in told
    assert named in told


def test_all_contradictions_are_told_at_once() -> None:
    told = chart.refusal({"node": {"enabled": True}, "operator": {"enabled": False}, "scheduler": {"enabled": False}})
    assert told.count("  * ") == 3


def test_a_refusal_shows_no_secret() -> None:
    told = chart.refusal({**H, "redis": {**H["redis"], "bundled": {"enabled": True, "password": "Geheim1234567890"}}})
    assert "Geheim" not in told


def test_every_contradiction_that_the_chart_knows_is_in_the_table() -> None:
    source = (chart.CHART / "templates" / "_validate.tpl").read_text()
    known = source.count("$problems = append $problems")
    told = {(wrong, json.dumps(sorted(values))) for values, wrong, _ in CONTRADICTIONS}
    # Two rows try the same contradiction with other values.
    assert known == len(CONTRADICTIONS) - 1, f"{known} refusals in the chart, {len(told)} tried here"
