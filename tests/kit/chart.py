"""The chart as its users see it: rendered by helm with their values."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kit.kube.bed import Bed

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "lingua"
RELEASE = "talk"
NAMESPACE = "speech"
_WITHIN_S = 120
#: A helm that was built by hand takes a cluster for one of an old Kubernetes where it sees none.
KUBERNETES = ("--kube-version", "1.36.0")

Body = dict[str, Any]
Values = dict[str, Any]

#: Values of the whole matrix: each is what somebody might really want, and together they reach every template.
BUNDLED: Values = {"redis": {"bundled": {"enabled": True}}}
HOSTS: Values = {"redis": {"external": {"hosts": ["redis.data:6379"]}}}
MATRIX: dict[str, Values] = {
    "to try out": BUNDLED,
    "to try out, with the node": {**BUNDLED, "node": {"enabled": True}},
    "all checks of nodes": {
        **BUNDLED,
        "node": {"enabled": True, "replicas": None, "priorityClassName": "low"},
        "auth": {"nodes": {"tokenReview": True}, "clients": {"existingSecret": "keys", "origins": ["https://a.example"]}},
        "networkPolicy": {"enabled": True},
        "test": {"tokenSecret": "tester"},
    },
    "a volume and a registry": {
        "redis": {"bundled": {"enabled": True, "persistence": {"enabled": True, "storageClass": "fast"}}},
        "image": {"registry": "registry.example.com/lingua/", "pullSecrets": ["registry"]},
        "scheduler": {"image": {"digest": "sha256:" + "a" * 64}},
    },
    "a server in parts": {
        "redis": {
            "external": {
                "hosts": ["redis.data:6380"], "username": "lingua", "passwordSecret": "redis", "database": 3,
                "tls": {"enabled": True, "secret": "redis-tls", "clientCertificate": True},
            }
        },
        "networkPolicy": {"enabled": True, "redis": [{"ipBlock": {"cidr": "10.9.0.0/16"}}]},
    },
    "sentinels": {
        "redis": {
            "external": {
                "hosts": ["s-0:26379", "s-1:26379"], "kind": "sentinel", "sentinelService": "main",
                "passwordSecret": "redis", "sentinelPasswordSecret": "sentinels",
                "tls": {"enabled": True, "secret": "redis-tls"},
            }
        },
        "networkPolicy": {"enabled": True},
    },
    "a cluster": {"redis": {"cell": "c0", "external": {"hosts": ["r-0:6379", "[fd00::1]:6379"], "kind": "cluster"}}},
    "an address in a secret": {"redis": {"external": {"existingSecret": "redis"}}},
    "hpa": {**HOSTS, "scheduler": {"autoscaling": {"mode": "hpa"}, "podDisruptionBudget": {"minAvailable": "50%"}}},
    "hpa without guard": {**HOSTS, "scheduler": {"autoscaling": {"mode": "hpa", "cpuPercent": 0}}},
    "keda on prometheus": {
        **HOSTS,
        "scheduler": {"autoscaling": {"mode": "keda", "keda": {"authenticationRef": "prometheus"}}},
    },
    "keda on pods": {**HOSTS, "scheduler": {"autoscaling": {"mode": "keda", "keda": {"source": "pods"}}}},
    "from outside": {
        **HOSTS,
        "scheduler": {
            "service": {
                "type": "LoadBalancer", "annotations": {"a": "b"}, "nodePort": 30510, "loadBalancerClass": "x/y",
                "loadBalancerSourceRanges": ["10.0.0.0/8"],
            },
            "ingress": {
                "enabled": True, "className": "traefik", "hosts": ["talk.example.com"],
                "tls": [{"secretName": "talk-tls", "hosts": ["talk.example.com"]}], "annotations": {"a": "b"},
            },
            "httpRoute": {
                "enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways"}],
                "hostnames": ["talk.example.com"],
            },
        },
    },
    "the whole cluster, watched": {
        **HOSTS,
        "operator": {"scope": "cluster", "admission": "mirror", "standby": True, "cluster": "east"},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True},
    },
    "several namespaces": {**HOSTS, "operator": {"namespaces": ["red", "blue"], "admission": "declared"}},
    "schedulers alone": {
        **HOSTS,
        "operator": {"enabled": False},
        "crds": {"enabled": False},
        "scheduler": {"preStopSeconds": 0, "serviceAccount": {"create": False, "name": "mine"}},
        "test": {"enabled": False},
    },
    "operator alone": {**HOSTS, "scheduler": {"enabled": False}, "crds": {"keep": False}},
    "no rights made": {
        **HOSTS, "rbac": {"create": False}, "operator": {"serviceAccount": {"create": False, "name": "o"}},
    },
    "every key of the parts": {
        **HOSTS,
        "commonLabels": {"team": "speech"},
        "auth": {
            "clients": {"keySetConfigMap": "jwks", "issuer": "https://id.example", "audience": "lingua"},
            "nodes": {"existingSecret": "nodes", "tokensSecret": "node-tokens"},
            "peers": {"existingSecret": "peers"},
        },
        "node": {"enabled": True, "tokenSecret": "node-token"},
        "networkPolicy": {
            "enabled": True,
            "clients": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "web"}}}],
            "monitoring": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
            "apiServer": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
            "schedulerEgress": [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}],
            "nodeEgress": [{"to": [{"ipBlock": {"cidr": "198.51.100.0/24"}}]}],
        },
        "scheduler": {
            "settings": {"LINGUA_CUT_PAUSE_MS": 2000, "LINGUA_AUDIO_RELEASE": "result"},
            "extraEnv": [{"name": "TZ", "value": "UTC"}],
            "podAnnotations": {"a": "b"}, "podLabels": {"c": "d"}, "priorityClassName": "high",
            "nodeSelector": {"disk": "ssd"}, "tolerations": [{"operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "topologySpreadConstraints": [
                {"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
            ],
        },
        "operator": {
            "settings": {"LINGUA_OPERATOR_RESYNC_EVERY_MS": 15000}, "extraEnv": [{"name": "TZ", "value": "UTC"}],
            "podAnnotations": {"a": "b"}, "podLabels": {"c": "d"}, "tolerations": [{"operator": "Exists"}],
        },
    },
}  # fmt: skip


@cache
def helm() -> str:
    """Find helm as `setup/helm` does. Missing it fails the suite: what was not rendered must not look tested."""
    found = subprocess.run([str(ROOT / "setup" / "helm"), "--where"], capture_output=True, text=True, check=False)
    if found.returncode:
        raise RuntimeError(found.stderr.strip())
    return found.stdout.strip()


def run(*arguments: str, stdin: str | None = None, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm without the settings of the person who runs the tests; whether it worked is the caller's question."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    if kubeconfig is not None:
        environment |= {"KUBECONFIG": str(kubeconfig), "HOME": str(kubeconfig.parent)}
    return subprocess.run(
        [helm(), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=_WITHIN_S,
    )


@cache
def _render(values: str, namespace: str) -> tuple[Body, ...]:
    done = run("template", RELEASE, str(CHART), "--namespace", namespace, *KUBERNETES, "--values", "-", stdin=values)
    assert done.returncode == 0, done.stderr
    return tuple(body for body in yaml.load_all(done.stdout, yaml.CSafeLoader) if body)


def render(values: Mapping[str, Any], namespace: str = NAMESPACE) -> list[Body]:
    """Render the chart; the bodies are the caller's to change."""
    return json.loads(json.dumps(_render(json.dumps(values), namespace)))  # type: ignore[no-any-return]


