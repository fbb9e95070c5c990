"""The settings of the operator, from environment variables ``LINGUA_OPERATOR_<GROUP>_<NAME>``, and
``LINGUA_REDIS_<NAME>`` for the store, as the scheduler has them.

Each field tells its unit in its name, and what 0 means where 0 is allowed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from lingua_state.secret_files import SecretFileError, read_secret, with_passwords

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = "LINGUA_OPERATOR_"
REDIS_PREFIX = "LINGUA_REDIS_"

Milliseconds = Annotated[int, Field(ge=1, le=24 * 3600 * 1000)]
MillisecondsOrOff = Annotated[int, Field(ge=0, le=24 * 3600 * 1000)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Name = Annotated[str, Field(pattern=r"^([a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?)?$")]


class SettingsError(ValueError):
    """A setting has a value that can't work; each line of the message names the variable and what is wanted."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class RedisGroup(BaseSettings):
    """The store: the same variables as the scheduler's."""

    model_config = SettingsConfigDict(
        env_prefix=REDIS_PREFIX, frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    password: SecretStr = SecretStr("")
    """In place of the one in the address; it may hold any character."""
    sentinel_password: SecretStr = SecretStr("")
    """That of the Sentinels, where they have their own."""
    cell: Annotated[str, Field(pattern=r"^([a-z0-9]{1,16})?$")] = ""
    """Hash tag of the cell; empty on a plain server with one cell, needed in cluster mode."""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = "lingua"
    timeout_ms: Milliseconds = 2_000
    retry_budget_ms: Milliseconds = 5_000

    def address(self) -> str:
        """Give the whole address, passwords included."""
        secrets = self.password.get_secret_value(), self.sentinel_password.get_secret_value()
        return with_passwords(self.url.get_secret_value(), *secrets)


class LogSettings(_Group):
    """Logs."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class HttpSettings(_Group):
    """Probes and metrics."""

    host: str = "0.0.0.0"  # noqa: S104 - a server in a container listens on all addresses
    port: Port = 8080


class KubernetesSettings(_Group):
    """Calls to the API server."""

    timeout_ms: Milliseconds = 30_000
    """How long one call may take; watches have their own bounds."""
    retry_budget_ms: MillisecondsOrOff = 10_000
    """No try of a call begins later than this after its first; 0: one try."""
    writes_in_flight: Count = 16
    """Status writes of a resync at once, so that a store that came back does not flood the API server."""


class WatchSettings(_Group):
    """The streams of changes."""

    server_timeout_ms: Annotated[int, Field(ge=10_000, le=3_600_000)] = 600_000
    """The API server ends a stream after this; it is begun again where it ended."""
    inactivity_ms: Annotated[int, Field(ge=1_000, le=3_600_000)] = 70_000
    """A stream without any word, bookmarks included, is dead after this. Bookmarks come each minute."""
    initial_streaming: bool = True
    """Get the first list as a stream (Kubernetes 1.34 and later); false: as a list, as older API servers need it."""
    stale_ms: Annotated[int, Field(ge=10_000, le=24 * 3600 * 1000)] = 240_000
    """/healthz fails when no stream made progress for this long. Never tied to the store."""


class ResyncSettings(_Group):
    """What is compared again and again, whatever events came."""

    every_ms: Milliseconds = 30_000
    """Everything: one cheap call when store and resources agree. Credentials are read again as often."""
    live_ms: Milliseconds = 2_000
    """Which nodes are connected: one cheap call when nothing changed."""
    list_ms: Milliseconds = 600_000
    """The resources themselves are listed again, in case a stream lost an event."""


class SchedulerSettings(_Group):
    """The schedulers, as the pods of nodes reach them."""

    url: Annotated[str, Field(pattern=r"^((ws|wss|http|https)://\S+)?$")] = ""
    """Where they listen for nodes; empty: each pod template says it itself (LINGUA_NODE_URL)."""


class PodSettings(_Group):
    """What the pod template of a node may choose."""

    service_accounts: Annotated[str, Field(pattern=r"^[a-z0-9.,-]*$")] = ""
    """Service accounts that a node without ``auth.serviceAccountName`` may name beside ``default``, with commas."""
    images: Annotated[str, Field(pattern=r"^[^\s]*$")] = ""
    """What the name of an image must begin with, several with commas; empty: any image."""


class FleetSettings(_Group):
    """Fleets of nodes."""

    writes_in_flight: Annotated[int, Field(ge=1, le=256)] = 16
    """Nodes of one fleet that are made, changed or deleted at once. The API server's own limit slows it further."""
    every_ms: Milliseconds = 15_000
    """Each fleet is looked at again this often, whatever events came."""
    demand_ms: Milliseconds = 5_000
    """How old the figures for autoscalers may be."""


class MirrorSettings(_Group):
    """Resources for nodes that have none (``admission`` is ``mirror``)."""

    namespace: Name = ""
    """Where they are made; empty: the first of ``namespaces``, else ``standby.namespace``."""
    gone_ms: Milliseconds = 600_000
    """A mirrored resource is removed when its node was not seen for this long."""
    limit: Count = 5_000
    """At most this many are made."""


class StandbySettings(_Group):
    """A second operator that waits, warm, by a Lease."""

    enabled: bool = False
    """False: this operator works from the start, as it must be the only one of its Deployment (``Recreate``)."""
    lease: Name = "lingua-operator"
    namespace: Name = ""
    """Where the Lease is; empty: the namespace of this pod."""
    identity: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,128}$")] = ""
    """This operator's name in the Lease; empty: host name and a random part."""
    lease_ms: Annotated[int, Field(ge=3_000, le=600_000)] = 20_000
    """A leader that did not renew for this long has lost: the longest take-over after a kill."""
    renew_ms: Annotated[int, Field(ge=1_000, le=600_000)] = 14_000
    """A leader that could not renew for this long stops; below ``lease_ms``."""
    retry_ms: Annotated[int, Field(ge=1_000, le=600_000)] = 2_000


