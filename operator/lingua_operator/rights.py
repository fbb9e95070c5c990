"""What the operator may do at the API server, and why: the one table.

The chart's Role says the same (a test compares them), and a test runs the operator with exactly these rights and finds
each of them used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Right:
    """One rule of the Role. ``part``: what needs it: ``core``, ``pods``, ``fleets``, ``mirror``, ``standby``.

    ``named``: only for the one object of its name (the Lease).
    """

    part: str
    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str
    named: bool = False


RIGHTS = (
    Right("core", "lingua.dev", "translationnodes", ("get", "list", "watch", "patch"), "follow nodes, hold them"),
    Right("core", "lingua.dev", "translationnodes/status", ("patch",), "tell how nodes are"),
    Right("core", "", "secrets", ("get",), "read a node's token or pairing code by its name, never list"),
    Right("core", "", "namespaces", ("get",), "tell at the end whether our own namespace goes too"),
    Right("core", "", "events", ("create",), "tell what happened: kubectl describe shows it"),
    Right("pods", "", "pods", ("get", "list", "watch", "create", "delete"), "run the pods of nodes with a workload"),
    Right("fleets", "lingua.dev", "translationfleets", ("get", "list", "watch", "patch"), "follow fleets"),
    Right("fleets", "lingua.dev", "translationfleets/status", ("patch",), "tell how fleets are"),
    Right("fleets", "lingua.dev", "translationnodes", ("create", "delete"), "make and remove the nodes of fleets"),
    Right("mirror", "lingua.dev", "translationnodes", ("create", "delete"), "show nodes that registered by themselves"),
    Right("standby", "coordination.k8s.io", "leases", ("create",), "make the Lease that says which operator works"),
    Right("standby", "coordination.k8s.io", "leases", ("get", "patch"), "take it, renew it, give it up", named=True),
)


def rules(parts: tuple[str, ...], lease: str = "lingua-operator") -> list[dict[str, Any]]:
    """Write the rules of a Role for some parts."""
    return [
        {"apiGroups": [right.group], "resources": [right.resource], "verbs": list(right.verbs)}
        | ({"resourceNames": [lease]} if right.named else {})
        for right in RIGHTS
        if right.part in parts
    ]


def verbs_of(parts: tuple[str, ...]) -> set[tuple[str, str, str]]:
    """List each right of some parts as (group, resource, verb)."""
    return {(right.group, right.resource, verb) for right in RIGHTS if right.part in parts for verb in right.verbs}
