"""Read the secrets that nodes name, one by one and by name: no right to list secrets is needed.

Only digests leave this module. What is read is kept until the next resync reads it again.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lingua_operator.cluster import SECRETS, ClusterError, Forbidden, NotFound
from lingua_operator.reconcile import LOCKED, Credentials, Problem
from lingua_state.declarations import Credential

if TYPE_CHECKING:
    from lingua_operator.cluster import Cluster
    from lingua_operator.resource import KeyRef, Node

#: Secrets read again in one round of the resync, the longest unread first: so many, or as many as bring all of them by
#: in this many rounds.
PER_ROUND = 200
ROUNDS = 10
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class _Read:
    digests: dict[str, str] | None
    problem: Problem | None
    at_s: float


class Secrets:
    """What the named secrets hold, as SHA-256 in hex by key."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._read: dict[tuple[str, str], _Read] = {}

    async def of(self, node: Node) -> Credentials:
        """Give a node's credentials. A secret that can't be read locks what it stands for, and is told."""
        if node.spec is None:
            return Credentials()
        auth, access = node.spec.auth, node.spec.access
        credential, pairing, problem = None, None, None
        if auth and auth.service_account_name:
            credential = Credential("service_account", f"{node.namespace}/{auth.service_account_name}")
        elif auth and auth.token_secret_ref:
            digest, problem = await self._digest(node.namespace, auth.token_secret_ref)
            credential = Credential("token", digest or LOCKED)
        if access and access.pairing_secret_ref:
            pairing, other = await self._digest(node.namespace, access.pairing_secret_ref)
            problem = problem or other
        return Credentials(credential, pairing, problem)

    async def reread(self) -> set[tuple[str, str]]:
        """Read again what was read longest ago, bounded; return the secrets that changed."""
        count = max(PER_ROUND, math.ceil(len(self._read) / ROUNDS))
        oldest = sorted(self._read, key=lambda name: self._read[name].at_s)[:count]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def is_changed(name: tuple[str, str]) -> bool:
            before = self._read[name]
            async with gate:
                after = await self._fetch(*name, before=before)
            return (after.digests, after.problem) != (before.digests, before.problem)

        changed = await asyncio.gather(*(is_changed(name) for name in oldest))
        return {name for name, is_new in zip(oldest, changed, strict=True) if is_new}

    def keep_only(self, used: set[tuple[str, str]]) -> None:
        """Forget secrets that no node names any more."""
        for name in set(self._read) - used:
            del self._read[name]

    async def _digest(self, namespace: str, ref: KeyRef) -> tuple[str | None, Problem | None]:
        found = self._read.get((namespace, ref.name)) or await self._fetch(namespace, ref.name)
        if found.problem:
            return None, found.problem
        digest = (found.digests or {}).get(ref.key)
        if digest is None:
            return None, Problem(
                "SecretKeyMissing",
                f"the secret {ref.name} has no key {ref.key}, or it is empty: add it, or correct the key",
            )
        return digest, None

    async def _fetch(self, namespace: str, name: str, before: _Read | None = None) -> _Read:
        digests: dict[str, str] | None = None
        problem: Problem | None = None
        try:
            body = await self._cluster.get(SECRETS, namespace, name)
            digests = {key: digest for key, value in (body.get("data") or {}).items() if (digest := _sha256(value))}
        except NotFound:
            problem = Problem(
                "SecretMissing", f"there is no secret {name} in {namespace}: create it, or correct the name"
            )
        except Forbidden:
            problem = Problem(
                "SecretForbidden", f"the operator may not read the secret {name}: allow it get on secrets"
            )
        except ClusterError:
            if before is not None:
                return before
            problem = Problem("SecretUnread", f"the secret {name} could not be read yet: it is tried again by itself")
        read = self._read[namespace, name] = _Read(digests, problem, time.monotonic())
        return read


def names_of(node: Node) -> set[tuple[str, str]]:
    """List the secrets that a node names."""
    if node.spec is None:
        return set()
    refs = [
        node.spec.auth and node.spec.auth.token_secret_ref,
        node.spec.access and node.spec.access.pairing_secret_ref,
    ]
    return {(node.namespace, ref.name) for ref in refs if ref}


def _sha256(value: str) -> str | None:
    """Hide a value; one line end at its end is the editor's, not the token's."""
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    text = raw.removesuffix(b"\n").removesuffix(b"\r")
    return hashlib.sha256(text).hexdigest() if text else None
