"""The adapter of pod metrics (kit.pod_metrics) in the test cluster: what `scheduler.autoscaling.mode=hpa` needs."""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from kit import pod_metrics
from kit.certificates import make_certificate
from kit.kind_kube import Kube

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAMESPACE = "pod-metrics"
_NAME = "pod-metrics"
_PORT = 6443
_GROUP, _VERSION = pod_metrics.GROUP.split("/")
_SERVICE = f"{_VERSION}.{_GROUP}"
#: Who asks for metrics on behalf of a HorizontalPodAutoscaler.
_AUTOSCALER = {"kind": "ServiceAccount", "name": "horizontal-pod-autoscaler", "namespace": "kube-system"}

Manifest = dict[str, Any]


@asynccontextmanager
async def pod_metrics_served(image: str) -> AsyncIterator[None]:
    """Serve the metrics of pods while the block lasts. ``image`` has a Python with aiohttp."""
    kube = Kube(NAMESPACE)
    await kube.apply(_of("v1", "Namespace", NAMESPACE))
    try:
        await kube.apply(*_manifests(image))
        await kube.ctl("rollout", "status", f"deployment/{_NAME}", "--timeout=120s", within_s=130)
        await kube.ctl("wait", "--for=condition=Available", f"apiservice/{_SERVICE}", "--timeout=120s", within_s=130)
        yield
    finally:
        await kube.delete("apiservice", _SERVICE)
        await kube.delete("namespace", NAMESPACE)


def _of(version: str, kind: str, name: str, **more: Any) -> Manifest:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **more}


def _manifests(image: str) -> list[Manifest]:
    with TemporaryDirectory() as folder:
        certificate, key = (base64.b64encode(file.read_bytes()).decode() for file in make_certificate(Path(folder)))
    return [
        _of("v1", "ServiceAccount", _NAME),
        *_granted("reader", {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}, _account()),
        *_granted("asker", {"apiGroups": [_GROUP], "resources": ["*"], "verbs": ["get"]}, _AUTOSCALER),
        _of("v1", "ConfigMap", _NAME, data={"adapter.py": Path(pod_metrics.__file__).read_text()}),
        _of("v1", "Secret", _NAME, data={"certificate": certificate, "key": key}),
        _deployment(image),
        _of("v1", "Service", _NAME, spec={"selector": {"app": _NAME}, "ports": [{"port": 443, "targetPort": _PORT}]}),
        _registration(),
    ]


def _account() -> Manifest:
    return {"kind": "ServiceAccount", "name": _NAME, "namespace": NAMESPACE}


def _granted(role: str, rule: Manifest, subject: Manifest) -> list[Manifest]:
    name, group = f"{_NAME}-{role}", "rbac.authorization.k8s.io"
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": name}
    return [
        _of(f"{group}/v1", "ClusterRole", name, rules=[rule]),
        _of(f"{group}/v1", "ClusterRoleBinding", name, roleRef=reference, subjects=[subject]),
    ]


def _registration() -> Manifest:
    spec = {
        "group": _GROUP,
        "version": _VERSION,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
        "service": {"name": _NAME, "namespace": NAMESPACE},
    }
    return _of("apiregistration.k8s.io/v1", "APIService", _SERVICE, spec=spec)


def _deployment(image: str) -> Manifest:
    folder = "/etc/pod-metrics"
    container = {
        "name": "adapter",
        "image": image,
        "command": ["python", f"{folder}/program/adapter.py"],
        "args": [str(_PORT), f"{folder}/keys/certificate", f"{folder}/keys/key"],
        "readinessProbe": {"tcpSocket": {"port": _PORT}, "periodSeconds": 1},
        "volumeMounts": [
            {"name": "program", "mountPath": f"{folder}/program"},
            {"name": "keys", "mountPath": f"{folder}/keys"},
        ],
    }
    pod = {
        "serviceAccountName": _NAME,
        "containers": [container],
        "volumes": [
            {"name": "program", "configMap": {"name": _NAME}},
            {"name": "keys", "secret": {"secretName": _NAME}},
        ],
    }
    labels = {"app": _NAME}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    return _of("apps/v1", "Deployment", _NAME, spec=spec)
