"""What a scheduler counts: bounded, with units, one registry per instance."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

import lingua_scheduler
from lingua_scheduler.metrics import MAX_LABEL_SETS, MAX_PAIRS, Bounded, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = metrics.exposition()[0].decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_is_counted_is_exposed_under_its_name_and_label() -> None:
    metrics = Metrics(instance_id="a", version="1")
    metrics.jobs.of("completed").inc()
    metrics.jobs.of("completed").inc()
    found = samples(metrics)
    assert found["lingua_jobs_total", (("outcome", "completed"),)] == 2
    assert found["lingua_build_info", (("instance", "a"), ("version", "1"))] == 1


def test_two_instances_in_one_process_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.finalized.of("IsFinal").inc()
    assert ("lingua_utterances_finalized_total", (("reason", "IsFinal"),)) not in samples(second)


def test_a_label_beyond_the_bound_is_counted_as_other_and_nothing_is_lost() -> None:
    metrics = Metrics()
    for number in range(1_000):
        metrics.jobs_failed.of(f"CODE_{number}").inc()
    found = {labels: value for (name, labels), value in samples(metrics).items() if name == "lingua_jobs_failed_total"}
    assert len(found) == MAX_LABEL_SETS + 1
    assert found[("code", "other"),] == 1_000 - MAX_LABEL_SETS
    assert sum(found.values()) == 1_000


def test_only_so_many_pairs_get_a_histogram_of_their_own() -> None:
    metrics = Metrics()
    for number in range(MAX_PAIRS + 10):
        metrics.first_sound_seconds(f"a{number}", "es").observe(0.2)
    name = "lingua_end_of_speech_to_first_sound_seconds_count"
    found = {labels: value for (sample, labels), value in samples(metrics).items() if sample == name}
    assert found[("pair", "other"),] == 10
    assert len(found) == MAX_PAIRS + 1


def test_a_status_that_no_node_has_any_more_reads_zero() -> None:
    metrics = Metrics()
    metrics.nodes.replace({"ready": 3})
    metrics.nodes.replace({"draining": 1})
    found = samples(metrics)
    assert found["lingua_nodes", (("status", "ready"),)] == 0
    assert found["lingua_nodes", (("status", "draining"),)] == 1


@pytest.mark.parametrize("forbidden", ["session", "session_id", "job_id", "tenant", "node_id", "text", "trace_id"])
def test_no_metric_has_a_label_that_grows_with_users(forbidden: str) -> None:
    metrics = Metrics()
    labels = {label for family in metrics.registry._names_to_collectors.values() for label in labels_of(family)}
    assert labels, "no family was looked at"
    assert forbidden not in labels


def labels_of(family: object) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(family, "_labelnames", ())
    return found


def test_every_metric_of_ours_begins_with_the_name_of_the_project() -> None:
    names = {family.name for family in Metrics().registry.collect()}
    assert {name for name in names if not name.startswith(("lingua_", "process_"))} == set()


def test_every_metric_that_is_declared_is_set_somewhere() -> None:
    folder = Path(lingua_scheduler.__file__).parent
    texts = [path.read_text(encoding="utf-8") for path in folder.rglob("*.py") if path.name != "metrics.py"]
    declared = [name for name, value in vars(Metrics()).items() if isinstance(value, Bounded | MetricWrapperBase)]
    assert len(declared) > 30
    used = "\n".join(texts)
    unset = [name for name in declared if not re.search(rf"metrics\.{name.lstrip('_')}(_seconds)?\b", used)]
    assert unset == []
