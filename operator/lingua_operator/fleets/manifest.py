"""What is written for a fleet: its nodes, and the patches that drain them and take them back. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lingua_operator.conditions import stamp
from lingua_operator.fleets.parse import RETIRING, RETIRING_SINCE, TEMPLATE_SCHEDULING
from lingua_operator.resource import LABEL_FLEET, LABEL_TEMPLATE_HASH, OWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from lingua_operator.fleets.values import Fleet, Why

Body = dict[str, Any]
_OURS = "lingua.dev/"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MANAGED = {"app.kubernetes.io/managed-by": "lingua-operator", "app.kubernetes.io/part-of": "lingua"}


def node_of(fleet: Fleet, name: str) -> Body:
    """Write a node of the fleet. What a template says of our own labels, annotations or owners does not count."""
    meta = fleet.template.get("metadata") or {}
    spec = dict(fleet.template["spec"])
    return {
        "metadata": {
            "name": name,
            "namespace": fleet.namespace,
            "labels": {**_theirs(meta.get("labels")), **_MANAGED, **labels(fleet)},
            "annotations": {
                **_theirs(meta.get("annotations")),
                TEMPLATE_SCHEDULING: str(spec.get("scheduling") or "Active"),
            },
            "ownerReferences": [owner(fleet)],
        },
        "spec": spec,
    }


def labels(fleet: Fleet) -> dict[str, str]:
    """Give the labels that tell whose a node is and from which template."""
    return {LABEL_FLEET: fleet.name, LABEL_TEMPLATE_HASH: fleet.template_hash}


def selector(fleet: Fleet) -> str:
    """Select the fleet's nodes and their pods, as the scale subresource wants it: one string."""
    return f"{LABEL_FLEET}={fleet.name}"


def owner(fleet: Fleet) -> Body:
    """Refer to the fleet as the controller of its nodes."""
    return {
        "apiVersion": "lingua.dev/v1alpha1", "kind": "TranslationFleet", "name": fleet.name, "uid": fleet.uid,
        "controller": True,
    }  # fmt: skip


def retired(why: Why, now: datetime, version: str) -> Body:
    """Patch a node so that it is drained and known to leave; only over the very state that was looked at."""
    marks = {RETIRING: str(why), RETIRING_SINCE: stamp(now)}
    return {"metadata": {"resourceVersion": version, "annotations": marks}, "spec": {"scheduling": "Draining"}}


def taken_back(scheduling: str, version: str) -> Body:
    """Patch a node that was leaving so that it stays."""
    marks = {RETIRING: None, RETIRING_SINCE: None, TEMPLATE_SCHEDULING: scheduling}
    return {"metadata": {"resourceVersion": version, "annotations": marks}, "spec": {"scheduling": scheduling}}


def rescheduled(scheduling: str, version: str) -> Body:
    """Patch a node to the template's new scheduling."""
    return {
        "metadata": {"resourceVersion": version, "annotations": {TEMPLATE_SCHEDULING: scheduling}},
        "spec": {"scheduling": scheduling},
    }


def adopted(fleet: Fleet, owners: Sequence[Mapping[str, Any]], version: str) -> Body:
    """Patch a node that belongs to nobody so that the fleet answers for it."""
    mine = [*(dict(each) for each in owners), owner(fleet)]
    return {"metadata": {"resourceVersion": version, "ownerReferences": mine}}


def hurried(version: str) -> Body:
    """Patch a node so that its deletion waits for nothing."""
    return {"metadata": {"resourceVersion": version}, "spec": {"drainDeadlineSeconds": 0}}


def _theirs(words: Mapping[str, str] | None) -> dict[str, str]:
    """Leave out what only the operator may set."""
    return {
        name: value
        for name, value in (words or {}).items()
        if not name.startswith((_OURS, f"{OWN}/")) and name != _LAST_APPLIED
    }
