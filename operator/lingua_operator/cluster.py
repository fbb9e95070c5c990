"""The one Kubernetes client: every call of our own to the API server goes through here (kopf has its own client, whose
connection is made here too, so that both refresh a rotated token alike).

No discovery: the few kinds that are used stand in a table below, so nothing is asked or cached on disk at start.
What must not be here: what the calls are for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.dynamic import DynamicClient, Resource
from kubernetes.aio.leaderelection.electionconfig import Config as Election
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.baselock import BaseLock

from lingua_operator.cluster_errors import (
    ClusterError,
    Conflict,
    Expired,
    Forbidden,
    NotFound,
    Refused,
    TooManyCalls,
    Unreachable,
    of_status,
)
from lingua_operator.kinds import EVENTS, FLEETS, LEASES, NAMESPACES, NODES, PODS, SECRETS, Kind
from lingua_operator.shallow import shallow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence

    from lingua_operator.settings import KubernetesSettings, StandbySettings

__all__ = [
    "EVENTS",
    "FLEETS",
    "LEASES",
    "MANAGER",
    "NAMESPACES",
    "NODES",
    "PODS",
    "SECRETS",
    "Cluster",
    "ClusterError",
    "Conflict",
    "Expired",
    "Forbidden",
    "Kind",
    "NotFound",
    "Refused",
    "TooManyCalls",
    "Unreachable",
    "connect",
]

#: Who wrote a field, as ``managedFields`` shows it.
MANAGER = "lingua-operator"
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 3.0
_PAGE = 500
#: The library does not tell when the Lease was won: how often it is looked for.
_LOOK_S = 0.2

Body = dict[str, Any]


class Cluster:
    """Calls to one API server. Open with :func:`connect`, close at the end.

    Each call raises a :class:`ClusterError`; what passes by itself (429, 5xx, no answer) is tried again within
    ``settings.retry_budget_ms`` first. So each call must be safe to repeat: creations have names that are not
    generated, and patches test the version.
    """

    def __init__(self, api: client.ApiClient, settings: KubernetesSettings, namespace: str) -> None:
        self._api = api
        self._dynamic = DynamicClient(api)
        self._settings = settings
        #: The namespace of this pod, or the context's.
        self.namespace = namespace

    async def get(self, kind: Kind, namespace: str, name: str) -> Body:
        """Read one object. :raises NotFound: there is none."""
        return await self._call(kind, "get", name=name, namespace=namespace)

    async def pages(self, kind: Kind, namespace: str | None, *, labels: str = "") -> AsyncIterator[list[Body]]:
        """Read all objects, in pages; without a namespace those of the whole cluster.

        :raises Expired: it took too long: begin again.
        """
        more: str | None = None
        while True:
            page = await self._call(
                kind, "get", namespace=namespace, label_selector=labels or None, limit=_PAGE, _continue=more
            )
            yield page.get("items", [])
            more = page.get("metadata", {}).get("continue") or None
            if more is None:
                return

    async def list(self, kind: Kind, namespaces: Sequence[str] = (), *, labels: str = "") -> list[Body]:
        """Read all objects of some namespaces, or of the whole cluster when none is named."""
        found: list[Body] = []
        for namespace in namespaces or (None,):
            async for page in self.pages(kind, namespace, labels=labels):
                found += page
        return found

    async def create(self, kind: Kind, body: Body) -> Body:
        """Make an object under its own name. :raises Conflict: it exists already."""
        return await self._call(kind, "create", body=_whole(kind, body), field_manager=MANAGER)

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str | None = None, grace_s: int | None = None
    ) -> None:
        """Ask for an object's deletion; one that is gone is fine. With ``uid`` only that very object.

        :raises Conflict: another object has the name now.
        """
        options: Body = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        try:
            await self._call(kind, "delete", name=name, namespace=namespace, body=options)
        except NotFound:
            return

    async def patch(
        self, kind: Kind, namespace: str, name: str, operations: Sequence[Body], *, subresource: str = ""
    ) -> Body:
        """Apply a JSON patch. Let its first operation test ``/metadata/resourceVersion``.

        :raises Refused: a test did not hold. :raises NotFound: :raises Conflict:
        """
        return await self._call(
            kind, "patch", name=name, namespace=namespace, body=list(operations), content_type=_JSON_PATCH,
            field_manager=MANAGER, subresource=subresource,
        )  # fmt: skip

    async def merge(self, kind: Kind, namespace: str, name: str, body: Body, *, subresource: str = "") -> Body:
        """Apply a merge patch; put ``metadata.resourceVersion`` in to write only over what was read."""
        return await self._call(
            kind, "patch", name=name, namespace=namespace, body=body, content_type=_MERGE_PATCH,
            field_manager=MANAGER, subresource=subresource,
        )  # fmt: skip

    async def apply(self, kind: Kind, body: Body) -> Body:
        """Make an object, or bring our fields of it to what ``body`` says (server-side apply)."""
        whole = _whole(kind, body)
        return await self._call(
            kind, "server_side_apply", name=whole["metadata"]["name"], namespace=whole["metadata"]["namespace"],
            body=whole, field_manager=MANAGER, force_conflicts=True,
        )  # fmt: skip

    async def lead(
        self, settings: StandbySettings, identity: str, work: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Wait for the Lease, then do ``work`` while it is ours. Return when it was lost (``work`` was cancelled then
        and has ended) or ``work`` ended by itself; the Lease is given up then.

        No clocks of two machines are compared: a Lease has lapsed when we saw it unchanged for its whole duration.
        """
        namespace = settings.namespace or self.namespace
        led: list[asyncio.Task[None]] = []

        async def started() -> None:
            led.append(asyncio.create_task(work()))
            await asyncio.wait(led)  # what it ended with is told below, not to the library

        election = LeaderElection(
            Election(
                _Lock(self, settings.lease, namespace, identity),
                lease_duration=settings.lease_ms // 1000,  # the library reads whole seconds back
                renew_deadline=settings.renew_ms / 1000,
                retry_period=settings.retry_ms / 1000,
                onstarted_leading=started,
                onstopped_leading=_nothing,
            )
        )
        running = asyncio.create_task(election.run())
        try:
            while not running.done() and not (led and led[0].done()):
                await asyncio.wait({running, *led}, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (running, *led):
                task.cancel()
            ended = await asyncio.gather(running, *led, return_exceptions=True)
            await self._give_up(settings.lease, namespace, identity)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _give_up(self, lease: str, namespace: str, identity: str) -> None:
        """Let the next one begin at once, if the Lease is still ours."""
        with contextlib.suppress(ClusterError):
            held = await self.get(LEASES, namespace, lease)
            if held.get("spec", {}).get("holderIdentity") == identity:
                version = held["metadata"]["resourceVersion"]
                nobody = {"metadata": {"resourceVersion": version}, "spec": {"holderIdentity": None}}
                await self.merge(LEASES, namespace, lease, nobody)

    async def close(self) -> None:
        """Close every connection."""
        await self._api.close()

    @property
    def server(self) -> str:
        """Give the API server's address."""
        return str(self._api.configuration.host)

    def session(
        self, traces: Sequence[aiohttp.TraceConfig], response_class: type[aiohttp.ClientResponse]
    ) -> aiohttp.ClientSession:
        """Make a connection for kopf: same server, same credentials, a rotated token read again."""
        configuration = self._api.configuration

        async def authorise(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            token = await configuration.get_api_key_with_prefix("BearerToken")
            if token:
                request.headers["Authorization"] = token
            return await handler(request)

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._api.rest_client.ssl_context),
            headers={"User-Agent": MANAGER},
            middlewares=(authorise,),
            response_class=response_class,
            trace_configs=list(traces),
            trust_env=True,
        )

    async def _call(self, kind: Kind, verb: str, *, subresource: str = "", **words: Any) -> Body:  # noqa: ANN401
        end = time.monotonic() + self._settings.retry_budget_ms / 1000
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return await self._once(kind, verb, subresource, words)
            except ClusterError as error:
                wait_s = max(error.retry_after_s, random.uniform(pause_s / 2, pause_s))
                if not error.passing or time.monotonic() + wait_s >= end:
                    raise
                await asyncio.sleep(wait_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _once(self, kind: Kind, verb: str, subresource: str, words: Mapping[str, Any]) -> Body:
        called = getattr(self._dynamic, verb)
        resource = _resource(kind, self._dynamic, subresource)
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_ms / 1000)
        try:
            answer = await called(resource, **words, serialize=False, _request_timeout=timeout)
            return dict(json.loads(shallow(await answer.read())))
        except ApiException as error:
            raise _own(error) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(f"the API server could not be reached: {type(error).__name__}") from error


