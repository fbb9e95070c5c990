"""The reconcile as pure decisions: whatever is found, what follows keeps the promises. No server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from lingua_operator.conditions import ACCEPTED, CONNECTED, DRAINED, READY, REGISTERED
from lingua_operator.reconcile import (
    LOCKED,
    Conclusion,
    Credentials,
    Facts,
    Outcome,
    PodFact,
    Problem,
    Said,
    Step,
    conclude,
    concluded,
    plan,
    status_onto,
)
from lingua_operator.resource import FINALIZER, Node, parse_node
from lingua_state.declarations import Credential, LiveNode, Scheduling
from lingua_state.models import NodeStatus

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CODES = ["en", "es", "de", "fr", "zh-Hans", "auto"]


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A TranslationNode as an API server may give it, good or odd."""
    spec: dict[str, Any] = {
        "languages": {
            "asr": draw(st.lists(st.sampled_from(CODES), min_size=1, unique=True)),
            "tts": draw(st.lists(st.sampled_from(CODES[:-1]), min_size=1, unique=True)),
        },
        "scheduling": draw(st.sampled_from(["Active", "Cordoned", "Draining"])),
        "drainDeadlineSeconds": draw(st.integers(0, 600)),
        "capacity": {"maxJobs": draw(st.integers(1, 1000))},
    }
    if draw(st.booleans()):
        spec["access"] = {"pairingSecretRef": {"name": "codes", "key": "code"}}
    if draw(st.integers(0, 9)) == 0:
        spec["languages"] = draw(st.sampled_from([None, {}, {"asr": "en"}, {"asr": ["not a code"], "tts": ["es"]}]))
    meta: dict[str, Any] = {
        "name": "one", "namespace": "ns", "uid": "u1", "generation": draw(st.integers(1, 9)), "resourceVersion": "5",
        "creationTimestamp": "2026-11-21T00:00:00Z", "finalizers": [FINALIZER],
    }  # fmt: skip
    if draw(st.booleans()):
        meta["deletionTimestamp"] = (NOW - timedelta(seconds=draw(st.integers(0, 900)))).isoformat()
    if draw(st.integers(0, 5)) == 0:
        meta["labels"] = {"lingua.dev/mirrored": "true"}
    return {"metadata": meta, "spec": spec}


problems = st.none() | st.just(Problem("SecretMissing", "create it"))
facts_ = st.builds(
    Facts,
    now=st.just(NOW),
    owner=st.just("/ns/one/u1"),
    rival=st.sampled_from([None, None, None, "ns/older"]),
    credentials=st.builds(
        Credentials, st.sampled_from([None, Credential("token", LOCKED)]), st.sampled_from([None, "a" * 64]), problems
    ),
    pod=st.sampled_from(
        [
            PodFact(),
            PodFact(gone=False, reason="CrashLoop", message="look"),
            PodFact(gone=False, reason="PodOutdated", message="it has an older template", drain=True),
        ]
    ),
)
lives = st.none() | st.builds(
    LiveNode,
    status=st.sampled_from(NodeStatus),
    load=st.integers(0, 5),
    capacity=st.just(5),
    instance_id=st.just("s1"),
    incarnation=st.just("i1"),
    heartbeat_ms=st.just(0),
)
outcomes = st.builds(Outcome, st.sampled_from(Said), lives, st.just("ns/other"), st.just("The store does not answer."))

busy = st.builds(
    Outcome,
    st.just(Said.HELD),
    st.builds(
        LiveNode, st.just(NodeStatus.READY), st.integers(1, 5), st.just(5), st.just("s1"), st.just("i1"), st.just(0)
    ),
)


def decide(node: Node, facts: Facts, outcome: Outcome) -> Conclusion:
    """Make the two decisions, with an outcome that the plan allows."""
    made = plan(node, facts)
    if made.declaration is None and outcome.said is not Said.AWAY:
        outcome = replace(outcome, said=Said.SKIPPED)
    elif made.declaration is not None and outcome.said is Said.SKIPPED:
        outcome = replace(outcome, said=Said.HELD)
    return conclude(node, facts, made, outcome)


@given(bodies(), facts_)
def test_only_what_can_be_used_and_is_not_anothers_is_declared(body: dict[str, Any], facts: Facts) -> None:
    node = parse_node(body)
    made = plan(node, facts)
    if node.mirrored or facts.rival or node.spec is None:
        assert made.declaration is None
        return
    if made.declaration:
        assert made.declaration.generation == node.generation
        assert made.declaration.capability.pairs()
        if node.deleted:
            assert made.declaration.scheduling is Scheduling.DRAINING


