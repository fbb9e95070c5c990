"""What the API server adds, keeps, cuts away and takes: defaults, unknown fields, the largest resources there are."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from kit.kube.manifests import FLEET, FULL, NODE, collection, fleet, full, merged, node, node_spec, try_out

if TYPE_CHECKING:
    from kit.kube.api import Body
    from kit.kube.bed import Bed

#: What a node's spec gets when it says nothing.
DEFAULTS = {
    "services": ["asr", "nmt", "tts"],
    "capacity": {"maxJobs": 4},
    "weight": 100,
    "scheduling": "Active",
    "drainDeadlineSeconds": 300,
}
EITHER = pytest.mark.parametrize("resource", [node(), fleet()], ids=[NODE, FLEET])
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
#: 128 codes, the longest there can be.
LANGUAGES = [f"{a}{b}{'-abcdefgh' * 3}-abcde" for a, b in itertools.islice(itertools.product(_LETTERS, repeat=2), 128)]


@EITHER
def test_a_small_spec_gets_every_default_and_nothing_else(bed: Bed, resource: Body) -> None:
    kept = node_spec(try_out(bed, resource).expect())
    assert kept == {**node_spec(resource), **DEFAULTS}


def test_a_fleet_gets_its_own_defaults(bed: Bed) -> None:
    spec = try_out(bed, fleet()).expect()["spec"]
    del spec["template"]
    assert spec == {
        "replicas": 1,
        "scaleDown": "LeastBusyFirst",
        "updateStrategy": {"maxSurge": "25%", "maxUnavailable": 0},
        "deletionPolicy": "Drain",
    }


def test_half_a_strategy_gets_the_other_half(bed: Bed) -> None:
    kept = try_out(bed, fleet(updateStrategy={"maxUnavailable": "10%"})).expect()
    assert kept["spec"]["updateStrategy"] == {"maxSurge": "25%", "maxUnavailable": "10%"}


def test_an_empty_capacity_gets_its_number_of_jobs(bed: Bed) -> None:
    kept = try_out(bed, merged(node(), {"spec": {"capacity": {}}})).expect()
    assert kept["spec"]["capacity"] == {"maxJobs": 4}


@EITHER
@pytest.mark.parametrize("field", ["priority", "node_id", "Weight"])
def test_an_unknown_field_is_refused_when_asked_strictly_and_cut_away_else(
    bed: Bed, resource: Body, field: str
) -> None:
    wrong = merged(resource, {})
    node_spec(wrong)[field] = 1
    strict = try_out(bed, wrong, fieldValidation="Strict")
    assert strict.status == 400
    assert f'unknown field "spec.{"template.spec." if resource["kind"] == FLEET else ""}{field}"' in strict.message
    assert field not in node_spec(try_out(bed, wrong).expect())


def test_nodes_of_a_fleet_cannot_share_an_id(bed: Bed) -> None:
    wrong = fleet(spec={**FULL, "nodeId": "one-for-all"})
    strict = try_out(bed, wrong, fieldValidation="Strict")
    assert 'unknown field "spec.template.spec.nodeId"' in strict.message
    assert "nodeId" not in node_spec(try_out(bed, wrong).expect())


@EITHER
def test_what_the_schema_does_not_know_of_pods_is_kept(bed: Bed, resource: Body) -> None:
    pod = {"spec": {"containers": [{"name": "node", "image": "a", "env": [{"name": "A", "value": "b"}]}], "future": 1}}
    wanted = merged(resource, {})
    node_spec(wanted)["workload"] = {"podTemplate": pod}
    kept = try_out(bed, wanted, fieldValidation="Strict").expect()
    assert node_spec(kept)["workload"]["podTemplate"] == pod


@pytest.mark.parametrize("value", [0, 1, 10_000, "0%", "7%", "100%"])
def test_a_surge_is_a_number_or_a_share(bed: Bed, value: int | str) -> None:
    strategy = {"maxSurge": value, "maxUnavailable": 1}
    kept = try_out(bed, fleet(updateStrategy=strategy)).expect()
    assert kept["spec"]["updateStrategy"] == strategy


def test_a_fleet_of_ten_thousand_is_taken(bed: Bed) -> None:
    assert try_out(bed, fleet(replicas=10_000)).expect()["spec"]["replicas"] == 10_000


@EITHER
def test_the_widest_node_is_taken(bed: Bed, resource: Body) -> None:
    wide = merged(resource, {})
    spec = node_spec(wide)
    pairs = [{"source": source, "target": target} for source in LANGUAGES[:8] for target in LANGUAGES[8:72]]
    spec["languages"] = {"asr": LANGUAGES, "semantic": LANGUAGES, "tts": LANGUAGES, "exclude": pairs}
    spec["access"] = {"tenants": [f"{number:0128}" for number in range(64)]}
    assert node_spec(try_out(bed, wide).expect())["languages"] == spec["languages"]


@EITHER
def test_a_flood_is_refused_and_the_server_lives_on(bed: Bed, resource: Body) -> None:
    flood = merged(resource, {})
    node_spec(flood)["languages"]["asr"] = [f"a{number}" for number in range(20_000)]
    answer = try_out(bed, flood)
    assert answer.status == 422
    assert "must have at most 128 items" in answer.message
    too_big = merged(resource, {"metadata": {"annotations": {"a": "b" * 4_000_000}}})
    assert try_out(bed, too_big).status == 413
    try_out(bed, resource).expect()


@pytest.mark.parametrize("name", ["a" * 63, "a.b", "0"])
def test_a_name_may_have_up_to_63_characters(bed: Bed, name: str) -> None:
    try_out(bed, node(name)).expect()


@pytest.mark.parametrize("node_id", ["a", "A-b_c.d:1", "x" * 128])
def test_an_id_is_any_name_that_keys_can_hold(bed: Bed, node_id: str) -> None:
    try_out(bed, merged(node(), {"spec": {"nodeId": node_id}})).expect()


@pytest.mark.parametrize("code", ["en", "EN", "zh-Hans-CN", "es-419", "sl-rozaj-biske-1994", "yue", "auto"])
def test_language_codes_are_taken_as_people_write_them(bed: Bed, code: str) -> None:
    try_out(bed, merged(node(), {"spec": {"languages": {"asr": ["fr", code]}}})).expect()


@pytest.mark.parametrize("kind", [NODE, FLEET])
def test_everything_but_the_id_may_change_later(bed: Bed, namespace: str, kind: str) -> None:
    where = collection(kind, namespace)
    small = merged(node("a"), {"spec": {"nodeId": "berlin-7"}}) if kind == NODE else fleet("a")
    bed.api.create(where, small).expect()
    for wanted in (full(kind), small):
        kept = bed.api.get(f"{where}/a").expect()
        bed.api.replace(f"{where}/a", {**wanted, "metadata": kept["metadata"]}).expect()
