"""pod_metrics.py PORT CERTIFICATE KEY: metrics of pods for the HorizontalPodAutoscaler, as an adapter offers them.

It stands for prometheus-adapter with the rule of docs/install.md and a Prometheus that asks every second: what a pod
writes on its /metrics is summed over the labels and given as the metric custom.metrics.k8s.io/v1beta2 of that pod. It
runs in the cluster, alone in its file, with a Python that has aiohttp.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

GROUP = "custom.metrics.k8s.io/v1beta2"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_API = "https://kubernetes.default.svc"
_METRICS_PORT = 5011
_WITHIN = aiohttp.ClientTimeout(total=5)


def summed(text: str, metric: str) -> float | None:
    """Add up the samples of a metric; None: there are none."""
    lines = [line for line in text.splitlines() if line.startswith((f"{metric} ", f"{metric}{{"))]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines) if lines else None


async def discovery(_request: web.Request) -> web.Response:
    """Tell that pods have metrics of any name."""
    resource = {"name": "pods/*", "singularName": "", "namespaced": True, "kind": "MetricValueList", "verbs": ["get"]}
    return web.json_response(
        {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP, "resources": [resource]}
    )


async def values(request: web.Request) -> web.Response:
    """Answer what the pods of a selector say."""
    namespace, metric = request.match_info["namespace"], request.match_info["metric"]
    async with aiohttp.ClientSession(timeout=_WITHIN) as session:
        pods = await _pods(session, namespace, request.query.get("labelSelector", ""))
        said = await asyncio.gather(*(_said(session, pod, metric) for pod in pods))
    items = [_item(pod, metric, value) for pod, value in zip(pods, said, strict=True) if value is not None]
    return web.json_response({"kind": "MetricValueList", "apiVersion": GROUP, "metadata": {}, "items": items})


async def _pods(session: aiohttp.ClientSession, namespace: str, selector: str) -> list[dict[str, Any]]:
    trust = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
    token = (_ACCOUNT / "token").read_text()
    url = f"{_API}/api/v1/namespaces/{namespace}/pods"
    headers = {"Authorization": f"Bearer {token}"}
    async with session.get(url, params={"labelSelector": selector}, headers=headers, ssl=trust) as answer:
        answer.raise_for_status()
        found: list[dict[str, Any]] = (await answer.json())["items"]
    return [pod for pod in found if pod["status"].get("podIP")]


async def _said(session: aiohttp.ClientSession, pod: dict[str, Any], metric: str) -> float | None:
    try:
        async with session.get(f"http://{pod['status']['podIP']}:{_METRICS_PORT}/metrics") as answer:
            return summed(await answer.text(), metric)
    except (aiohttp.ClientError, TimeoutError):
        return None  # it is starting or ending, as a Prometheus would find it


def _item(pod: dict[str, Any], metric: str, value: float) -> dict[str, Any]:
    where = {name: pod["metadata"][name] for name in ("name", "namespace")}
    return {
        "describedObject": {"kind": "Pod", "apiVersion": "/v1", **where},
        "metric": {"name": metric},
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "value": f"{round(value * 1000)}m",
    }


def main() -> None:
    """Serve until ended."""
    port, certificate, key = sys.argv[1:]
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trust.load_cert_chain(certificate, key)
    app = web.Application()
    app.router.add_get(f"/apis/{GROUP}", discovery)
    app.router.add_get(f"/apis/{GROUP}/namespaces/{{namespace}}/pods/{{pod}}/{{metric}}", values)
    web.run_app(app, port=int(port), ssl_context=trust)


if __name__ == "__main__":
    main()