async def connect(settings: KubernetesSettings) -> Cluster:
    """Open the client with the pod's service account, else with the kubeconfig (KUBECONFIG, ~/.kube/config).

    :raises Unreachable: neither is there.
    """
    configuration = client.Configuration()
    try:
        namespace = await _credentials(configuration)
    except config.ConfigException as error:
        raise Unreachable(f"no way to the API server: {error}") from error
    return Cluster(client.ApiClient(configuration), settings, namespace)


async def _credentials(configuration: client.Configuration) -> str:
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        # The library reads the variable when it is imported; we, when we connect.
        file = os.environ.get("KUBECONFIG") or None
        await config.load_kube_config(config_file=file, client_configuration=configuration)
        _, context = config.list_kube_config_contexts(config_file=file)
        return str(context["context"].get("namespace") or "default")
    return _pod_namespace()


def _pod_namespace() -> str:
    return _NAMESPACE_FILE.read_text().strip() if _NAMESPACE_FILE.exists() else "default"


class _Lock(BaseLock):
    """A Lease, read and written by our own calls: the library's lock can't make one (37.0.2: its call is refused as
    invalid), and falls over when the API server can't be reached."""

    def __init__(self, cluster: Cluster, name: str, namespace: str, identity: str) -> None:
        super().__init__(name, namespace, identity)
        self._cluster = cluster
        self._held: Body = {}

    async def get(self, name: str, namespace: str) -> Any:  # noqa: ANN401 - the library's
        try:
            self._held = await self._cluster.get(LEASES, namespace, name)
        except ClusterError as error:
            return False, ApiException(status=error.status, reason=str(error), body=json.dumps({"code": error.status}))
        spec = self._held.get("spec", {})
        duration = spec.get("leaseDurationSeconds")
        return True, LeaderElectionRecord(
            spec.get("holderIdentity"),
            str(duration) if duration else None,
            spec.get("acquireTime"),
            spec.get("renewTime"),
        )

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        body = {"metadata": {"name": name, "namespace": namespace}, "spec": self._spec(election_record, {})}
        return await self._done(self._cluster.create(LEASES, body))

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        before = self._held.get("spec", {})
        version = {"resourceVersion": self._held["metadata"]["resourceVersion"]}
        body = {"metadata": version, "spec": self._spec(updated_record, before)}
        return await self._done(self._cluster.merge(LEASES, namespace, name, body))

    def _spec(self, record: LeaderElectionRecord, before: Body) -> Body:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        same = before.get("holderIdentity") == record.holder_identity
        return {
            "holderIdentity": record.holder_identity,
            "leaseDurationSeconds": int(str(record.lease_duration)),
            "acquireTime": before.get("acquireTime") if same else now,
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (0 if same else 1),
        }

    @staticmethod
    async def _done(call: Coroutine[Any, Any, Body]) -> bool:
        try:
            await call
        except ClusterError:
            return False
        return True


