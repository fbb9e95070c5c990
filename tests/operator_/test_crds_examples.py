"""The manifests of examples/manifests are what users begin with: each is applied as a user would, and kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from kit.kube.manifests import FLEET, NODE, node, node_spec
from lingua_operator.pods import allowed_for, build_pod, problem_of
from lingua_operator.resource import parse_node

if TYPE_CHECKING:
    from kit.kube.api import Body
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
def test_the_pod_made_for_an_example_passes_the_restricted_standard(bed: Bed, file: Path) -> None:
    enforced = bed.namespace("restricted", {"pod-security.kubernetes.io/enforce": "restricted"})
    for spec in specs_with_pods(file):
        mine = parse_node(made(enforced, spec))
        assert mine.spec is not None, mine.problem
        assert problem_of(mine.spec, allowed_for(mine.spec, frozenset(), ())) is None
        pod = build_pod(mine, 0, "ws://lingua:5010/ws/node")
        bed.account(enforced, pod["spec"]["serviceAccountName"])
        bed.api.create(f"/api/v1/namespaces/{enforced}/pods", pod, fieldValidation="Strict").expect()


def test_the_examples_have_pods_of_both_kinds() -> None:
    kinds = {document["kind"] for file in FILES for document in documents(file) if spec_with_pod(document)}
    assert kinds == {NODE, FLEET}


def test_the_page_of_the_examples_lists_them_all() -> None:
    page = (FOLDER / "README.md").read_text()
    assert [file.name for file in FILES if f"`{file.name}`" not in page] == []


def made(namespace: str, spec: Body) -> Body:
    """Write a node as the API server would give it."""
    resource = node("example", spec)
    resource["metadata"] |= {"namespace": namespace, "uid": "0f4a1d9e", "generation": 1}
    return resource


def specs_with_pods(file: Path) -> list[Body]:
    """List the specs of nodes in a file that come with a pod."""
    return [spec for document in documents(file) for spec in spec_with_pod(document)]


def spec_with_pod(document: Body) -> list[Body]:
    """Give the spec of a node that comes with a pod, if a manifest is one or makes them."""
    return [node_spec(document)] if document["kind"] in (NODE, FLEET) and "workload" in node_spec(document) else []
