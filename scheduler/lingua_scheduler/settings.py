"""The settings of one scheduler, from environment variables named ``LINGUA_<GROUP>_<NAME>`` (``LINGUA_CUT_PAUSE_MS``).

Each field tells its unit in its name, and what 0 means where 0 is allowed. The defaults are the figures of
docs/protocol.md; a default that was chosen for another reason says why.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from lingua_state.secret_files import SUFFIX, SecretFileError, read_secret, with_passwords
from lingua_wire import limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = "LINGUA_"

Milliseconds = Annotated[int, Field(ge=1, le=24 * 3600 * 1000)]
MillisecondsOrOff = Annotated[int, Field(ge=0, le=24 * 3600 * 1000)]
Bytes = Annotated[int, Field(ge=1, le=1 << 40)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Percent = Annotated[float, Field(ge=0, le=100)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class SettingsError(ValueError):
    """A setting has a value that can't work; each line of the message names the variable and what is wanted."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class HttpSettings(_Group):
    """Sockets and HTTP as such."""

    internal_port: Port = 0
    """Port of a second listener for peers, metrics and health; 0: the public one serves them too."""
    handshake_ms: Milliseconds = 10_000
    """How long a new connection may take to say its first message."""
    crowd: Count = 1_000
    """Connections without a request that may wait so long; while there are more, each has three seconds."""
    ping_ms: Annotated[int, Field(ge=1_000, le=600_000)] = 20_000
    """A silent socket is pinged after this; it is dead when nothing comes for half of it."""
    message_ms: Milliseconds = 30_000
    """How long one message may take to come whole; a peer that sends on and on without one is closed (1008)."""
    send_ms: Milliseconds = 15_000
    """How long a peer may take to read one event; slower is as good as not at all (1013). As long as speech is of use
    to a listener (`session.speech_ms`)."""
    json_audio_bytes: Bytes = limits.JSON_AUDIO_BYTES
    frame_bytes: Bytes = limits.FRAME_BYTES
    node_message_bytes: Bytes = limits.NODE_JSON_BYTES
    connections_per_address: Annotated[int, Field(ge=0)] = 0
    """Open sockets of one client address; 0: not limited (behind a proxy all have the proxy's address, unless
    `forwarded_hops` says how many proxies there are)."""
    forwarded_hops: Annotated[int, Field(ge=0, le=10)] = 0
    """Proxies in front that each add to `X-Forwarded-For`; 0: a caller's address is that of its socket. Too high a
    number lets callers name any address."""


class RedisGroup(_Group):
    """The store."""

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    password: SecretStr = SecretStr("")
    """In place of the one in the address; it may hold any character."""
    sentinel_password: SecretStr = SecretStr("")
    """That of the Sentinels, where they have their own."""
    cell: Annotated[str, Field(pattern=r"^([a-z0-9]{1,16})?$")] = ""
    """Hash tag of the cell; empty on a plain server with one cell, needed in cluster mode."""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = "lingua"
    profile: Literal["standalone", "durable"] = "standalone"
    """durable: a primary with replicas behind Sentinels or in a cluster; a job's start and end count when replicas have
    them. Checked at the start (docs/runbook.md)."""
    fixed_address: bool = False
    """With durable: the one address given always leads to the primary; whoever runs it sees to that."""
    replicas: Annotated[int, Field(ge=1, le=8)] = 1
    """With durable: how many replicas must have a job's start and end; all that may become the primary."""
    confirm_ms: Milliseconds = 100
    """With durable: how long they have for it, before the same is asked again."""
    cut_off_ms: Milliseconds = 2_500
    """How long a call is repeated on a server that lacks replicas: it may be an old primary that was cut off."""
    timeout_ms: Milliseconds = 2_000
    retry_budget_ms: Milliseconds = 5_000
    wait_at_start_ms: MillisecondsOrOff = 60_000
    """How long a start waits for a store that is not there yet, as containers start in any order; 0: one try."""

    def address(self) -> str:
        """Give the whole address, passwords included."""
        secrets = self.password.get_secret_value(), self.sentinel_password.get_secret_value()
        return with_passwords(self.url.get_secret_value(), *secrets)


