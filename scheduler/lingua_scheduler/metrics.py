"""What a scheduler counts, as Prometheus metrics of one instance.

Each :class:`Metrics` has a registry of its own, so several schedulers can live in one process. Label values are
bounded: a family keeps at most its limit of distinct label sets, and everything beyond is counted as ``other``. No
label is ever a tenant, a session, a job or a text. docs/runbook.md tells what to watch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics import MetricWrapperBase

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What a label becomes when its family is full.
OTHER = "other"

#: Distinct label sets of one family; far above what the code itself can produce.
MAX_LABEL_SETS = 64

#: Distinct language pairs that get a histogram of their own: the ones seen first.
MAX_PAIRS = 32

_SCRIPT_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_DISPATCH_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_RESULT_SECONDS = (0.05, 0.1, 0.15, 0.25, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0)
_HTTP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)

Metric = TypeVar("Metric", bound=MetricWrapperBase)


class Bounded(Generic[Metric]):
    """Keep a labelled family small and its children at hand, so that a look-up is one dictionary access."""

    def __init__(self, family: Metric, labels: int, limit: int = MAX_LABEL_SETS) -> None:
        self._family = family
        self._labels = labels
        self._limit = limit
        self._children: dict[tuple[str, ...], Metric] = {}

    def of(self, *values: str) -> Metric:
        """Return the child for these label values, or the ``other`` one when the family is full."""
        child = self._children.get(values)
        return child if child is not None else self._make(values)

    def _make(self, values: tuple[str, ...]) -> Metric:
        if len(self._children) >= self._limit:
            return self._family.labels(*[OTHER] * self._labels)
        return self._children.setdefault(values, self._family.labels(*values))

    def replace(self, figures: dict[str, float]) -> None:
        """Set a gauge of one label to exactly these figures; a value seen before and missing now becomes 0."""
        for values, child in self._children.items():
            if values[0] not in figures and isinstance(child, Gauge):
                child.set(0)
        for value, figure in figures.items():
            child = self.of(value)
            if isinstance(child, Gauge):
                child.set(figure)


class Metrics:
    """All metrics of one scheduler instance. Attributes without labels are used directly, others by ``.of(label)``."""

    def __init__(self, *, instance_id: str = "", version: str = "", max_pairs: int = MAX_PAIRS) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._gauge("build_info", "Version and instance, always 1", ("version", "instance")).of(
            version, instance_id
        ).set(1)
        self._sessions()
        self._jobs(max_pairs)
        self._audio()
        self._cluster()
        self._edges()

    def _sessions(self) -> None:
        #: The sum of the next one, there from the start: an autoscaler that reads one sample can use no labels.
        self.sessions_held = Gauge("lingua_sessions", "Sessions held by this instance", registry=self.registry)
        #: Labels: profile (base, extended).
        self.sessions_active = self._gauge("sessions_active", "Sessions held by this instance", ("profile",))
        #: Labels: profile.
        self.sessions_opened = self._counter("sessions_opened", "Sessions that were acknowledged", ("profile",))
        #: Labels: code (the close code as text).
        self.sessions_closed = self._counter("sessions_closed", "Sessions that ended, by close code", ("code",))
        #: Labels: how (here, handed_over, rebuilt, refused).
        self.sessions_resumed = self._counter("sessions_resumed", "Sessions that went on after a loss", ("how",))
        #: Labels: write (dispatch, renewal; every other refused write is followed by a renewal).
        self.sessions_fenced = self._counter(
            "sessions_fenced", "Writes refused since a later connection, elsewhere, holds the session", ("write",)
        )
        #: Labels: reason (drain, max_session, rebalance).
        self.sessions_moved = self._counter("sessions_moved", "Clients asked to connect again elsewhere", ("reason",))
        #: Labels: reason (IsFinal, Timeout, MaxDuration, MaxLength, Silence, Close, Drain).
        self.finalized = self._counter("utterances_finalized", "Utterances cut, by reason", ("reason",))
        #: Labels: reason (no_speech, too_short, empty).
        self.skipped = self._counter("utterances_skipped", "Finalizes that made no job, by reason", ("reason",))
        #: Labels: reason of the missing_result.
        self.missing = self._counter("results_missing", "Utterances given up and reported as missing", ("reason",))
        #: Labels: kind (partial, text, speech).
        self.delivered = self._counter("results_delivered", "Results written to clients, by kind", ("kind",))
        #: Labels: kind (partial, speech).
        self.outbox_dropped = self._counter("outbox_dropped", "Events merged or dropped for slow clients", ("kind",))
        #: Labels: rule (pause, backpressure, close, format_suspect).
        self.throttled = self._counter("sessions_throttled", "Times a session sent too fast, by rule", ("rule",))

    def _jobs(self, max_pairs: int) -> None:
        #: Labels: outcome (completed, completed_no_text, failed, cancelled).
        self.jobs = self._counter("jobs", "Jobs ended by this instance, by outcome", ("outcome",))
        #: Labels: code (an error code).
        self.jobs_failed = self._counter("jobs_failed", "Jobs that failed, by error code", ("code",))
        self.jobs_in_flight = Gauge(
            "lingua_jobs_in_flight", "Jobs owned by this instance and not ended", registry=self.registry
        )
        #: Labels: reason (node_lost, offer_timeout, handover_timeout, job_timeout, peer_unreachable, ...).
        self.attempts_lost = self._counter("attempts_lost", "Attempts that ended without an answer", ("reason",))
        #: Labels: affinity (turn, session, none).
        self.assigned = self._counter("jobs_assigned", "Assignments, by why that node", ("affinity",))
        #: Labels: reason (stale_attempt, wrong_node, already_ended, missing, digest, late, duplicate).
        self.results_rejected = self._counter("results_rejected", "Results that did not count, by reason", ("reason",))
        #: Labels: outcome (assigned, waiting, repeated, replaced, store_error).
        self.dispatch_seconds = self._histogram(
            "dispatch_seconds", "Finalize to the store's answer", ("outcome",), _DISPATCH_SECONDS
        )
        #: Labels: stage (asr, nmt, tts, total), as the nodes report them.
        self.stage_seconds = self._histogram(
            "stage_seconds", "Time per stage as nodes report it", ("stage",), _RESULT_SECONDS
        )
        self.first_result_seconds = Histogram(
            "lingua_first_result_seconds",
            "Finalize to the first text of the utterance at the client's socket",
            buckets=_RESULT_SECONDS,
            registry=self.registry,
        )
        self._first_sound = self._histogram(
            "end_of_speech_to_first_sound_seconds",
            "Last speech of an utterance to its first translated sound at the client's socket",
            ("pair",),
            _RESULT_SECONDS,
            limit=max_pairs,
        )

    def first_sound_seconds(self, source: str, target: str) -> Histogram:
        """Return the end-of-speech-to-first-sound histogram of a pair; past the bound, the one of all others."""
        return self._first_sound.of(f"{source}:{target}")

    def _audio(self) -> None:
        self.audio_held_bytes = Gauge(
            "lingua_audio_held_bytes", "Audio in this instance's memory", registry=self.registry
        )
        #: Labels: receipt (ack, result, dropped).
        self.audio_released = self._counter(
            "audio_released", "Utterances whose audio was let go, by what allowed it", ("receipt",)
        )
        #: Labels: scope (session, instance).
        self.audio_refused = self._counter("audio_refused", "Times audio was refused at a bound", ("scope",))
        self.audio_received_bytes = Counter(
            "lingua_audio_received_bytes", "Audio received from clients", registry=self.registry
        )

    def _cluster(self) -> None:
        #: Labels: status (registering, ready, degraded, draining, offline).
        self.nodes = self._gauge("nodes", "Nodes connected to this instance, by status", ("status",))
        #: Labels: reason (closed, replaced, half_open, protocol, drain).
        self.nodes_lost = self._counter("nodes_lost", "Node connections that ended, by reason", ("reason",))
        self.waiting_jobs = Gauge(
            "lingua_waiting_jobs", "Jobs in the whole cell that wait for a node", registry=self.registry
        )
        self.oldest_wait_seconds = Gauge(
            "lingua_oldest_wait_seconds", "Age of the oldest waiting job of the cell", registry=self.registry
        )
        self.peers_connected = Gauge(
            "lingua_peers_connected", "Open sockets to other instances", registry=self.registry
        )
        self.peer_waiting = Gauge(
            "lingua_peer_waiting", "Messages that other instances have not confirmed", registry=self.registry
        )
        #: Labels: direction (sent, received), outcome (ok, failed, repeated; left, taken: through the store).
        self.peer_messages = self._counter("peer_messages", "Messages between instances", ("direction", "outcome"))
        self.store_up = Gauge("lingua_store_up", "1 while the store answers, else 0", registry=self.registry)
        #: Labels: script (its name).
        self.script_seconds = self._histogram(
            "redis_script_seconds", "One script call as this instance sees it", ("script",), _SCRIPT_SECONDS
        )
        #: Labels: code (an error class of the store).
        self.store_errors = self._counter("store_errors", "Calls that the store did not answer well", ("code",))

    def _edges(self) -> None:
        #: Labels: side (client, node, peer, http), code (an error code).
        self.errors = self._counter("errors", "Errors told to peers, by code", ("side", "code"), limit=128)
        #: Labels: side (client, node, peer, admin), code.
        self.auth_refused = self._counter("auth_refused", "Credentials refused", ("side", "code"))
        #: Labels: route (its pattern), method, status.
        self.http_requests = self._counter(
            "http_requests", "HTTP requests answered", ("route", "method", "status"), limit=256
        )
        #: Labels: route (its pattern).
        self.http_seconds = self._histogram("http_request_seconds", "HTTP time to answer", ("route",), _HTTP_SECONDS)

    def exposition(self) -> tuple[bytes, str]:
        """Write everything in the Prometheus text format; returns the body and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _counter(self, name: str, help_: str, labels: Sequence[str], limit: int = MAX_LABEL_SETS) -> Bounded[Counter]:
        return Bounded(Counter(f"lingua_{name}", help_, labels, registry=self.registry), len(labels), limit)

    def _gauge(self, name: str, help_: str, labels: Sequence[str], limit: int = MAX_LABEL_SETS) -> Bounded[Gauge]:
        return Bounded(Gauge(f"lingua_{name}", help_, labels, registry=self.registry), len(labels), limit)

    def _histogram(
        self, name: str, help_: str, labels: Sequence[str], buckets: Sequence[float], limit: int = MAX_LABEL_SETS
    ) -> Bounded[Histogram]:
        family = Histogram(f"lingua_{name}", help_, labels, buckets=buckets, registry=self.registry)
        return Bounded(family, len(labels), limit)
