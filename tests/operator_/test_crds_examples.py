"""The manifests of examples/manifests are what users begin with: each is applied as a user would, and kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from kit.kube.manifests import FLEET, NODE, node_spec
from lingua_operator.pods import allowed_for, problem_of
from lingua_operator.resource import parse_spec

if TYPE_CHECKING:
    from kit.kube.bed import Bed

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "manifests"
FILES = sorted(FOLDER.glob("*.yaml"))
WITH_PODS = pytest.mark.parametrize(
    "file", [file for file in FILES if "podTemplate" in file.read_text()], ids=lambda file: file.name
)
EACH = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def documents(file: Path) -> list[Any]:
    """Read a file's manifests."""
    return list(yaml.safe_load_all(file.read_text()))


@EACH
def test_an_example_is_applied(bed: Bed, namespace: str, file: Path) -> None:
    said = bed.kubectl("apply", "--validate=strict", "-n", namespace, "-f", str(file))
    assert said.count(" created") == len(documents(file))
    again = bed.kubectl("apply", "-n", namespace, "-f", str(file))
    assert again.count(" unchanged") == len(documents(file))


@WITH_PODS
def test_a_pod_of_an_example_passes_the_restricted_standard(bed: Bed, file: Path) -> None:
    enforced = bed.namespace("restricted", {"pod-security.kubernetes.io/enforce": "restricted"})
    bed.account(enforced, "speech-node")
    bed.account(enforced, "english-node")
    for name, template in pods(file):
        pod = {"metadata": {"name": name, **template.get("metadata", {})}, "spec": template["spec"]}
        made = bed.api.create(f"/api/v1/namespaces/{enforced}/pods", pod, fieldValidation="Strict")
        assert made.ok, made.message


@WITH_PODS
def test_the_operator_accepts_the_pod_of_an_example(file: Path) -> None:
    for document in documents(file):
        for _ in pods_of(document):
            spec = parse_spec(node_spec(document))
            assert problem_of(spec, allowed_for(spec, frozenset(), ())) is None


def test_the_examples_have_pods_of_both_kinds() -> None:
    kinds = {document["kind"] for file in FILES for document in documents(file) if [*pods_of(document)]}
    assert kinds == {NODE, FLEET}


def test_the_page_of_the_examples_lists_them_all() -> None:
    page = (FOLDER / "README.md").read_text()
    assert [file.name for file in FILES if f"`{file.name}`" not in page] == []


def pods(file: Path) -> list[tuple[str, Any]]:
    """List the pod templates in a file, with names for pods of them."""
    return [(document["metadata"]["name"], pod) for document in documents(file) for pod in pods_of(document)]


def pods_of(document: Any) -> list[Any]:
    """List the pod template of a resource, if it has one."""
    spec = document.get("spec", {})
    workload = spec.get("template", {"spec": spec})["spec"].get("workload")
    return [workload["podTemplate"]] if workload else []
