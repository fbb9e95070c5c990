"""A TranslationNode as the API server gives it, parsed once at the edge into plain frozen values.

The schema in ``crds/`` has refused most of what is wrong; what it can't tell (an older schema, a rule switched off) is
found here and becomes :class:`BadResource`, never a crash.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from lingua_operator.shallow import CUT_OFF, DEPTH
from lingua_state.declared import OTHERS_KEYS
from lingua_wire.ids import Id, Language  # noqa: TC001 - pydantic needs them

#: Our finalizer and the prefix of our annotations, since the first release.
OWN = "operator.lingua.dev"
FINALIZER = f"{OWN}/drain"
LABEL_NODE_ID = "lingua.dev/node-id"
LABEL_FLEET = "lingua.dev/fleet"
LABEL_TEMPLATE_HASH = "lingua.dev/template-hash"
#: A resource that the operator made for a node that registered by itself.
LABEL_MIRRORED = "lingua.dev/mirrored"


class Scheduling(StrEnum):
    """What is wished of a node's work: all of it, none that is new, or none that is new until it has none."""

    ACTIVE = "Active"
    CORDONED = "Cordoned"
    DRAINING = "Draining"


class BadResource(ValueError):
    """A spec that can't be understood; the message names field and problem, and is shown to its author."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class PairSpec(_Model):
    """A directed pair."""

    source: Language
    target: Language


class LanguagesSpec(_Model):
    """What a node hears, translates into and speaks."""

    asr: Annotated[tuple[Language, ...], Field(min_length=1, max_length=128)]
    semantic: Annotated[tuple[Language, ...], Field(max_length=128)] = ()
    tts: Annotated[tuple[Language, ...], Field(max_length=128)] = ()
    exclude: Annotated[tuple[PairSpec, ...], Field(max_length=16_384)] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """List the languages it produces: the semantic ones when it names them, else those it speaks."""
        return self.semantic or self.tts


class CapacitySpec(_Model):
    """How much at once."""

    max_jobs: Annotated[int, Field(ge=1, le=1_000)] = 4


class KeyRef(_Model):
    """One key of a secret in the same namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    key: Annotated[str, Field(min_length=1, max_length=253)] = "token"


class AccessSpec(_Model):
    """Who may use the node; nothing named: everybody."""

    tenants: Annotated[tuple[str, ...], Field(max_length=512)] = ()
    pairing_secret_ref: KeyRef | None = None


class AuthSpec(_Model):
    """How the node proves who it is: by one of the two."""

    service_account_name: Annotated[str, Field(max_length=253)] | None = None
    token_secret_ref: KeyRef | None = None


class WorkloadSpec(_Model):
    """The node's pod, when the operator runs it."""

    pod_template: dict[str, Any] | None = None


def _own_key(node_id: str) -> str:
    if node_id.endswith(OTHERS_KEYS):
        raise ValueError(f"a node id does not end with {', '.join(OTHERS_KEYS)}: give it another end")
    return node_id


class NodeSpec(_Model):
    """What is wished of a node (also the template of a fleet's nodes)."""

    node_id: Annotated[Id, AfterValidator(_own_key)] | None = None
    languages: LanguagesSpec
    services: tuple[Literal["asr", "nmt", "tts", "tone", "semantic"], ...] = ("asr", "nmt", "tts")
    capacity: CapacitySpec = CapacitySpec()
    weight: Annotated[int, Field(ge=0, le=1_000)] = 100
    scheduling: Scheduling = Scheduling.ACTIVE
    access: AccessSpec | None = None
    auth: AuthSpec | None = None
    drain_deadline_seconds: Annotated[int, Field(ge=0, le=86_400)] = 300
    workload: WorkloadSpec | None = None

    @property
    def pod_template(self) -> dict[str, Any] | None:
        """Give the template of the node's pod; None: the node runs elsewhere."""
        return self.workload.pod_template if self.workload else None


