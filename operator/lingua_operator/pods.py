"""The pod of a node: what it is made of, when it is replaced, and what is told of it. Pure.

One pod, not a Deployment, for each TranslationNode: it is drained as the node is, and has its id and its credential.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lingua_operator.pod_defaults import hardened
from lingua_operator.pod_security import Allowed, refusals
from lingua_operator.reconcile import PodFact, Problem
from lingua_operator.resource import LABEL_FLEET, LABEL_NODE_ID, LABEL_TEMPLATE_HASH, OWN
from lingua_state.models import AUTO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from lingua_operator.pod_view import PodView
    from lingua_operator.resource import Node, NodeSpec

Body = dict[str, Any]
#: Selects the pods that the operator made, so that no others are watched.
LABEL_COMPONENT, COMPONENT = "app.kubernetes.io/component", "lingua-node"
LABEL_MANAGED, MANAGED = "app.kubernetes.io/managed-by", "lingua-operator"
POD_HASH, POD_NUMBER, NODE_ID = f"{OWN}/pod-hash", f"{OWN}/pod-number", f"{OWN}/node-id"
#: For whom a projected token of a node is made out; the schedulers ask for it.
AUDIENCE = "lingua-node"
TOKEN_FOLDER, TOKEN_FILE = "/var/run/secrets/lingua.dev/node", "token"
_TOKEN_VOLUME = "lingua-node-token"  # noqa: S105 - a name
_TOKEN_S = 3600
#: How long a pod has beyond the drain: to end its sockets and its engines.
_GRACE_MARGIN_S = 30
_NODE_DRAIN_MAX_S = 3600
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_OURS = ("lingua.dev/", f"{OWN}/")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 10, 300
#: A pod that ran for so long is replaced at once when it fails: its failure counts as the first.
_RAN_WELL = timedelta(minutes=10)
#: A pod that should have ended by now is left behind: its machine is gone, or nobody ends it.
_LOST_AFTER = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class PodPlan:
    """What to do about a node's pods. ``create`` is the number of the new pod; ``wake_at``: look again then."""

    fact: PodFact
    create: int | None = None
    delete: tuple[PodView, ...] = ()
    wake_at: datetime | None = None


def problem_of(spec: NodeSpec, allowed: Allowed) -> Problem | None:
    """Say which field of a pod template is refused, by which rule, and how many others; None: it can be used."""
    found = refusals(spec.pod_template or {}, allowed)
    if not found:
        return None
    more = f"; {len(found) - 1} more fields are refused" if len(found) > 1 else ""
    return Problem("PodTemplateRefused", f"{found[0]}{more}")


def allowed_for(spec: NodeSpec, service_accounts: frozenset[str], images: tuple[str, ...]) -> Allowed:
    """Tell what a template may choose: with ``auth.serviceAccountName`` that account and no other."""
    named = spec.auth.service_account_name if spec.auth else None
    return Allowed(frozenset({named}) if named else service_accounts | {"default"}, images)


def plan_pods(node: Node, pods: Sequence[PodView], now: datetime, *, wished: bool, refused: Problem | None) -> PodPlan:
    """Say what to do about a node's pods: at most one runs, it is as the template says, and one that failed is
    replaced, more slowly each time. A pod with another template goes only when the node is drained."""
    standing = sorted((pod for pod in pods if pod.deleted is None), key=lambda pod: pod.number)
    live = [pod for pod in standing if not pod.ended]
    if not wished:
        return PodPlan(_fact(live, None), delete=tuple(standing))
    if live:
        return _with_live(node, standing, live, refused)
    if refused:
        return PodPlan(PodFact(problem=refused))
    return _without_live(node, pods, standing, now)