class LogSettings(_Group):
    """Logs."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class SessionSettings(_Group):
    """Client sessions."""

    limit: Count = 5_000
    """Sessions of this instance; more get 503 with SESSION_LIMIT."""
    openings_per_s: Count = 250
    """Clients let in within a second, and as many more at once after a quiet one; others get 503 with SESSION_LIMIT and
    are told when to come again. To open a session was measured to cost 0.7 ms of a core, to resume one that another
    instance held 1.6 ms: a storm takes 40 % of it. Fewer, down to a fifth, while this process is late."""
    ttl_ms: Annotated[int, Field(ge=3_000)] = 90_000
    """How long a session's record outlives its instance; it is renewed each third of this."""
    resume_ms: MillisecondsOrOff = 60_000
    """How long a session whose connection was lost is kept for its client, which asked for `resume`; 0: not at all."""
    events_ms: MillisecondsOrOff = 120_000
    """How long the store keeps the text of events that a client has not confirmed; 0: it never gets any text, and such
    results are made again from the client's audio."""
    handover_ms: Milliseconds = 700
    """How long the instance that held a session may take to hand it over to the one where its client came back."""
    max_ms: Milliseconds = 4 * 3600 * 1000
    """Shortened by up to a tenth for each session, so that those opened together do not end together."""
    going_away_ms: Milliseconds = 60_000
    idle_warn_ms: Milliseconds = 60_000
    idle_close_ms: Milliseconds = 75_000
    jobs: Count = 64
    """Utterances of one session that may be unfinished; more are refused."""
    audio_bytes: Bytes = 4 * 1024 * 1024
    """Audio held for one session: buffered, or finalized and not yet acknowledged. About two minutes of PCM16."""
    outbox_events: Count = 256
    outbox_bytes: Bytes = 2 * 1024 * 1024
    speech_ms: Milliseconds = 15_000
    partial_ms: MillisecondsOrOff = 1_000
    """Interval of partials for clients that named none; 0: off."""
    check_pair: bool = True
    """Refuse extended clients whose pair no known node has ever offered (4422)."""
    close_ms: Milliseconds = 15_000
    """How long `session_close` waits for results that are still owed."""


class CutSettings(_Group):
    """When utterances end."""

    pause_ms: MillisecondsOrOff = 3_000
    """0: a pause without audio ends nothing."""
    max_duration_ms: Annotated[int, Field(ge=1_000, le=60_000)] = 10_000
    buffer_bytes: Annotated[int, Field(ge=16_384, le=16 * 1024 * 1024)] = 500 * 1024
    vad_silence_ms: MillisecondsOrOff = 700
    """0: silence in arriving audio ends nothing."""
    stabilise_auto_ms: MillisecondsOrOff = 150
    stabilise_manual_ms: MillisecondsOrOff = 200
    padding_auto_ms: MillisecondsOrOff = 220
    padding_manual_ms: MillisecondsOrOff = 280
    short_piece_ms: MillisecondsOrOff = 400
    min_speech_ms: MillisecondsOrOff = 200
    join_window_ms: MillisecondsOrOff = 1_000


class FlowSettings(_Group):
    """How fast clients may send."""

    rate: Annotated[float, Field(gt=1.0, le=100.0)] = 2.0
    base_rate: Annotated[float, Field(gt=1.0, le=100.0)] = 2.5
    """Existing web pages send each frame twice after their second start: 2.03 times real time, for ever."""
    burst_ms: Milliseconds = 5_000
    close_after_ms: Milliseconds = 30_000
    rate_bytes: Bytes = 512 * 1024
    """Bytes a second from one client, of whatever kind; above it its socket is read more slowly. PCM16 of 48 kHz as
    base64, at the highest allowed speed, is 320 kB."""
    burst_bytes: Bytes = 4 * 1024 * 1024


class AudioSettings(_Group):
    """Audio in memory."""

    release: Literal["ack", "result"] = "ack"
    """What lets the scheduler forget an utterance's audio: the node's acknowledgement, or its result."""
    total_bytes: Bytes = 512 * 1024 * 1024
    """Audio held by this instance for all sessions; more is refused with BUFFER_FULL."""


