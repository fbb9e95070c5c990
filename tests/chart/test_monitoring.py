"""Alerts and dashboards ask only for metrics that exist."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from kit import chart
from lingua_operator.metrics import Metrics as OperatorMetrics
from lingua_scheduler.metrics import Metrics as SchedulerMetrics

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

WATCHED = chart.MATRIX["the whole cluster, watched"]
METRIC = re.compile(r"\b((?:lingua|process|python)_[a-z0-9_]+)\b")
#: What Prometheus adds itself, and what our expressions may group or filter by without a metric having it.
FROM_SCRAPING = {"namespace", "service", "pod", "le", "instance", "job"}


def known(registry: CollectorRegistry) -> dict[str, set[str]]:
    """Name every series of a registry, with its labels."""
    found: dict[str, set[str]] = {}
    for family in registry.collect():
        collector = registry._names_to_collectors.get(family.name)
        labels = set(getattr(collector, "_labelnames", ()))
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
        for ending in endings:
            found[f"{family.name}{ending}"] = labels
    return found


SERIES = known(SchedulerMetrics().registry) | known(OperatorMetrics().registry)


def expressions() -> list[tuple[str, str]]:
    bodies = chart.render(WATCHED)
    (group,) = chart.one(bodies, "PrometheusRule")["spec"]["groups"]
    found = [(rule["alert"], rule["expr"]) for rule in group["rules"]]
    for name, board in boards().items():
        found += [
            (f"{name}: {panel['title']}", target["expr"]) for panel in board["panels"] for target in panel["targets"]
        ]
    return found


def boards() -> dict[str, dict[str, Any]]:
    found = {}
    for body in chart.of_kind(chart.render(WATCHED), "ConfigMap"):
        if "grafana_dashboard" in body["metadata"]["labels"]:
            ((name, text),) = body["data"].items()
            found[name] = json.loads(text)
    return found


def test_every_metric_and_label_that_is_asked_for_exists() -> None:
    asked = expressions()
    assert len(asked) > 30
    for where, expression in asked:
        check(where, expression)


def check(where: str, expression: str) -> None:
    assert expression.count("(") == expression.count(")"), where
    bare = re.sub(r'"[^"]*"', '""', expression)
    names = set(METRIC.findall(bare))
    assert names, where
    assert names <= set(SERIES), where
    labels = set(re.findall(r"[{,]\s*([a-z_]+)\s*=", bare))
    for grouped in re.findall(r"by \(([^)]*)\)", bare):
        labels |= {label.strip() for label in grouped.split(",")}
    offered = set.union(*(SERIES[name] for name in names))
    assert labels - FROM_SCRAPING <= offered, where


def test_the_metric_of_the_autoscalers_exists() -> None:
    hpa = chart.one(chart.render(chart.MATRIX["hpa"]), "HorizontalPodAutoscaler")
    assert hpa["spec"]["metrics"][0]["pods"]["metric"]["name"] in SERIES
    pods = chart.one(chart.render(chart.MATRIX["keda on pods"]), "ScaledObject")["spec"]["triggers"][0]["metadata"]
    assert SERIES[pods["valueLocation"]] == set(), "KEDA reads one sample, so it may have no labels"


def test_alerts_say_what_to_do() -> None:
    (group,) = chart.one(chart.render(WATCHED), "PrometheusRule")["spec"]["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(names) == len(set(names)) >= 8
    for rule in group["rules"]:
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_the_monitor_finds_both_services_by_label_and_port() -> None:
    bodies = chart.render(WATCHED)
    spec = chart.one(bodies, "ServiceMonitor")["spec"]
    found = [
        body["metadata"]["name"]
        for body in chart.of_kind(bodies, "Service")
        if spec["selector"]["matchLabels"].items() <= body["metadata"]["labels"].items()
    ]
    assert found == ["talk-lingua-operator", "talk-lingua-scheduler-internal"]
    for body in chart.of_kind(bodies, "Service"):
        if body["metadata"]["name"] in found:
            assert [port["name"] for port in body["spec"]["ports"]] == [
                endpoint["port"] for endpoint in spec["endpoints"]
            ]


def test_dashboards_have_panels_that_do_not_cover_each_other() -> None:
    assert set(boards()) == {"speech.json", "operator.json"}
    for board in boards().values():
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
        assert len(places) == len(set(places))
        assert len({panel["id"] for panel in board["panels"]}) == len(places)
