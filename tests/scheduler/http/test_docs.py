"""The pages for people name every route and every metric, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from lingua_scheduler.http.routes import ENDPOINTS
from lingua_scheduler.metrics import Metrics

DOCS = Path(__file__).parents[3] / "docs"


def test_every_route_is_in_the_page_about_http() -> None:
    listed = re.findall(r"^\| `(GET|POST) (\S+)` \|", (DOCS / "http.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted((endpoint.method, endpoint.path) for endpoint in ENDPOINTS)


def test_every_route_says_who_may_call_it() -> None:
    rows = re.findall(r"^\| `(?:GET|POST) (\S+)` \|.*\| (\w+)[^|]*\|$", (DOCS / "http.md").read_text(), re.MULTILINE)
    assert dict(rows) == {endpoint.path: str(endpoint.guard) for endpoint in ENDPOINTS}


def test_every_metric_is_in_the_runbook_with_its_labels() -> None:
    rows = re.findall(r"^\| `(lingua_\w+)` \| ([\w, ]*)\|", (DOCS / "runbook.md").read_text(), re.MULTILINE)
    listed = {name: tuple(label.strip() for label in labels.split(",") if label.strip()) for name, labels in rows}
    assert listed == known_metrics()


def known_metrics() -> dict[str, tuple[str, ...]]:
    """Name each family as it is exposed, with its labels."""
    found: dict[str, tuple[str, ...]] = {}
    for collector in set(Metrics().registry._collector_to_names):
        if isinstance(collector, MetricWrapperBase):
            for family in collector.describe():
                suffix = "_total" if family.type == "counter" else ""
                found[family.name + suffix] = tuple(collector._labelnames)
    return found