def _with_live(node: Node, standing: list[PodView], live: list[PodView], refused: Problem | None) -> PodPlan:
    newest = live[-1]
    spare = tuple(pod for pod in standing if pod is not newest)
    if refused or newest.hash == pod_hash(node):
        return PodPlan(_fact(live, refused), delete=spare)
    if _is_drained(node) or not newest.running:
        fact = PodFact(gone=False, reason="PodReplaced", message="its pod is replaced by one of the new template")
        return PodPlan(_draining(fact), delete=(*spare, newest))
    message = "its pod has an older template: it finishes its work, then another one takes its place"
    return PodPlan(_draining(PodFact(gone=False, reason="PodOutdated", message=message)), delete=spare)


def _without_live(node: Node, pods: Sequence[PodView], standing: list[PodView], now: datetime) -> PodPlan:
    """Make a pod, unless one is still ending or the last one failed just now."""
    ending = [pod for pod in pods if pod.deleted and now < pod.deleted + _LOST_AFTER]
    if ending:
        fact = PodFact(gone=False, reason="PodEnding", message=f"its pod {ending[0].name} is ending")
        replaced = any(pod.hash != pod_hash(node) for pod in ending)
        return PodPlan(_draining(fact) if replaced else fact, wake_at=max(pod.deleted for pod in ending if pod.deleted))
    failed = standing[-1] if standing else None
    if failed is None:
        fact = PodFact(reason="PodStarting", message="its pod is being made")
        return PodPlan(fact, create=0)
    due = _due(failed)
    message = f"its pod {failed.name} ended ({failed.reason}: {failed.message}); the next one is made"
    if now < due:
        fact = PodFact(reason=failed.reason, message=f"{message} in {(due - now).seconds + 1} s")
        return PodPlan(fact, delete=tuple(standing[:-1]), wake_at=due)
    number = 1 if failed.lifetime >= _RAN_WELL else failed.number + 1
    # The new one is made first: the failed one carries the count, which must not be lost in between.
    return PodPlan(PodFact(reason=failed.reason, message=f"{message} now"), create=number)


def _due(failed: PodView) -> datetime:
    if failed.lifetime >= _RAN_WELL:
        return failed.finished
    return failed.finished + timedelta(seconds=min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(failed.number, 10)))


def _fact(live: Sequence[PodView], refused: Problem | None) -> PodFact:
    if not live:
        return PodFact(problem=refused)
    return PodFact(gone=False, reason=live[-1].reason, message=live[-1].message, problem=refused)


def _draining(fact: PodFact) -> PodFact:
    return PodFact(gone=fact.gone, reason=fact.reason, message=fact.message, drain=True)


def _is_drained(node: Node) -> bool:
    found = node.status.condition("Drained")
    return found is not None and found.status == "True" and found.observed_generation == node.generation


def pod_hash(node: Node) -> str:
    """Name what a node's pod is made from. What the operator itself adds is no part of it, so that a new version of the
    operator replaces no pod."""
    spec = node.spec
    if spec is None:
        return ""
    hashed = {
        "template": spec.pod_template,
        "nodeId": node.node_id,
        "auth": spec.auth.model_dump(mode="json") if spec.auth else None,
        "maxJobs": spec.capacity.max_jobs,
        "languages": _languages(spec),
    }
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def pod_name(node: Node, number: int) -> str:
    """Name a pod so that the same one is never made twice, and the next one need not wait for the last one's end."""
    digest = hashlib.sha256(f"{node.uid} {pod_hash(node)} {number}".encode()).hexdigest()[:5]
    return f"{node.name[:57].rstrip('-.')}-{digest}"


def build_pod(node: Node, number: int, scheduler_url: str) -> Body:
    """Write the pod of a node whose template has no refusals."""
    spec = node.spec
    if spec is None or spec.pod_template is None:
        raise ValueError(f"{node.name} has no pod template")
    pod = hardened(spec.pod_template["spec"])
    _put_identity(pod, node, spec, scheduler_url)
    least_s = spec.drain_deadline_seconds + _GRACE_MARGIN_S
    pod["terminationGracePeriodSeconds"] = max(int(pod.get("terminationGracePeriodSeconds") or 0), least_s)
    if spec.auth and spec.auth.service_account_name:
        pod["serviceAccountName"] = spec.auth.service_account_name
    return {"metadata": _metadata(node, number, spec.pod_template.get("metadata") or {}), "spec": pod}