class Condition(_Model):
    """One condition in the standard shape."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None
    observed_generation: int | None = None


class NodeStatus(_Model):
    """What the operator last wrote. Whatever in it can't be read counts as not written."""

    observed_generation: int | None = None
    node_id: str | None = None
    membership_revision: int | None = None
    pairs: int | None = None
    pairs_sample: tuple[str, ...] = ()
    drain_start_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()

    def condition(self, kind: str) -> Condition | None:
        """Find a condition by its type."""
        return next((each for each in self.conditions if each.type == kind), None)


@dataclass(frozen=True, slots=True)
class Node:
    """A TranslationNode. ``spec`` is None when it could not be understood; ``problem`` then tells why."""

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    created: datetime
    deleted: datetime | None
    spec: NodeSpec | None
    problem: str
    status: NodeStatus
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    owners: tuple[dict[str, Any], ...] = ()
    #: The status as it came: others' conditions in it are kept.
    raw_status: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def key(self) -> tuple[str, str]:
        """Name it within the cluster."""
        return self.namespace, self.name

    @property
    def node_id(self) -> str:
        """The name under which the schedulers know it."""
        own = self.spec.node_id if self.spec else self.status.node_id
        return own or f"{self.namespace}.{self.name}"

    @property
    def mirrored(self) -> bool:
        """Tell whether it was made for a node that registered by itself, and is only shown."""
        return self.labels.get(LABEL_MIRRORED) == "true"

    @property
    def controller_uid(self) -> str:
        """Name what made it and answers for it, a fleet; empty: nothing does."""
        return next((str(owner.get("uid", "")) for owner in self.owners if owner.get("controller")), "")


def parse_node(body: Any) -> Node:  # noqa: ANN401 - kopf's mapping or the client's dict
    """Read a TranslationNode; its spec's problems are told in ``problem``."""
    meta = body.get("metadata", {})
    spec, problem = _spec(body.get("spec"))
    return Node(
        namespace=meta.get("namespace", ""),
        name=meta.get("name", ""),
        uid=meta.get("uid", ""),
        generation=int(meta.get("generation", 0)),
        resource_version=meta.get("resourceVersion", ""),
        created=_time(meta.get("creationTimestamp")) or datetime.now(UTC),
        deleted=_time(meta.get("deletionTimestamp")),
        spec=spec,
        problem=problem,
        status=parse_status(body.get("status")),
        labels=dict(meta.get("labels") or {}),
        annotations=dict(meta.get("annotations") or {}),
        finalizers=tuple(meta.get("finalizers") or ()),
        owners=tuple(dict(owner) for owner in meta.get("ownerReferences") or ()),
        raw_status=copy.deepcopy(dict(body.get("status") or {})),
    )


def parse_spec(spec: Any) -> NodeSpec:  # noqa: ANN401 - as the API server gives it
    """Read a node's spec. :raises BadResource: it can't be understood."""
    try:
        found = NodeSpec.model_validate(_plain(spec))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(["spec", *map(str, first["loc"])])
        raise BadResource(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
    if found.pod_template and CUT_OFF in json.dumps(found.pod_template, default=dict):
        raise BadResource(f"spec.workload.podTemplate: nested more than {DEPTH} levels deep: make it flatter")
    return found


def parse_status(status: Any) -> NodeStatus:  # noqa: ANN401 - as the API server gives it
    """Read a status; one that can't be read counts as empty."""
    try:
        return NodeStatus.model_validate(_plain(status or {}))
    except ValidationError:
        return NodeStatus()


def _spec(spec: Any) -> tuple[NodeSpec | None, str]:  # noqa: ANN401 - as the API server gives it
    try:
        return parse_spec(spec), ""
    except BadResource as error:
        return None, str(error)


def _plain(value: Any) -> Any:  # noqa: ANN401 - kopf's mapping views are no dicts
    return dict(value) if hasattr(value, "keys") else value


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
