"""A small client of the Kubernetes API for tests: it sends exactly what it is given and hides no answer.

The programs use the real client library; a test that checks a server's refusals must not have one in between.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

Body = dict[str, Any]
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
_REQUEST_S = 60.0
#: The server closes a connection that is idle for 90 s; one that was idle for this long is not used again.
_IDLE_S = 30.0
#: Characters of a refusal in a test's report: one that names a thousand fields says no more.
_SHOWN = 2_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    body: Body

    @property
    def ok(self) -> bool:
        return self.status < 300

    @property
    def message(self) -> str:
        """The sentence of a refusal."""
        return str(self.body.get("message", ""))

    def expect(self) -> Body:
        """Return the body of a request that had to succeed."""
        assert self.ok, f"{self.status}: {(self.message or str(self.body))[:_SHOWN]}"
        return self.body


def path(plural: str, namespace: str | None = None, name: str = "", *, group: str = "lingua.dev/v1alpha1") -> str:
    """Build the path of a resource or of a list; ``group`` is group/version, or just v1."""
    parts = ["api" if group == "v1" else "apis", group]
    if namespace is not None:
        parts += ["namespaces", namespace]
    parts += [plural, name] if name else [plural]
    return "/" + "/".join(parts)


class Api:
    """One user of an API server. Any number of threads may share it."""

    def __init__(self, url: str, context: ssl.SSLContext, token: str = "") -> None:
        self._where = urlsplit(url)
        self._context = context
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._kept = threading.local()
        self._all: list[http.client.HTTPSConnection] = []

    def get(self, where: str, **query: str) -> Answer:
        """Read a resource, or a list of them."""
        return self.request("GET", _with(where, query))

    def create(self, where: str, body: Body, **query: str) -> Answer:
        """Create a resource; ``where`` is the path of its list."""
        return self.request("POST", _with(where, query), body)

    def replace(self, where: str, body: Body, **query: str) -> Answer:
        """Put a whole resource in place of the present one."""
        return self.request("PUT", _with(where, query), body)

    def patch(self, where: str, body: Any, kind: str = MERGE, **query: str) -> Answer:
        """Change a part of a resource."""
        return self.request("PATCH", _with(where, query), body, kind)

    def apply(self, where: str, body: Body, **query: str) -> Answer:
        """Apply a resource as ``kubectl apply --server-side`` does: create it, or make it so."""
        return self.patch(where, body, APPLY, **{"fieldManager": "tests", "force": "true", **query})

    def delete(self, where: str, **query: str) -> Answer:
        """Delete a resource."""
        return self.request("DELETE", _with(where, query))

    def request(self, method: str, where: str, body: Any = None, kind: str = "application/json") -> Answer:
        """Send one request over the thread's own connection."""
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {**self._headers, "Content-Type": kind, "Accept": "application/json"}
        connection = self._connection()
        try:
            connection.request(method, where, content, headers)
            answer = connection.getresponse()
            raw = answer.read()
        except BaseException:
            connection.close()  # it opens again by itself with the next request
            raise
        found = json.loads(raw) if raw[:1] == b"{" else {"message": raw.decode(errors="replace")}
        return Answer(answer.status, found)

    def watch(self, where: str, *, seconds: int, **query: str) -> Iterator[Body]:
        """Yield the events of a list as they come, for at most ``seconds``; what is there first comes first."""
        connection = self._connect(timeout_s=seconds + _REQUEST_S)
        query |= {"watch": "1", "timeoutSeconds": str(seconds)}
        try:
            connection.request("GET", _with(where, query), headers=self._headers)
            answer = connection.getresponse()
            assert answer.status == 200, f"{answer.status}: {answer.read()!r}"
            while line := answer.readline():
                yield json.loads(line)
        finally:
            connection.close()

    def until(self, where: str, probe: Callable[[Body], Any], *, within_s: int = 90) -> Body:
        """Wait, by a watch, until ``probe`` is true of the resource at ``where``, and return it.

        A resource that is gone is seen as an empty body.
        """
        parent, _, name = where.rpartition("/")
        chosen = {"fieldSelector": f"metadata.name={name}"}
        end = time.monotonic() + within_s
        seen: Body = {}
        while (left_s := end - time.monotonic()) > 0:
            # From the list's own version on, so that nothing is missed between the list and the watch.
            listed = self.get(parent, **chosen).expect()
            seen = next(iter(listed["items"]), {})
            if probe(seen):
                return seen
            version = listed["metadata"]["resourceVersion"]
            for event in self.watch(parent, seconds=max(1, round(left_s)), resourceVersion=version, **chosen):
                if event["type"] == "ERROR":
                    break  # too old a version, say: list again
                seen = {} if event["type"] == "DELETED" else event["object"]
                if probe(seen):
                    return seen
        raise AssertionError(f"{where}: not within {within_s} s; last: {json.dumps(seen)}")

    def close(self) -> None:
        """Close every thread's connection; each opens again when it is used."""
        for connection in self._all:
            connection.close()

    def _connection(self) -> http.client.HTTPSConnection:
        connection: http.client.HTTPSConnection | None = getattr(self._kept, "connection", None)
        if connection is None:
            connection = self._kept.connection = self._connect(_REQUEST_S)
            self._all.append(connection)
        elif time.monotonic() - self._kept.used_s > _IDLE_S:
            connection.close()
        self._kept.used_s = time.monotonic()
        return connection

    def _connect(self, timeout_s: float) -> http.client.HTTPSConnection:
        assert self._where.hostname is not None
        return http.client.HTTPSConnection(
            self._where.hostname, self._where.port, timeout=timeout_s, context=self._context
        )


def _with(where: str, query: dict[str, str]) -> str:
    return f"{where}?{urlencode(query)}" if query else where