async def _nothing() -> None:
    """Be what the library calls when the Lease was lost."""


def _whole(kind: Kind, body: Body) -> Body:
    return {"apiVersion": kind.api_version, "kind": kind.kind, **body}


def _resource(kind: Kind, dynamic: DynamicClient, subresource: str) -> Resource:
    return _Part(
        prefix="apis" if kind.group else "api", group=kind.group, api_version=kind.version, kind=kind.kind,
        namespaced=kind is not NAMESPACES, name=kind.plural, client=dynamic, part=subresource,
    )  # fmt: skip


class _Part(Resource):
    """A kind, or a part of it such as its status."""

    def __init__(self, *, part: str, **words: Any) -> None:  # noqa: ANN401 - handed through
        super().__init__(**words)  # type: ignore[no-untyped-call]
        self._part = part

    def path(self, name: str | None = None, namespace: str | None = None) -> str:
        whole = super().path(name=name, namespace=namespace)  # type: ignore[no-untyped-call]
        return f"{whole}/{self._part}" if self._part else whole


def _own(error: ApiException) -> ClusterError:
    status = int(error.status or 0)
    return of_status(status)(f"{status} {error.reason}: {_said(error)}", status, _retry_after_s(error))


def _said(error: ApiException) -> str:
    """Find the server's own sentence; a proxy before it may have answered with anything."""
    try:
        return str(json.loads(error.body or "")["message"])[:500]
    except (ValueError, TypeError, KeyError):
        return str(error.body or "")[:200]


def _retry_after_s(error: ApiException) -> float:
    value = (error.headers or {}).get("Retry-After", "")
    return min(float(value), 60.0) if str(value).isdigit() else 0.0