def refusal(values: Mapping[str, Any]) -> str:
    """Render values that can't work and return what helm says of them."""
    where = ("--namespace", NAMESPACE, *KUBERNETES)
    done = run("template", RELEASE, str(CHART), *where, "--values", "-", stdin=json.dumps(values))
    assert done.returncode != 0, "these values were accepted"
    return done.stderr


def production() -> Values:
    """Read the production profile."""
    found: Values = yaml.safe_load((CHART / "values-production.yaml").read_text())
    return found


def profiles() -> dict[str, Values]:
    """Name every set of values that is rendered: the matrix and the production profile."""
    return {**MATRIX, "production": production()}


def of_kind(bodies: list[Body], kind: str, ending: str = "") -> list[Body]:
    """Pick the objects of a kind whose name ends so."""
    return [body for body in bodies if body["kind"] == kind and body["metadata"]["name"].endswith(ending)]


def one(bodies: list[Body], kind: str, ending: str = "") -> Body:
    """Pick the one object of a kind whose name ends so."""
    (found,) = of_kind(bodies, kind, ending)
    return found


def fleets(bodies: list[Body]) -> Iterator[Body]:
    """Yield the fleets that the chart's Job applies."""
    for found in of_kind(bodies, "ConfigMap", "-node"):
        yield json.loads(found["data"]["fleet.json"])


def pods(bodies: list[Body]) -> Iterator[tuple[str, Body]]:
    """Yield every pod that would run, as where it stands and a Pod's metadata and spec; those of fleets too."""
    for body in bodies:
        where = f"{body['kind']}/{body['metadata']['name']}"
        if body["kind"] == "Pod":
            yield where, {"metadata": body["metadata"], "spec": body["spec"]}
        elif body["kind"] in ("Deployment", "StatefulSet", "Job"):
            for claim in body["spec"].get("volumeClaimTemplates", []):
                name = claim["metadata"]["name"]
                volume = {"name": name, "persistentVolumeClaim": {"claimName": name}}
                body["spec"]["template"]["spec"]["volumes"].append(volume)
            yield where, body["spec"]["template"]
    for fleet in fleets(bodies):
        yield f"TranslationFleet/{fleet['metadata']['name']}", node_pod(fleet)


def node_pod(fleet: Body) -> Body:
    """Let the operator's own code make a pod of a node of a fleet."""
    from lingua_operator.pods import build_pod
    from lingua_operator.resource import parse_node

    metadata = {"name": "a", "namespace": fleet["metadata"]["namespace"], "uid": "u", "generation": 1}
    node = parse_node({"metadata": metadata, "spec": fleet["spec"]["template"]["spec"]})
    return build_pod(node, 0, "ws://schedulers:5010/ws/node")


def environment(pod: Body) -> dict[str, Body]:
    """Give the variables of a pod's first container by name."""
    return {variable["name"]: variable for variable in pod["spec"]["containers"][0].get("env", [])}


def install(bed: Bed, namespace: str, values: Mapping[str, Any], verb: str = "install") -> None:
    """Install the chart into a namespace of a real API server, hooks apart, which need a kubelet."""
    command = (verb, RELEASE, str(CHART), "--namespace", namespace, "--no-hooks", "--values", "-")
    done = run(*command, stdin=json.dumps(values), kubeconfig=bed.kubeconfig)
    assert done.returncode == 0, done.stderr
