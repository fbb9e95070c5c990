"""Manifests of the project's resources to start from, and the schema they must keep."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from kit.kube.api import Body, path

if TYPE_CHECKING:
    from kit.kube.api import Answer
    from kit.kube.bed import Bed

NODE, FLEET = "TranslationNode", "TranslationFleet"
PLURALS = {NODE: "translationnodes", FLEET: "translationfleets"}
_CRDS = Path(__file__).resolve().parents[3] / "crds"

_MODEST = {"privileged": False, "allowPrivilegeEscalation": False}
#: The least that a node's spec must say.
SMALL: Body = {"languages": {"asr": ["en"], "tts": ["es"]}}
#: A node's spec with every field in it.
FULL: Body = {
    "languages": {
        "asr": ["en", "pt-BR", "auto"],
        "semantic": ["es", "zh-Hans", "en"],
        "tts": ["es"],
        "exclude": [{"source": "pt-BR", "target": "es"}],
    },
    "services": ["asr", "nmt", "tts", "semantic"],
    "capacity": {"maxJobs": 8},
    "weight": 50,
    "scheduling": "Cordoned",
    "access": {"tenants": ["acme"], "pairingSecretRef": {"name": "pairing", "key": "code"}},
    "auth": {"tokenSecretRef": {"name": "token", "key": "token"}},
    "drainDeadlineSeconds": 60,
    "workload": {
        "podTemplate": {
            "metadata": {"labels": {"team": "speech"}, "annotations": {"note": "of ours"}},
            "spec": {
                "serviceAccountName": "speaker",
                "hostNetwork": False,
                "hostPID": False,
                "hostIPC": False,
                "volumes": [{"name": "models", "emptyDir": {}}],
                "initContainers": [{"name": "fetch", "image": "example.org/fetch:1", "securityContext": _MODEST}],
                "containers": [{"name": "node", "image": "example.org/node:1", "securityContext": _MODEST}],
            },
        }
    },
}


def node(name: str = "a", spec: Body | None = None) -> Body:
    """Write a TranslationNode; without a spec, the smallest."""
    return _resource(NODE, name, copy.deepcopy(SMALL if spec is None else spec))


def fleet(name: str = "a", spec: Body | None = None, **fields: Any) -> Body:
    """Write a TranslationFleet of nodes with this spec; ``fields`` are the fleet's own."""
    return _resource(FLEET, name, {**fields, "template": {"spec": copy.deepcopy(SMALL if spec is None else spec)}})


def full(kind: str) -> Body:
    """Write a resource with every field in it."""
    if kind == NODE:
        return node("a", {**FULL, "nodeId": "berlin-7"})
    written = fleet(
        "a",
        FULL,
        replicas=2,
        scaleDown="NewestFirst",
        updateStrategy={"maxSurge": 1, "maxUnavailable": 1},
        deletionPolicy="Immediate",
    )
    written["spec"]["template"]["metadata"] = {"labels": {"team": "speech"}, "annotations": {"note": "of ours"}}
    return written


def node_spec(resource: Body) -> Body:
    """Find the node's spec in either kind."""
    spec: Body = resource["spec"] if resource["kind"] == NODE else resource["spec"]["template"]["spec"]
    return spec


def merged(base: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7386): null removes, everything but objects is replaced."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    found = copy.deepcopy(base) if isinstance(base, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found


def collection(kind: str, namespace: str) -> str:
    """Build the path of a kind's list."""
    return path(PLURALS[kind], namespace)


def try_out(bed: Bed, resource: Body, **query: str) -> Answer:
    """Let the API server judge a resource without keeping it."""
    return bed.api.create(collection(resource["kind"], "default"), resource, dryRun="All", **query)


@cache
def definition(kind: str) -> Body:
    """Read a kind's definition from ``crds/``."""
    found: Body = yaml.safe_load((_CRDS / f"{PLURALS[kind]}.yaml").read_text())
    return found


def version(kind: str) -> Body:
    """Give the one version of a kind."""
    (found,) = definition(kind)["spec"]["versions"]
    return dict(found)


def schema(kind: str) -> Body:
    """Give the schema of a kind."""
    return dict(version(kind)["schema"]["openAPIV3Schema"])


def _resource(kind: str, name: str, spec: Body) -> Body:
    return {"apiVersion": "lingua.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
