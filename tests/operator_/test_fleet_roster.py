"""What is known of fleets and nodes, when words come late."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kit.operator_fleets import tfleet
from kit.operators import tnode
from lingua_operator.fleets.parse import parse_member
from lingua_operator.fleets.roster import Roster
from lingua_operator.known import Known
from lingua_operator.resource import parse_node


def body(made: dict[str, Any], uid: str, version: str, **metadata: Any) -> dict[str, Any]:
    words = {"namespace": "default", "uid": uid, "resourceVersion": version, "generation": 1}
    made["metadata"].update(words | {"creationTimestamp": "2026-01-01T00:00:00Z"} | metadata)
    return made


def member(uid: str = "n1", owner: str = "f1", version: str = "1", **metadata: Any) -> Any:
    owners = [{"kind": "TranslationFleet", "uid": owner, "controller": True}] if owner else []
    labels = {"lingua.dev/fleet": "es"}
    return parse_node(body(tnode(f"es-{uid}"), uid, version, labels=labels, ownerReferences=owners, **metadata))


def test_a_late_answer_does_not_bring_a_node_back_whose_end_was_told() -> None:
    known = Known()
    known.see(member(version="5"))
    assert known.end(member(version="6"))
    assert not known.see(member(version="7"))
    assert len(known) == 0
    assert known.see(member("n2"))


def test_an_end_that_is_told_before_the_beginning_was_known_counts() -> None:
    known = Known()
    assert not known.end(member())
    assert not known.see(member())


def test_a_node_that_a_list_lacked_may_come_back() -> None:
    known = Known()
    known.see(member())
    assert known.replace_all([]) == [member()]
    assert known.see(member())


def test_a_late_answer_does_not_bring_a_fleet_back() -> None:
    roster = Roster(Known())
    fleet = roster.see(body(tfleet("es", 1), "f1", "5"))
    roster.end(fleet)
    roster.see(body(tfleet("es", 1), "f1", "6"))
    assert roster.get(fleet.key) is None
    roster.see(body(tfleet("es", 1), "f2", "7"))
    assert roster.get(fleet.key) is not None


def test_an_older_state_of_a_fleet_does_not_replace_a_newer_one() -> None:
    roster = Roster(Known())
    fleet = roster.see(body(tfleet("es", 2), "f1", "5"))
    roster.see(body(tfleet("es", 1), "f1", "4"))
    found = roster.get(fleet.key)
    assert found
    assert found.fleet.spec
    assert found.fleet.spec.replicas == 2


def test_the_nodes_of_a_fleet_are_those_it_owns_and_strays_those_nobody_owns() -> None:
    known = Known()
    roster = Roster(known)
    fleet = roster.see(body(tfleet("es", 2), "f1", "5"))
    for node in (member("n1"), member("n2", owner="other"), member("n3", owner="")):
        known.see(node)
        assert roster.touch(node) == fleet.key
    assert [node.uid for node in roster.nodes(fleet)] == ["n1"]
    assert [node.uid for node in roster.strays(fleet)] == ["n3"]
    known.end(member("n1"))
    assert roster.nodes(fleet) == []


@pytest.mark.parametrize("since", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "tomorrow", "²", ""])
def test_a_time_that_somebody_else_wrote_brings_nothing_down(since: str) -> None:
    marks = {"operator.lingua.dev/retiring": "scale-down", "operator.lingua.dev/retiring-since": since}
    made = tnode("es-n1", scheduling="Draining", drainDeadlineSeconds=60)
    node = parse_node(body(made, "n1", "1", annotations=marks))
    assert parse_member(node, "class", None).retire_until == node.created + timedelta(seconds=90)