class OperatorSettings(BaseSettings):
    """All settings. Build with :func:`load_settings`, which explains bad values."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    namespaces: Annotated[
        str, Field(pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(,[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*)?$")
    ] = ""
    """The namespaces served, with commas between; empty: the whole cluster."""
    cluster: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,63}$")] = ""
    """Name of this Kubernetes cluster; needed only where several share one store."""
    admission: Literal["open", "declared", "mirror"] = "open"
    """What becomes of nodes without a resource: let in, refused (the schedulers need the same word), or let in and
    shown as resources."""
    redis: RedisGroup = Field(default_factory=RedisGroup)
    log: LogSettings = LogSettings()
    http: HttpSettings = HttpSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    watch: WatchSettings = WatchSettings()
    resync: ResyncSettings = ResyncSettings()
    mirror: MirrorSettings = MirrorSettings()
    standby: StandbySettings = StandbySettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    pods: PodSettings = PodSettings()
    fleets: FleetSettings = FleetSettings()

    def namespace_list(self) -> tuple[str, ...]:
        """Split ``namespaces``; empty: the whole cluster."""
        return tuple(dict.fromkeys(name for name in self.namespaces.split(",") if name))

    def covers(self, namespace: str) -> bool:
        """Tell whether this operator answers for a namespace."""
        return not self.namespaces or namespace in self.namespace_list()


def load_settings() -> OperatorSettings:
    """Read the settings from the environment, and the store's secrets also from files (``LINGUA_REDIS_URL_FILE``).

    :raises SettingsError: a value can't be used; the message names variable, value and what is wanted.
    """
    lines: list[str] = []
    redis = RedisGroup.model_construct()
    try:
        redis = RedisGroup(**_from_files())
    except SecretFileError as error:
        lines.append(str(error))
    except ValidationError as error:
        lines += _explain(error, REDIS_PREFIX, RedisGroup)
    try:
        settings = OperatorSettings(redis=redis)
    except ValidationError as error:
        raise SettingsError("\n".join([*lines, *_explain(error, PREFIX, OperatorSettings)])) from None
    if not lines and settings.standby.renew_ms >= settings.standby.lease_ms:
        lines.append(f"{PREFIX}STANDBY_RENEW_MS={settings.standby.renew_ms}: must be below {PREFIX}STANDBY_LEASE_MS")
    if lines:
        raise SettingsError("\n".join(lines))
    return settings


def _from_files() -> dict[str, Any]:
    names = [name for name, info in RedisGroup.model_fields.items() if info.annotation is SecretStr]
    found = {name: read_secret(f"{REDIS_PREFIX}{name}".upper(), os.environ) for name in names}
    return {name: text for name, text in found.items() if text is not None}


def fields() -> Iterator[tuple[str, str, type[BaseModel]]]:
    """List every setting: its variable, its field's name, and the model it is in."""
    for name, info in OperatorSettings.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            prefix = REDIS_PREFIX if kind is RedisGroup else f"{PREFIX}{name}_"
            for inner in kind.model_fields:
                yield f"{prefix}{inner}".upper(), inner, kind
        else:
            yield f"{PREFIX}{name}".upper(), name, OperatorSettings


def unknown_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """List variables that look like settings of the operator and are none: spelling mistakes."""
    known = {variable for variable, _, _ in fields()}
    return sorted(name for name in environment if name.upper().startswith(PREFIX) and name.upper() not in known)


def _explain(error: ValidationError, prefix: str, model: type[BaseModel]) -> list[str]:
    return [_explain_one(found, prefix, model) for found in error.errors(include_url=False)]


def _explain_one(found: Any, prefix: str, model: type[BaseModel]) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    path = [str(part) for part in found["loc"]][:2]
    shown = "(hidden)" if _is_secret(path, model) else repr(str(found.get("input"))[:60])
    return f"{prefix}{'_'.join(path).upper()}={shown}: {found['msg'][:200]}"


def _is_secret(path: list[str], model: type[BaseModel]) -> bool:
    for part in path:
        info = model.model_fields.get(part)
        if info is None:
            return True
        kind = info.annotation
        if kind is SecretStr or SecretStr in get_args(kind) or get_origin(kind) is SecretStr:
            return True
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            model = kind
    return False