@given(bodies(), facts_)
def test_a_pairing_code_that_is_not_known_never_opens_the_node(body: dict[str, Any], facts: Facts) -> None:
    node = parse_node(body)
    declaration = plan(node, facts).declaration
    if declaration is None or node.spec is None or node.spec.access is None:
        return
    access = declaration.capability.access
    assert not access.public
    assert access.pairing == (facts.credentials.pairing or LOCKED)


@given(bodies(), facts_, outcomes)
def test_a_resource_is_let_go_only_when_it_is_deleted(body: dict[str, Any], facts: Facts, outcome: Outcome) -> None:
    node = parse_node(body)
    conclusion = decide(node, facts, outcome)
    if conclusion.step in (Step.RELEASE, Step.WITHDRAW):
        assert node.deleted is not None


@given(bodies(), facts_, busy)
def test_running_jobs_are_waited_for_until_the_deadline(body: dict[str, Any], facts: Facts, outcome: Outcome) -> None:
    node = parse_node(body)
    conclusion = decide(node, facts, outcome)
    if node.deleted is None or node.spec is None or plan(node, facts).declaration is None:
        return
    over = node.deleted + timedelta(seconds=node.spec.drain_deadline_seconds) <= NOW
    assert conclusion.step is (Step.WITHDRAW if over else Step.WAIT)
    assert (conclusion.until is None) == over


@given(bodies(), facts_, lives)
def test_who_saw_an_older_state_than_the_store_holds_lets_nothing_go(
    body: dict[str, Any], facts: Facts, live: LiveNode | None
) -> None:
    body["metadata"]["deletionTimestamp"] = (NOW - timedelta(seconds=300)).isoformat()
    node, facts = parse_node(body), replace(facts, rival=None)
    if plan(node, facts).declaration is not None:
        assert decide(node, facts, Outcome(Said.STALE, live)).step is Step.WAIT


@given(bodies(), facts_, outcomes)
def test_a_deletion_always_ends_after_the_deadline(body: dict[str, Any], facts: Facts, outcome: Outcome) -> None:
    node = parse_node(body)
    assume(node.deleted is not None and outcome.said is not Said.STALE)
    conclusion = decide(node, facts, outcome)
    assert node.deleted is not None
    deadline_s = node.spec.drain_deadline_seconds if node.spec else 0
    if node.deleted + timedelta(seconds=deadline_s) <= NOW:
        assert conclusion.step in (Step.RELEASE, Step.WITHDRAW)


@given(bodies(), facts_, outcomes)
def test_every_condition_is_told_and_ready_needs_all_of_them(
    body: dict[str, Any], facts: Facts, outcome: Outcome
) -> None:
    node = parse_node(body)
    found = {verdict.type: verdict for verdict in decide(node, facts, outcome).verdicts}
    assert set(found) == {ACCEPTED, REGISTERED, CONNECTED, READY, DRAINED}
    assert all(verdict.reason and verdict.message for verdict in found.values())
    if found[READY].good:
        assert found[ACCEPTED].good
        assert found[REGISTERED].good
        assert found[CONNECTED].good
        assert node.deleted is None


@given(bodies(), facts_, outcomes)
def test_a_status_that_was_written_is_not_written_again(body: dict[str, Any], facts: Facts, outcome: Outcome) -> None:
    node = parse_node(body)
    conclusion = concluded(decide(node, facts, outcome))
    first = status_onto({}, node, facts, conclusion)
    assert status_onto(first, node, facts, conclusion) == first
    later = Facts(NOW + timedelta(hours=1), facts.owner, facts.rival, facts.credentials, facts.pod)
    assert status_onto(first, node, later, conclusion) == first


@given(bodies(), facts_, outcomes)
def test_conditions_of_others_are_kept(body: dict[str, Any], facts: Facts, outcome: Outcome) -> None:
    node = parse_node(body)
    theirs = {"type": "Inspected", "status": "True", "reason": "Fine", "message": "", "lastTransitionTime": "x"}
    written = status_onto({"conditions": [theirs]}, node, facts, decide(node, facts, outcome))
    assert written["conditions"][0] == theirs