class JobSettings(_Group):
    """Jobs."""

    wait_ms: MillisecondsOrOff = 10_000
    """How long a job waits for a node; 0: not at all."""
    timeout_ms: Annotated[int, Field(ge=1_000, le=600_000)] = 60_000
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    offer_ms: Milliseconds = 2_000
    """How long a node that negotiated an extension may take to acknowledge a job."""
    handover_ms: Milliseconds = 3_000
    silent_ms: Milliseconds = 10_000
    """How long a base node may keep quiet about a job after it answered a later one of the session: it never answers
    some, and the results after them wait."""
    exclude_pair_ms: Milliseconds = 60_000
    """How long a node that lacks a model stays out of that pair."""
    order_ms: Milliseconds = 90_000
    """How long later results of a session wait for an earlier one. Above wait and timeout together, so that a hole is
    given up only when its notice was lost too."""
    store_wait_ms: MillisecondsOrOff = 600_000
    """How long an utterance of a session that can be resumed is kept for a store that is away; 0: not at all."""
    kept: Count = 10_000
    """Unfinished jobs of this instance; more are refused with QUEUE_FULL."""


class NodesSettings(_Group):
    """Node connections (``LINGUA_NODES_...``; ``LINGUA_NODE_...`` are the reference node's own)."""

    limit: Count = 2_000
    admission: Literal["open", "declared"] = "open"
    """Which nodes may come in: `open`, also those that no TranslationNode declares; `declared`, no others."""
    heartbeat_ms: Milliseconds = 15_000
    lease_ms: Milliseconds = 45_000
    fast_heartbeat_ms: Milliseconds = 5_000
    fast_lease_ms: Milliseconds = 15_000
    capacity: Count = 4
    """Jobs at once for a node that does not say how many it can take."""
    classes: Count = 5_000
    """Kinds of nodes (by languages and access) that may be known at once; nodes of a new kind are refused then. One
    without a node is forgotten after a minute."""
    new_classes: Count = 30
    """New kinds that one node may become within ten minutes, over however many connections."""
    changes: Count = 20
    """Registrations and changes of languages of one connection within a minute; more are not followed."""
    cpu_percent: Percent = 0.0
    """Off: a node that works on its processors is at 100 % when all is well, and its capacity bounds its work."""
    gpu_percent: Percent = 95.0
    gpu_mem_percent: Percent = 98.0
    memory_percent: Percent = 95.0
    """A node above any of these in two heartbeats gets nothing new; 0: that figure doesn't count."""


class PeerSettings(_Group):
    """The sockets between instances."""

    address: Annotated[str, Field(pattern=r"^$|^https?://[^/\s]+$")] = ""
    """Where the other instances reach this one; empty: http://<this host's name or 127.0.0.1>:<port>."""
    secret: SecretStr = SecretStr("")
    """Shared by all instances; empty: derived from the store's epoch, which only they can read."""
    queue_bytes: Bytes = 64 * 1024 * 1024
    queue_messages: Count = 10_000
    connect_ms: Milliseconds = 2_000
    confirm_ms: Milliseconds = 2_500
    """How long another instance may take to confirm what arrived, before the way to it counts as broken. Below the
    hand-over time of a job, so that the next way may still be in time."""
    kept_ms: Milliseconds = 90_000
    """How long what was not confirmed is sent again. Above wait and timeout of a job together: later nobody asks."""


class InstanceSettings(_Group):
    """This process among the others."""

    id: Annotated[str, Field(pattern=r"^([A-Za-z0-9._-]{1,64})?$")] = ""
    """Its name; empty: host name and a random part, so that two never share one."""
    announce_ms: Milliseconds = 2_000
    ttl_ms: Milliseconds = 10_000
    sweep_ms: Milliseconds = 500


class DrainSettings(_Group):
    """How a planned stop goes."""

    grace_ms: Milliseconds = 25_000
    """From the signal to the exit; below Kubernetes' 30 s."""
    reconnect_ms: MillisecondsOrOff = 1_000
    """Clients are told to connect again after a random time up to this."""
    moves_per_s: Count = 500
    """With more sessions than this for each second of `reconnect_ms`, that time is longer, up to half the grace."""
    close_batch: Count = 100
    """Sockets closed at once at the end, with a moment between."""


class ShedSettings(_Group):
    """How sessions move to instances that have fewer."""

    per_minute: Annotated[int, Field(ge=0)] = 60
    """Sessions asked to move in a minute, at most; 0: none ever is."""
    above_mean: Annotated[float, Field(gt=1.0, le=100.0)] = 1.5
    """An instance with more than this many times the mean of all sheds sessions."""
    at_least: Count = 20
    """An instance with no more sessions than this sheds none: so few are no load."""


