"""Who may reach whom, computed from the rendered policies, is what docs/install.md says (guarantees T16)."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest

from kit import chart
from kit.network_model import TCP, UDP, End, allows

#: The ports that anybody listens on, and one that nobody should reach.
PORTS = [(5010, TCP), (5011, TCP), (8080, TCP), (6379, TCP), (443, TCP), (6443, TCP), (53, UDP), (53, TCP), (22, TCP)]
EVERYTHING = {
    **chart.BUNDLED,
    "node": {"enabled": True},
    "auth": {"nodes": {"tokenReview": True}},
    "networkPolicy": {
        "enabled": True,
        "monitoring": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "apiServer": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
    },
}
OUTSIDERS = {
    "anybody": End("anybody", "web", {"app": "shop"}),
    "Prometheus": End("Prometheus", "monitoring", {"app": "prometheus"}),
    "DNS": End("DNS", "kube-system", {"k8s-app": "kube-dns"}),
    "API server": End("API server", address="10.0.0.1"),
    "the world": End("the world", address="203.0.113.7"),
    "neighbour": End("neighbour", chart.NAMESPACE, {"app": "shop"}),
}
NAMES = {
    "scheduler": "schedulers", "operator": "operator", "valkey": "bundled Valkey", "fleet": "fleet Job",
    "test": "helm test", "lingua-node": "node pods",
}  # fmt: skip


def policies(values: dict[str, Any]) -> list[dict[str, Any]]:
    return chart.of_kind(chart.render(values), "NetworkPolicy")


def ends(values: dict[str, Any]) -> dict[str, End]:
    """Name every pod of the release and everybody around it."""
    found = dict(OUTSIDERS)
    for _, pod in chart.pods(chart.render(values)):
        labels = pod["metadata"]["labels"]
        if labels["app.kubernetes.io/component"] == "uninstall":
            continue  # it comes when the policies are gone
        name = NAMES[labels["app.kubernetes.io/component"]]
        found[name] = End(name, chart.NAMESPACE, labels)
    foreign = {"app.kubernetes.io/component": "lingua-node", "app.kubernetes.io/managed-by": "lingua-operator"}
    found["node pods of others"] = End("node pods of others", chart.NAMESPACE, foreign)
    return found


def allowed(values: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Compute every allowed connection that has an end in the release."""
    rules, known = policies(values), ends(values)
    ours = {*NAMES.values(), "node pods of others"}
    return {
        (source, target, f"{port}/{protocol}")
        for (source, target), (port, protocol) in product(product(known, known), PORTS)
        if {source, target} & ours and allows(rules, known[source], known[target], port, protocol)
    }


def documented() -> set[tuple[str, str, str]]:
    """Read the table of docs/install.md: from, to, ports."""
    text = (chart.ROOT / "docs" / "install.md").read_text()
    table = text.partition("<!-- allowed connections -->")[2].partition("<!-- end -->")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|", table, re.MULTILINE)[1:]
    return {
        (source.strip(), target.strip(), port)
        for sources, target, ports in rows
        for source in sources.split(", ")
        for port in ports.strip().split(", ")
        if not sources.startswith("---")
    }


def test_what_is_allowed_is_what_is_documented() -> None:
    assert allowed(EVERYTHING) == documented()


def test_without_policies_everything_is_allowed() -> None:
    assert policies(chart.BUNDLED) == []


def test_named_clients_shut_out_all_others_but_nodes_and_the_test() -> None:
    values = {
        **EVERYTHING,
        "networkPolicy": {
            **EVERYTHING["networkPolicy"],
            "clients": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "web"}}}],
        },
    }
    may = {source for source, target, port in allowed(values) if (target, port) == ("schedulers", "5010/TCP")}
    assert may == {"anybody", "node pods", "node pods of others", "helm test"}


def test_schedulers_reach_the_api_server_only_where_they_ask_it() -> None:
    values = {**EVERYTHING, "auth": {"nodes": {"tokenReview": False}}}
    assert not [row for row in allowed(values) if row[:2] == ("schedulers", "API server")]
    assert [row for row in allowed(EVERYTHING) if row[:2] == ("schedulers", "API server")]


@pytest.mark.parametrize(
    ("profile", "address", "port", "reached"),
    [
        ("a server in parts", "10.9.1.1", 6380, True),
        ("a server in parts", "10.9.1.1", 6379, False),
        ("a server in parts", "10.8.1.1", 6380, False),
        ("sentinels", "10.9.1.1", 26379, True),
        ("sentinels", "10.9.1.1", 6379, True),
    ],
)
def test_an_external_store_is_reached_on_its_ports_and_where_it_was_said_to_be(
    profile: str, address: str, port: int, reached: bool
) -> None:
    values = chart.MATRIX[profile]
    for part in ("schedulers", "operator"):
        assert allows(policies(values), ends(values)[part], End("store", address=address), port) is reached


def test_what_the_user_adds_is_allowed_too() -> None:
    values = chart.MATRIX["every key of the parts"]
    rules, known = policies(values), ends(values)
    assert allows(rules, known["schedulers"], End("jwks", address="192.0.2.9"), 443)
    assert allows(rules, known["node pods"], End("models", address="198.51.100.9"), 443)
    assert not allows(rules, known["operator"], End("jwks", address="192.0.2.9"), 443)
