"""The definitions in the chart are those of crds/."""

from __future__ import annotations

import pytest
import yaml

from kit import chart

SOURCES = sorted((chart.ROOT / "crds").glob("*.yaml"))
COPIES = chart.CHART / "files" / "crds"


def test_the_copies_are_the_originals() -> None:
    assert SOURCES
    assert {file.name: file.read_bytes() for file in COPIES.iterdir()} == {
        file.name: file.read_bytes() for file in SOURCES
    }, "run `make format`, or copy crds/*.yaml to charts/lingua/files/crds/"


@pytest.mark.parametrize("keep", [True, False])
def test_what_is_rendered_is_the_original_with_labels_and_the_wish_to_keep_it(keep: bool) -> None:
    rendered = chart.of_kind(chart.render({**chart.HOSTS, "crds": {"keep": keep}}), "CustomResourceDefinition")
    originals = [yaml.safe_load(file.read_text()) for file in SOURCES]
    assert [body["spec"] for body in rendered] == [body["spec"] for body in originals]
    for body, original in zip(rendered, originals, strict=True):
        annotations = {"helm.sh/resource-policy": "keep"} if keep else {}
        assert body["metadata"].pop("annotations", {}) == annotations
        assert body["metadata"].pop("labels")["app.kubernetes.io/managed-by"] == "Helm"
        assert body["metadata"] == original["metadata"]


def test_they_can_be_left_out() -> None:
    assert not chart.of_kind(chart.render({**chart.HOSTS, "crds": {"enabled": False}}), "CustomResourceDefinition")


def test_the_listing_of_the_chart_names_them_all() -> None:
    listing = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())["annotations"]
    named = {(found["kind"], found["name"]) for found in yaml.safe_load(listing["artifacthub.io/crds"])}
    originals = [yaml.safe_load(file.read_text()) for file in SOURCES]
    assert named == {(body["spec"]["names"]["kind"], body["metadata"]["name"]) for body in originals}
