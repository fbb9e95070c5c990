"""What holds for the files in crds/ by themselves, before any server reads them."""

from __future__ import annotations

import pytest

from kit.kube.manifests import FLEET, NODE, definition, schema, version
from kit.kube.schemas import Schema, rules, walk

KINDS = pytest.mark.parametrize("kind", [NODE, FLEET])


def own(kind: str) -> list[tuple[str, Schema]]:
    """List the schemas that are ours to bound: spec and status."""
    return [(where, found) for where, found in walk(schema(kind)) if where.startswith((".spec", ".status"))]


def test_the_template_of_a_fleet_is_the_spec_of_a_node_without_its_id() -> None:
    spec = schema(NODE)["properties"]["spec"]
    template = schema(FLEET)["properties"]["spec"]["properties"]["template"]["properties"]["spec"]
    rules = [rule for rule in spec["x-kubernetes-validations"] if "nodeId" not in rule["rule"]]
    properties = {name: found for name, found in spec["properties"].items() if name != "nodeId"}
    assert template["properties"] == properties
    assert template["x-kubernetes-validations"] == rules
    assert template["required"] == spec["required"]


@KINDS
def test_every_text_is_bounded(kind: str) -> None:
    unbounded = [
        where
        for where, found in own(kind)
        if found.get("type") == "string" and not {"maxLength", "enum", "format"} & found.keys()
    ]
    assert unbounded == []


@KINDS
def test_every_list_is_bounded_and_says_how_it_is_merged(kind: str) -> None:
    lists = [(where, found) for where, found in own(kind) if found.get("type") == "array"]
    assert [where for where, found in lists if "maxItems" not in found] == []
    # The volumes of a pod are checked for names again by the API server when the pod is made.
    unsaid = [where for where, found in lists if "x-kubernetes-list-type" not in found]
    assert [where for where in unsaid if not where.endswith(".volumes")] == []


@KINDS
def test_every_map_and_every_object_of_unknown_fields_is_bounded(kind: str) -> None:
    opened = [
        where
        for where, found in own(kind)
        if ("additionalProperties" in found or found.get("x-kubernetes-preserve-unknown-fields"))
        and "maxProperties" not in found
        and not where.endswith(".hostPath")  # refused whatever is in it
    ]
    assert opened == []


@KINDS
def test_every_number_is_bounded_from_below_and_every_wished_one_from_above(kind: str) -> None:
    numbers = [(where, found) for where, found in own(kind) if found.get("type") == "integer"]
    assert [where for where, found in numbers if "minimum" not in found] == []
    assert [where for where, found in numbers if where.startswith(".spec") and "maximum" not in found] == []
    assert not [where for where, found in own(kind) if found.get("type") == "number"], "a number is a whole number"


@KINDS
def test_every_rule_says_what_to_do(kind: str) -> None:
    said = list(rules(schema(kind)))
    assert said
    assert [words for _, words in said if ":" not in words and "give " not in words] == []


@KINDS
def test_every_wish_is_described(kind: str) -> None:
    inside = ".workload.podTemplate."  # described by Kubernetes
    bare = [
        where
        for where, found in own(kind)
        if where.startswith(".spec") and "description" not in found and inside not in where and where[-1] not in "]}"
    ]
    assert [where for where in bare if ".template.metadata." not in where] == []


@KINDS
def test_conditions_are_a_map_by_type_of_the_standard_shape(kind: str) -> None:
    conditions = schema(kind)["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    fields = {"type", "status", "reason", "message", "lastTransitionTime"}
    assert set(conditions["items"]["required"]) == fields
    assert set(conditions["items"]["properties"]) == fields | {"observedGeneration"}


def test_the_columns_are_the_named_ones_in_order() -> None:
    assert columns(NODE) == [
        ("Ready", 0),
        ("Reason", 0),
        ("Scheduling", 0),
        ("Pairs", 0),
        ("MaxJobs", 0),
        ("Node-Id", 1),
        ("Message", 1),
        ("Age", 0),
    ]
    assert columns(FLEET) == [
        ("Desired", 0),
        ("Current", 0),
        ("Ready", 0),
        ("Updated", 0),
        ("Reason", 0),
        ("Message", 1),
        ("Age", 0),
    ]


@KINDS
def test_status_is_a_subresource_of_its_own(kind: str) -> None:
    assert version(kind)["subresources"]["status"] == {}


@KINDS
def test_names_are_the_agreed_ones(kind: str) -> None:
    names = definition(kind)["spec"]["names"]
    assert names["categories"] == ["lingua"]
    assert names["shortNames"] == ["tnode" if kind == NODE else "tfleet"]
    assert definition(kind)["spec"]["scope"] == "Namespaced"


def columns(kind: str) -> list[tuple[str, int]]:
    """List the printer columns with their priority."""
    return [(found["name"], found.get("priority", 0)) for found in version(kind)["additionalPrinterColumns"]]
