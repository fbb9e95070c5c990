"""NetworkPolicies computed: who may open a connection to whom, by the rules of networking.k8s.io/v1.

A policy that selects a pod denies what no policy for that pod and direction allows; a connection needs both its ends.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]
TCP, UDP = "TCP", "UDP"


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod with labels in a namespace, or an address outside of the cluster."""

    name: str
    namespace: str = ""
    labels: Body = field(default_factory=dict)
    address: str = ""

    def namespace_labels(self) -> Body:
        """Every namespace has its name as a label."""
        return {"kubernetes.io/metadata.name": self.namespace}


def selects(selector: Body, labels: Body) -> bool:
    """Tell whether a label selector takes these labels; an empty one takes all."""
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    return all(_expressed(expression, labels) for expression in selector.get("matchExpressions", []))


def _expressed(expression: Body, labels: Body) -> bool:
    has, value = expression["key"] in labels, labels.get(expression["key"])
    match expression["operator"]:
        case "Exists":
            return has
        case "DoesNotExist":
            return not has
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
    raise ValueError(expression["operator"])


def allows(policies: list[Body], source: End, target: End, port: int, protocol: str = TCP) -> bool:
    """Tell whether ``source`` may open a connection to a port of ``target``."""
    return _direction(policies, "Egress", source, target, port, protocol) and _direction(
        policies, "Ingress", target, source, port, protocol
    )


def _direction(policies: list[Body], direction: str, own: End, other: End, port: int, protocol: str) -> bool:
    mine = [policy for policy in policies if _is_for(policy, direction, own)]
    if not mine:
        return True
    side, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    return any(
        _port_matches(rule, port, protocol) and _peers_match(rule.get(peers), policy, other)
        for policy in mine
        for rule in policy["spec"].get(side, [])
    )


def _is_for(policy: Body, direction: str, own: End) -> bool:
    return (
        direction in policy["spec"]["policyTypes"]
        and not own.address
        and policy["metadata"]["namespace"] == own.namespace
        and selects(policy["spec"]["podSelector"], own.labels)
    )


def _port_matches(rule: Body, port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    return not ports or any(found["port"] == port and found.get("protocol", TCP) == protocol for found in ports)


def _peers_match(peers: list[Body] | None, policy: Body, other: End) -> bool:
    # No list is everybody; so is an empty one.
    return not peers or any(_peer_matches(peer, policy, other) for peer in peers)


def _peer_matches(peer: Body, policy: Body, other: End) -> bool:
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        if not other.address:
            return False
        address = ipaddress.ip_address(other.address)
        inside = address in ipaddress.ip_network(block["cidr"])
        return inside and not any(address in ipaddress.ip_network(hole) for hole in block.get("except", []))
    if other.address:
        return False
    if "namespaceSelector" in peer:
        near = selects(peer["namespaceSelector"], other.namespace_labels())
    else:
        near = other.namespace == policy["metadata"]["namespace"]
    return near and selects(peer.get("podSelector", {}), other.labels)
