"""TranslationFleets and their nodes as the API server gives them, parsed once at the edge."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from lingua_operator.fleets.values import DeletionPolicy, Fleet, FleetSpec, Member, ScaleDown, Why
from lingua_operator.resource import LABEL_TEMPLATE_HASH, OWN, BadResource, parse_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lingua_operator.resource import Node
    from lingua_state.declarations import LiveNode

#: The fleet's finalizer: it stays until its nodes are gone.
FLEET_FINALIZER = f"{OWN}/fleet"
#: Why a node leaves its fleet, when that began, and the template's scheduling that was last brought to it.
RETIRING, RETIRING_SINCE, TEMPLATE_SCHEDULING = f"{OWN}/retiring", f"{OWN}/retiring-since", f"{OWN}/template-scheduling"
#: The finalizer that Kubernetes sets while ``--cascade=orphan`` lets the nodes of a fleet go free.
_ORPHAN = "orphan"
#: How much longer than a node's own deadline a fleet waits, since the node's reconcile acts on that one.
_MARGIN_S = 30
_HASH_LENGTH = 10
_Share = Annotated[str, Field(pattern=r"^([0-9]|[1-9][0-9]|100)%$")]
_Count = Annotated[int, Field(ge=0, le=10_000)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class _Strategy(_Model):
    max_surge: _Count | _Share = "25%"
    max_unavailable: _Count | _Share = 0


class _Template(_Model):
    spec: dict[str, Any]


class _Spec(_Model):
    replicas: _Count = 1
    scale_down: ScaleDown = ScaleDown.LEAST_BUSY_FIRST
    update_strategy: _Strategy = _Strategy()
    deletion_policy: DeletionPolicy = DeletionPolicy.DRAIN
    template: _Template


def parse_fleet(body: Any) -> Fleet:  # noqa: ANN401 - kopf's mapping or the client's dict
    """Read a TranslationFleet; its spec's problems are told in ``problem``."""
    body = plain(body)
    meta = body.get("metadata") or {}
    spec, problem = _spec(body.get("spec"))
    found = (body.get("spec") or {}).get("template")
    template = found if isinstance(found, dict) else {}
    deleted = meta.get("deletionTimestamp")
    return Fleet(
        namespace=meta.get("namespace", ""),
        name=meta.get("name", ""),
        uid=meta.get("uid", ""),
        generation=int(meta.get("generation", 0)),
        resource_version=meta.get("resourceVersion", ""),
        deleted=datetime.fromisoformat(deleted) if deleted else None,
        orphaning=_ORPHAN in (meta.get("finalizers") or ()),
        finalizers=tuple(meta.get("finalizers") or ()),
        spec=spec,
        problem=problem,
        template=template,
        template_hash=template_hash(template),
        annotations=dict(meta.get("annotations") or {}),
    )


def parse_member(node: Node, class_id: str, live: LiveNode | None) -> Member:
    """Read a node as a member of its fleet. ``live`` is how the store knows it; None: not at all, so nothing runs."""
    spec = node.spec
    deadline_s = spec.drain_deadline_seconds if spec else 0
    return Member(
        name=node.name,
        uid=node.uid,
        created=node.created,
        template_hash=node.labels.get(LABEL_TEMPLATE_HASH, ""),
        class_id=class_id,
        scheduling=str(spec.scheduling) if spec else "",
        applied_scheduling=node.annotations.get(TEMPLATE_SCHEDULING, ""),
        ready=_holds(node, "Ready") and node.deleted is None,
        drained=_holds(node, "Drained"),
        deleted=node.deleted is not None,
        retiring=_why(node),
        retire_until=_retire_until(node, deadline_s),
        load=live.load if live and live.connected else 0,
        capacity=max(1, live.capacity if live and live.connected else spec.capacity.max_jobs if spec else 1),
        drain_deadline_s=deadline_s,
    )


def template_hash(template: Mapping[str, Any]) -> str:
    """Name a template by what is in it. ``scheduling`` is left out: it is brought to nodes without replacing them."""
    spec = {name: value for name, value in (template.get("spec") or {}).items() if name != "scheduling"}
    meta = template.get("metadata") or {}
    hashed = {"labels": meta.get("labels") or {}, "annotations": meta.get("annotations") or {}, "spec": spec}
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]


def resolve(surge: int | str, unavailable: int | str, replicas: int) -> tuple[int, int]:
    """Turn shares into numbers as Deployments do: surge is rounded up, unavailable down, and not both are 0."""
    above = surge if isinstance(surge, int) else math.ceil(replicas * int(surge[:-1]) / 100)
    away = unavailable if isinstance(unavailable, int) else replicas * int(unavailable[:-1]) // 100
    return above, away or int(above == 0)


def plain(value: Any) -> Any:  # noqa: ANN401 - kopf's mapping views in, plain dicts and lists out
    """Copy what kopf gives into plain dicts and lists."""
    if hasattr(value, "keys"):
        return {name: plain(value[name]) for name in value}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _spec(raw: Any) -> tuple[FleetSpec | None, str]:  # noqa: ANN401 - as the API server gives it
    try:
        spec = _Spec.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        return None, f"{'.'.join(['spec', *map(str, found['loc'])])}: {found['msg']}"
    try:
        node = parse_spec(spec.template.spec)
    except BadResource as error:
        return None, f"spec.template.{error}"
    if node.node_id is not None:
        return None, "spec.template.spec.nodeId: nodes of a fleet can't share one id: remove it"
    surge, unavailable = resolve(spec.update_strategy.max_surge, spec.update_strategy.max_unavailable, spec.replicas)
    return (
        FleetSpec(spec.replicas, surge, unavailable, spec.scale_down, spec.deletion_policy, str(node.scheduling)),
        "",
    )


def _holds(node: Node, condition: str) -> bool:
    """Tell whether a condition is true of the node's present generation."""
    found = node.status.condition(condition)
    return found is not None and found.status == "True" and found.observed_generation in (None, node.generation)


def _why(node: Node) -> Why | None:
    """Tell whether the fleet sent the node away. A person who gave it work again has the last word."""
    word = node.annotations.get(RETIRING, "")
    if word not in set(Why) or node.spec is None or node.spec.scheduling != "Draining":
        return None
    return Why(word)


def _retire_until(node: Node, deadline_s: int) -> datetime | None:
    """Tell when a node that leaves goes at the latest; the annotation may hold anything that people write."""
    if _why(node) is None:
        return None
    try:
        since = datetime.fromisoformat(node.annotations.get(RETIRING_SINCE, ""))
        since = since if since.tzinfo else since.replace(tzinfo=UTC)
        return since.astimezone(UTC) + timedelta(seconds=deadline_s + _MARGIN_S)
    except (ValueError, OverflowError):
        since = node.status.drain_start_time or node.created
        return since.astimezone(UTC) + timedelta(seconds=deadline_s + _MARGIN_S)