def _metadata(node: Node, number: int, template: Mapping[str, Any]) -> Body:
    """Write labels, annotations and the owner; what a tenant says of ours does not count."""
    labels = {
        "app.kubernetes.io/name": "lingua-node",
        **_theirs(template.get("labels")),
        "app.kubernetes.io/part-of": "lingua",
        LABEL_COMPONENT: COMPONENT,
        LABEL_MANAGED: MANAGED,
        **{name: node.labels[name] for name in (LABEL_FLEET, LABEL_TEMPLATE_HASH) if name in node.labels},
    }
    if _LABEL_VALUE.fullmatch(node.node_id):
        labels[LABEL_NODE_ID] = node.node_id
    marks = {POD_HASH: pod_hash(node), POD_NUMBER: str(number), NODE_ID: node.node_id}
    return {
        "name": pod_name(node, number),
        "namespace": node.namespace,
        "labels": labels,
        "annotations": {**_theirs(template.get("annotations")), **marks},
        "ownerReferences": [
            {
                "apiVersion": "lingua.dev/v1alpha1", "kind": "TranslationNode", "name": node.name, "uid": node.uid,
                "controller": True,
            }
        ],
    }  # fmt: skip


def _put_identity(pod: Body, node: Node, spec: NodeSpec, scheduler_url: str) -> None:
    """Tell the node's container who it is. A template may choose the rest of the node's settings, but not its name and
    its credential."""
    container = next((each for each in pod["containers"] if each.get("name") == "node"), pod["containers"][0])
    ours = {"LINGUA_NODE_NODE_ID": node.node_id}
    if spec.auth:
        ours["LINGUA_NODE_TOKEN_FILE"] = f"{TOKEN_FOLDER}/{TOKEN_FILE}"
        _mount_token(pod, container, spec)
    free = {
        "LINGUA_NODE_URL": scheduler_url,
        "LINGUA_NODE_MAX_JOBS": str(spec.capacity.max_jobs),
        "LINGUA_NODE_LANGUAGES": ",".join(_languages(spec)),
        "LINGUA_NODE_DRAIN_S": str(min(spec.drain_deadline_seconds, _NODE_DRAIN_MAX_S)),
    }
    theirs = [each for each in container.get("env") or [] if each.get("name") not in ours]
    chosen = {each.get("name") for each in theirs}
    given = {name: value for name, value in free.items() if value and name not in chosen} | ours
    container["env"] = [*({"name": name, "value": value} for name, value in sorted(given.items())), *theirs]


def _mount_token(pod: Body, container: Body, spec: NodeSpec) -> None:
    volumes = [each for each in pod.get("volumes") or [] if each.get("name") != _TOKEN_VOLUME]
    mounts = [each for each in container.get("volumeMounts") or [] if each.get("name") != _TOKEN_VOLUME]
    pod["volumes"] = [*volumes, {"name": _TOKEN_VOLUME, **_token_source(spec)}]
    container["volumeMounts"] = [*mounts, {"name": _TOKEN_VOLUME, "mountPath": TOKEN_FOLDER, "readOnly": True}]


def _token_source(spec: NodeSpec) -> Body:
    if spec.auth and spec.auth.token_secret_ref:
        ref = spec.auth.token_secret_ref
        return {"secret": {"secretName": ref.name, "items": [{"key": ref.key, "path": TOKEN_FILE}]}}
    token = {"audience": AUDIENCE, "expirationSeconds": _TOKEN_S, "path": TOKEN_FILE}
    return {"projected": {"sources": [{"serviceAccountToken": token}]}}


def _languages(spec: NodeSpec) -> list[str]:
    heard_and_said = {*spec.languages.asr, *spec.languages.semantic, *spec.languages.tts}
    return sorted(heard_and_said - {AUTO})


def _theirs(words: Mapping[str, str] | None) -> dict[str, str]:
    return {name: value for name, value in (words or {}).items() if not name.startswith(_OURS)}
