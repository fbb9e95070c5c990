"""What the operator tells Prometheus. Labels come from small fixed sets; no name of a node is one."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """All metrics of one operator."""

    def __init__(self, version: str = "") -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._gauge("build_info", "Version, always 1", "version").labels(version).set(1)
        self.nodes = self._gauge("nodes", "TranslationNodes by the reason of their Ready condition", "reason")
        self.reconciles = self._counter("reconciles", "Nodes reconciled, by what came of it", "outcome")
        self.reconcile_seconds = self._histogram("reconcile_seconds", "Time to reconcile one node")
        self.status_writes = self._counter(
            "status_writes", "Statuses written outside of a handler, by outcome", "outcome"
        )
        self.repairs = self._counter("repairs", "What a resync put right: missing, stale, orphan", "kind")
        self.resync_seconds = self._histogram("resync_seconds", "Time of one comparison of store and resources")
        self.store_up = self._plain("store_up", "1 while the store answers, else 0")
        self.drains = self._plain("drains", "Nodes that wait for running jobs to end")
        self.leading = self._plain("leading", "1 while this operator works, 0 while it stands by")
        self.watch_age = self._plain("watch_progress_age_seconds", "Time since a watch stream last made progress")
        self.api_requests = self._counter("api_requests", "Requests to the API server", "method", "status")
        self.mirrored = self._plain("mirrored_nodes", "Resources made for nodes that registered by themselves")

    def exposition(self) -> tuple[bytes, str]:
        """Write everything in the Prometheus text format; returns the body and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(f"lingua_operator_{name}", help_, labels, registry=self.registry)

    def _gauge(self, name: str, help_: str, *labels: str) -> Gauge:
        return Gauge(f"lingua_operator_{name}", help_, labels, registry=self.registry)

    def _plain(self, name: str, help_: str) -> Gauge:
        return Gauge(f"lingua_operator_{name}", help_, registry=self.registry)

    def _histogram(self, name: str, help_: str) -> Histogram:
        return Histogram(f"lingua_operator_{name}", help_, buckets=_SECONDS, registry=self.registry)
