"""The schema of the values says all that the values file has, and nothing passes it that nobody knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from kit import chart

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA: dict[str, Any] = json.loads((chart.CHART / "values.schema.json").read_text())
DEFAULTS: dict[str, Any] = yaml.safe_load((chart.CHART / "values.yaml").read_text())

#: Objects that are Kubernetes' own, checked by the API server and not by us; and Helm's `global`.
FOREIGN = {
    "/global", "/scheduler/affinity", "/scheduler/tolerations[]", "/scheduler/topologySpreadConstraints[]",
    "/scheduler/extraEnv[]/valueFrom", "/scheduler/httpRoute/parentRefs[]", "/scheduler/resources/claims[]",
    "/operator/affinity", "/operator/tolerations[]", "/operator/topologySpreadConstraints[]",
    "/operator/extraEnv[]/valueFrom", "/operator/resources/claims[]", "/node/affinity", "/node/tolerations[]",
    "/node/extraEnv[]/valueFrom", "/node/resources/claims[]", "/redis/bundled/affinity", "/redis/bundled/tolerations[]",
    "/redis/bundled/resources/claims[]", "/networkPolicy/schedulerEgress[]", "/networkPolicy/nodeEgress[]",
    *(f"/networkPolicy/{name}[]/{kind}" for name in ("clients", "monitoring", "redis", "apiServer", "dns")
      for kind in ("podSelector", "namespaceSelector", "ipBlock")),
}  # fmt: skip


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return SCHEMA["definitions"][name] if name else schema


def walk(schema: dict[str, Any], where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    schema = resolved(schema)
    yield where, schema
    for name, below in schema.get("properties", {}).items():
        yield from walk(below, f"{where}/{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{where}[]")


def test_no_object_takes_what_nobody_knows() -> None:
    loose = {
        where
        for where, schema in walk(SCHEMA)
        if schema.get("type") == "object" and schema.get("additionalProperties", True) is True
    }
    assert loose == FOREIGN


def test_values_and_schema_name_the_same_things() -> None:
    def leaves(values: dict[str, Any], where: str = "") -> set[str]:
        found = set()
        for name, value in values.items():
            below = dict(walk(SCHEMA)).get(f"{where}/{name}", {})
            deeper = isinstance(value, dict) and "properties" in below and name not in ("resources",)
            found |= leaves(value, f"{where}/{name}") if deeper else {f"{where}/{name}"}
        return found

    def known(schema: dict[str, Any], where: str = "") -> set[str]:
        schema = resolved(schema)
        found = set()
        for name, below in schema.get("properties", {}).items():
            deeper = "properties" in resolved(below) and name != "resources"
            found |= known(below, f"{where}/{name}") if deeper else {f"{where}/{name}"}
        return found

    assert leaves(DEFAULTS) == known(SCHEMA)


@pytest.mark.parametrize("profile", ["defaults", *chart.profiles()])
def test_strict_lint_finds_nothing(profile: str) -> None:
    values = chart.profiles().get(profile, {})
    command = ("lint", "--strict", *chart.KUBERNETES, str(chart.CHART), "--values", "-")
    done = chart.run(*command, stdin=json.dumps(values))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout
    assert "[ERROR]" not in done.stdout


def test_the_chart_says_which_kubernetes_it_needs() -> None:
    done = chart.run(
        "template", "x", str(chart.CHART), "--kube-version", "1.31.9", "--set", "redis.bundled.enabled=true"
    )
    assert done.returncode != 0
    assert "1.32" in done.stderr
