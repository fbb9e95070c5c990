"""Who may come in: clients by signed token, nodes by credential, instances by a shared secret.

Everything is decided before the upgrade, from the headers alone; a refusal is one :class:`AuthError`, which becomes a
401 or 403 problem document, or the close code 4401 or 4403 on a socket that is already open. Off by default, for
development: :meth:`Authenticator.open_doors` lists what is open so that the start-up can say it loudly.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lingua_scheduler.tokens import (
    MAX_TOKEN_CHARS,
    AuthError,
    AuthSettingsError,
    KeySet,
    TokenCheck,
    name_of,
    read_node_tokens,
    scope_claim,
    tenant_claim,
    text_claim,
)
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

#: The subprotocol with which a browser hands over its token, as it cannot set headers.
BEARER_SUBPROTOCOL = "lingua.bearer"

#: What a node's token must be meant for.
NODE_AUDIENCE = "lingua-node"

ADMIN = "admin"
READ = "read"

__all__ = [
    "ADMIN",
    "BEARER_SUBPROTOCOL",
    "NODE_AUDIENCE",
    "READ",
    "AuthError",
    "AuthRules",
    "AuthSettingsError",
    "Authenticator",
    "Identity",
    "NodeIdentity",
    "PeerProof",
    "check_origin",
    "client_token",
    "new_nonce",
    "require",
]

#: RFC 7518 3.2: a key of the hash's size or more.
MIN_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks, as the token says. ``expires_s`` is Unix time; ``None`` never expires (authentication off)."""

    subject: str = ""
    tenant: str = ""
    scopes: frozenset[str] = frozenset()
    expires_s: float | None = None
    verified: bool = False
    subprotocol: str | None = None
    """The subprotocol the upgrade must answer with, when the token came that way."""

    def may(self, scope: str) -> bool:
        """Say whether the holder has ``scope``; ``admin`` has all, and with authentication off everybody has."""
        return not self.verified or scope in self.scopes or ADMIN in self.scopes

    def expired(self, now_s: float | None = None) -> bool:
        """Say whether the credential has run out; sockets that live long check again each minute."""
        return self.expires_s is not None and (time.time() if now_s is None else now_s) >= self.expires_s


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Which node dials in. The credential binds it to ``node_id``, or to ids that begin with ``prefix``, and to
    ``tenant`` where it names one; ``name`` is for logs. ``pending``: its ``token`` is on no list and may still be a
    declared node's (:mod:`lingua_scheduler.nodes.gate`)."""

    name: str = ""
    node_id: str | None = None
    prefix: str = ""
    tenant: str | None = None
    expires_s: float | None = None
    verified: bool = False
    pending: bool = False
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class AuthRules:
    """What is demanded of whom. All empty: everybody may do everything.

    ``key_set`` is the file or http(s) address of a JWKS; ``secret`` the HS256 key of client tokens. ``node_tokens`` is
    a file of ``name token`` lines, each name being the node id that the token is good for. With ``declared_nodes``
    only declared nodes come in. ``origins`` are whole origins (``https://example.org``); empty: the page must come from
    this host when a browser credential is used.
    """

    secret: str = field(default="", repr=False)
    key_set: str = ""
    issuer: str = ""
    audience: str = ""
    tenant_claim: str = "tenant"
    leeway_s: float = 10.0
    node_secret: str = field(default="", repr=False)
    node_tokens: str = ""
    declared_nodes: bool = False
    peer_secret: str = field(default="", repr=False)
    origins: tuple[str, ...] = ()

    @property
    def clients(self) -> bool:
        """Say whether clients must show a token."""
        return bool(self.secret or self.key_set)

    @property
    def nodes(self) -> bool:
        """Say whether nodes must show a credential."""
        return bool(self.node_secret or self.node_tokens)


class Authenticator:
    """Check credentials against the rules.

    :raises AuthSettingsError: the rules look safe and are not.
    """

    def __init__(self, rules: AuthRules, fetch: Callable[[str], Awaitable[bytes]] | None = None) -> None:
        check_rules(rules)
        self.rules = rules
        self._clients = TokenCheck(
            secret=rules.secret,
            keys=KeySet(rules.key_set, fetch) if rules.key_set else None,
            issuer=rules.issuer,
            audience=rules.audience,
            leeway_s=rules.leeway_s,
        )
        self._nodes = TokenCheck(secret=rules.node_secret, audience=NODE_AUDIENCE, leeway_s=rules.leeway_s)
        self._node_tokens = read_node_tokens(Path(rules.node_tokens)) if rules.node_tokens else {}

    def open_doors(self) -> list[str]:
        """List what is not protected, in words for the log; empty in production."""
        doors = {
            "clients need no token and name their own tenant": not self.rules.clients,
            "nodes need no credential": not self.rules.nodes and not self.rules.declared_nodes,
            "declared nodes without a credential need none": not self.rules.nodes and self.rules.declared_nodes,
            "instances share no secret": not self.rules.peer_secret,
        }
        return [door for door, is_open in doors.items() if is_open]

    async def client(self, headers: Mapping[str, str]) -> Identity:
        """Tell who a client is, from ``Authorization: Bearer`` or the bearer subprotocol.

        :raises AuthError: no token, a bad or expired one, or a page of a foreign origin.
        """
        check_origin(headers, self.rules.origins, strict=self.rules.clients)
        if not self.rules.clients:
            return Identity()
        token, subprotocol = client_token(headers)
        claims = await self._clients.claims(token)
        return Identity(
            subject=text_claim(claims, "sub"),
            tenant=tenant_claim(claims, self.rules.tenant_claim),
            scopes=scope_claim(claims),
            expires_s=claims["exp"],
            verified=True,
            subprotocol=subprotocol,
        )

    def node(self, headers: Mapping[str, str], *, takes_declared: bool = False) -> NodeIdentity:
        """Tell which node dials in, from ``Authorization: Bearer``.

        :param takes_declared: a token that is on no list may be a declared node's, which its registration will tell.
        :raises AuthError: no credential, or a bad or expired one.
        """
        token = _bearer(headers)
        if len(token) > MAX_TOKEN_CHARS:
            raise AuthError(ErrorCode.UNAUTHENTICATED, "The token is too long.")
        if not self.rules.nodes:
            return NodeIdentity(token=token)
        if not token:
            raise AuthError(ErrorCode.UNAUTHENTICATED, "A node needs a credential: Authorization: Bearer <token>.")
        name = name_of(token, self._node_tokens)
        if name is not None:
            whole = not name.endswith("*")
            return NodeIdentity(
                name=name,
                node_id=name if whole else None,
                prefix="" if whole else name[:-1],
                verified=True,
                token=token,
            )
        try:
            claims = self._nodes.shared_claims(token)
        except AuthError:
            if takes_declared:
                return NodeIdentity(pending=True, token=token)
            raise
        subject = text_claim(claims, "sub")
        if not subject:
            raise AuthError(ErrorCode.UNAUTHENTICATED, "The token names no node: its claim 'sub' must be the node id.")
        return NodeIdentity(
            name=subject,
            node_id=subject,
            tenant=tenant_claim(claims, self.rules.tenant_claim) or None,
            expires_s=claims["exp"],
            verified=True,
            token=token,
        )