class AuthSettings(_Group):
    """Who may come in; all empty: everybody (development)."""

    secret: SecretStr = SecretStr("")
    key_set: str = ""
    issuer: str = ""
    audience: str = ""
    tenant_claim: str = "tenant"
    node_secret: SecretStr = SecretStr("")
    node_tokens: str = ""
    """A file of `name token` lines. The name is the node id that the token is good for; `lab-*`: all that begin so."""
    token_review: bool = False
    """Let nodes that are declared with a service account in by its token, which the Kubernetes API server reviews."""
    origins: str = ""
    """Origins of web pages that may connect, with commas between."""
    pairing_tries: Count = 10
    """Wrong pairing codes of one address, or of one tenant with a token, within the window; more are not looked at."""
    pairing_window_ms: Milliseconds = 60_000

    def origin_list(self) -> tuple[str, ...]:
        """Split ``origins``."""
        return tuple(word.strip() for word in self.origins.split(",") if word.strip())


class SchedulerSettings(BaseSettings):
    """All settings. Build with :func:`load_settings`, which explains bad values."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="_", env_nested_max_split=1, frozen=True, extra="ignore"
    )

    host: str = "0.0.0.0"  # noqa: S104 - a server in a container listens on all addresses
    port: Port = 5010
    """Where existing pages and nodes look for a scheduler."""
    redis: RedisGroup = RedisGroup()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    session: SessionSettings = SessionSettings()
    cut: CutSettings = CutSettings()
    flow: FlowSettings = FlowSettings()
    audio: AudioSettings = AudioSettings()
    job: JobSettings = JobSettings()
    nodes: NodesSettings = NodesSettings()
    peer: PeerSettings = PeerSettings()
    instance: InstanceSettings = InstanceSettings()
    drain: DrainSettings = DrainSettings()
    shed: ShedSettings = ShedSettings()
    auth: AuthSettings = AuthSettings()


def load_settings() -> SchedulerSettings:
    """Read the settings from the environment, and secrets also from files (``LINGUA_AUTH_SECRET_FILE``).

    :raises SettingsError: a value can't be used; the message names variable, value and what is wanted.
    """
    try:
        return SchedulerSettings(**_from_files())
    except SecretFileError as error:
        raise SettingsError(str(error)) from None
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(found) for found in error.errors(include_url=False))) from None


def fields() -> Iterator[tuple[str, str, type[BaseModel]]]:
    """List every setting: its variable, its field's name, and the model it is in."""
    for name, info in SchedulerSettings.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, _Group):
            for inner in kind.model_fields:
                yield f"{PREFIX}{name}_{inner}".upper(), inner, kind
        else:
            yield f"{PREFIX}{name}".upper(), name, SchedulerSettings


def secret_variables() -> list[tuple[str, str, str]]:
    """List the settings that may come from a file: each one's variable, group and name."""
    return [
        (variable, variable.removeprefix(PREFIX).partition("_")[0].lower(), name)
        for variable, name, model in fields()
        if model.model_fields[name].annotation is SecretStr
    ]


def _from_files() -> dict[str, Any]:
    found: dict[str, dict[str, str]] = {}
    for variable, group, name in secret_variables():
        text = read_secret(variable, os.environ)
        if text is not None:
            found.setdefault(group, {})[name] = text
    return found


def unknown_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """List variables that look like settings of a group and are none: spelling mistakes."""
    known = {variable for variable, _, _ in fields()} | {f"{variable}{SUFFIX}" for variable, _, _ in secret_variables()}
    groups = tuple(f"{PREFIX}{name}_".upper() for name in SchedulerSettings.model_fields)
    return sorted(name for name in environment if name.upper().startswith(groups) and name.upper() not in known)


def _explain(found: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    path = [str(part) for part in found["loc"]][:2]
    variable = PREFIX + "_".join(path).upper()
    shown = "(hidden)" if _is_secret(path) else repr(str(found.get("input"))[:60])
    return f"{variable}={shown}: {found['msg'][:200]}"


def _is_secret(path: list[str]) -> bool:
    model: type[BaseModel] = SchedulerSettings
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