def require(identity: Identity, scope: str) -> None:
    """Let the holder of ``scope`` pass.

    :raises AuthError: the token lacks the scope.
    """
    if not identity.may(scope):
        raise AuthError(ErrorCode.FORBIDDEN, f"This needs a token with the scope {scope!r}.")


def check_rules(rules: AuthRules) -> None:
    """Refuse rules that look safe and are not.

    :raises AuthSettingsError: a secret is too short, or a file is missing.
    """
    for name in ("secret", "node_secret", "peer_secret"):
        value = getattr(rules, name)
        if value and len(value.encode()) < MIN_SECRET_BYTES:
            raise AuthSettingsError(f"{name}: {len(value.encode())} bytes, at least {MIN_SECRET_BYTES} are wanted")
    for name in ("key_set", "node_tokens"):
        place = getattr(rules, name)
        if place and not place.startswith(("http://", "https://")) and not Path(place).is_file():
            raise AuthSettingsError(f"{name}={place!r}: there is no such file")
    for origin in rules.origins:
        if origin != "*" and not (urlsplit(origin).scheme and urlsplit(origin).netloc):
            raise AuthSettingsError(f"origins: {origin!r} is no origin, such as 'https://example.org'")


def client_token(headers: Mapping[str, str]) -> tuple[str, str | None]:
    """Find the client's token; returns it and the subprotocol to answer with (``None`` for a header).

    :raises AuthError: there is none.
    """
    token = _bearer(headers)
    if token:
        return token, None
    offered = [word.strip() for word in headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if len(offered) >= 2 and offered[0] == BEARER_SUBPROTOCOL and offered[1]:
        return offered[1], BEARER_SUBPROTOCOL
    raise AuthError(ErrorCode.UNAUTHENTICATED, "A token is wanted: Authorization: Bearer <token>.")


def check_origin(headers: Mapping[str, str], allowed: tuple[str, ...], *, strict: bool) -> None:
    """Refuse a web page of a foreign origin, since browsers let any page open any socket.

    No ``Origin`` (not a browser) passes. An empty list means this host only when ``strict``, else every origin.

    :raises AuthError: the origin is not allowed.
    """
    origin = headers.get("Origin")
    if origin is None or "*" in allowed:
        return
    if not allowed:
        same = urlsplit(origin).netloc.lower() == headers.get("Host", "").lower()
        if same or not strict:
            return
    if origin.rstrip("/").lower() not in {item.rstrip("/").lower() for item in allowed}:
        raise AuthError(ErrorCode.FORBIDDEN, "Pages of this origin may not connect.")


@dataclass(frozen=True, slots=True)
class PeerProof:
    """Both ends' single-use numbers of one connection between instances, and what is proved with them.

    The listener sends ``listener_nonce`` first; the caller answers with ``caller_nonce`` and :meth:`caller_mac`; the
    listener proves itself with :meth:`listener_mac`. Roles and names are part of what is signed, so an answer fits
    neither another connection nor another pair nor the other direction.
    """

    caller: str
    listener: str
    caller_nonce: str
    listener_nonce: str

    def caller_mac(self, secret: str) -> str:
        """Return the caller's proof, hex."""
        return self._mac(secret, "caller")

    def listener_mac(self, secret: str) -> str:
        """Return the listener's proof, hex."""
        return self._mac(secret, "listener")

    def caller_proves(self, secret: str, mac: str) -> bool:
        """Say whether ``mac`` is the caller's proof, in constant time."""
        return hmac.compare_digest(self.caller_mac(secret).encode(), mac.encode())

    def listener_proves(self, secret: str, mac: str) -> bool:
        """Say whether ``mac`` is the listener's proof, in constant time."""
        return hmac.compare_digest(self.listener_mac(secret).encode(), mac.encode())

    def _mac(self, secret: str, role: str) -> str:
        signed = json.dumps([role, self.caller, self.listener, self.caller_nonce, self.listener_nonce])
        return hmac.new(secret.encode(), b"lingua-peer-1:" + signed.encode(), hashlib.sha256).hexdigest()


def new_nonce() -> str:
    """Return a number for one use: 128 bits of randomness, hex."""
    return secrets.token_hex(16)


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
