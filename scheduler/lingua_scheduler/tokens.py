"""Reading credentials: signed tokens (JWT), key sets (JWKS) and lists of node tokens."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt

from lingua_wire.codes import CODES, CloseCode, ErrorCode
from lingua_wire.ids import is_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

#: Longer credentials are refused unread.
MAX_TOKEN_CHARS = 8_192

_TENANT = re.compile(r"[A-Za-z0-9._-]{1,128}")

_KEY_SET_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_KEY_SET_LIFE_S = 600.0
_KEY_SET_RETRY_S = 5.0


class AuthError(Exception):
    """A peer was refused.

    ``code`` is UNAUTHENTICATED (who are you?), FORBIDDEN or NOT_DECLARED (not you), or SCHEDULER_DEPENDENCY_DOWN (can't
    tell just now).
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """Return 401, 403 or 503."""
        return CODES[self.code].http_status

    @property
    def close_code(self) -> CloseCode:
        """Return 4401, 4403 or 1013."""
        known = {
            ErrorCode.UNAUTHENTICATED: CloseCode.UNAUTHENTICATED,
            ErrorCode.FORBIDDEN: CloseCode.FORBIDDEN,
            ErrorCode.NOT_DECLARED: CloseCode.FORBIDDEN,
        }
        return known.get(self.code, CloseCode.TRY_LATER)


class AuthSettingsError(ValueError):
    """A setting of authentication cannot work; the message names it and what is wanted."""


class KeySet:
    """The public keys of an issuer, read from a file or fetched; asked for again when a token names an unknown key."""

    def __init__(self, place: str, fetch: Callable[[str], Awaitable[bytes]] | None) -> None:
        self._place = place
        self._fetch = fetch
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_s = float("-inf")
        self._reading = asyncio.Lock()

    async def find(self, key_id: str) -> jwt.PyJWK:
        """Return the key called ``key_id``, or the only one when a token names none.

        :raises AuthError: there is no such key, or no key set can be had.
        """
        async with self._reading:
            age_s = time.monotonic() - self._read_s
            if age_s > _KEY_SET_LIFE_S or (self._choose(key_id) is None and age_s > _KEY_SET_RETRY_S):
                await self._read()
        key = self._choose(key_id)
        if key is None:
            raise AuthError(ErrorCode.UNAUTHENTICATED, "The token names a signing key that is not known.")
        return key

    def _choose(self, key_id: str) -> jwt.PyJWK | None:
        if key_id:
            return self._keys.get(key_id)
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    async def _read(self) -> None:
        self._read_s = time.monotonic()
        try:
            document = json.loads(await self._load())
            keys = [key for key in jwt.PyJWKSet.from_dict(document).keys if key.key_type != "oct"]
        except Exception as error:  # whatever is wrong with the issuer: keys known before stay good
            if self._keys:
                return
            raise AuthError(ErrorCode.SCHEDULER_DEPENDENCY_DOWN, "The issuer's keys can't be read just now.") from error
        self._keys = {key.key_id or "": key for key in keys}

    async def _load(self) -> bytes:
        if not self._place.startswith(("http://", "https://")):
            return await asyncio.to_thread(Path(self._place).read_bytes)
        if self._fetch is None:
            raise AuthSettingsError(f"key_set={self._place!r}: an address needs a way to fetch it")
        return await self._fetch(self._place)


@dataclass(frozen=True, slots=True)
class TokenCheck:
    """How a signed token is verified: HS256 with ``secret``, or a public key of ``keys``; never unsigned."""

    secret: str = field(default="", repr=False)
    keys: KeySet | None = None
    issuer: str = ""
    audience: str = ""
    leeway_s: float = 10.0

    async def claims(self, token: str) -> dict[str, Any]:
        """Return what a token says, once it is proved.

        :raises AuthError: it is not valid here.
        """
        head = _header(token)
        if self.keys is None or (self.secret and head.get("alg") == "HS256"):
            return self.shared_claims(token)
        if head.get("alg") not in _KEY_SET_ALGORITHMS:
            raise AuthError(ErrorCode.UNAUTHENTICATED, "The token is signed in a way that is not accepted.")
        return self._decode(token, await self.keys.find(head.get("kid", "")), _KEY_SET_ALGORITHMS)

    def shared_claims(self, token: str) -> dict[str, Any]:
        """Return what a token signed with the shared secret says.

        :raises AuthError: it is not valid here.
        """
        if _header(token).get("alg") != "HS256" or not self.secret:
            raise AuthError(ErrorCode.UNAUTHENTICATED, "The token is signed in a way that is not accepted.")
        return self._decode(token, self.secret, ["HS256"])

    def _decode(self, token: str, key: str | jwt.PyJWK, algorithms: list[str]) -> dict[str, Any]:
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=algorithms,
                audience=self.audience or None,
                issuer=self.issuer or None,
                leeway=self.leeway_s,
                options={"require": ["exp"], "verify_aud": bool(self.audience)},
            )
            claims["exp"] = float(claims["exp"])
        except jwt.ExpiredSignatureError as error:
            raise AuthError(ErrorCode.UNAUTHENTICATED, "The token has expired.") from error
        except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError) as error:
            raise AuthError(ErrorCode.UNAUTHENTICATED, "The token is not valid here.") from error
        return claims


def text_claim(claims: Mapping[str, Any], name: str) -> str:
    """Return a claim that is a short text; empty when the token has none.

    :raises AuthError: it is something else.
    """
    value = claims.get(name, "")
    if not isinstance(value, str) or len(value) > 128 or not value.isprintable():
        raise AuthError(
            ErrorCode.UNAUTHENTICATED, f"The token's claim {name!r} must be a text of 128 characters at most."
        )
    return value


def tenant_claim(claims: Mapping[str, Any], name: str) -> str:
    """Return the tenant, which becomes part of names in the store; empty when the token has none.

    :raises AuthError: it has characters that names must not have.
    """
    value = text_claim(claims, name)
    if value and not _TENANT.fullmatch(value):
        raise AuthError(ErrorCode.UNAUTHENTICATED, f"The token's claim {name!r} is no name of a tenant.")
    return value


def scope_claim(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the scopes: ``scope`` as words in one text (RFC 8693), or ``scopes`` as a list."""
    value = claims.get("scope", claims.get("scopes", ""))
    words = value.split() if isinstance(value, str) else value
    return frozenset(word for word in words if isinstance(word, str)) if isinstance(words, list) else frozenset()


def read_node_tokens(file: Path) -> dict[str, str]:
    """Read ``name token`` lines (``#`` begins a comment); returns SHA-256 of each token -> name.

    The name is the node id that the token is good for; one that ends with ``*`` is good for all that begin so.

    :raises AuthSettingsError: a line is not two words, a name can be no node's, or a token is too short to be a secret.
    """
    tokens: dict[str, str] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or len(words[1]) < 16:
            raise AuthSettingsError(f"node_tokens: line {number} must be a name and a token of 16 characters or more")
        if not is_id(words[0].removesuffix("*") or "a"):
            raise AuthSettingsError(f"node_tokens: line {number}: {words[0]!r} is no node id, nor the beginning of one")
        tokens[token_digest(words[1])] = words[0]
    return tokens


def name_of(token: str, tokens: Mapping[str, str]) -> str | None:
    """Return the name a listed node token belongs to, or ``None``; takes the same time for every token."""
    digest, found = token_digest(token), None
    for known, name in tokens.items():
        if hmac.compare_digest(known, digest):
            found = name
    return found


def token_digest(token: str) -> str:
    """Hide a token: SHA-256, hex."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _header(token: str) -> dict[str, Any]:
    if len(token) > MAX_TOKEN_CHARS:
        raise AuthError(ErrorCode.UNAUTHENTICATED, "The token is too long.")
    try:
        return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError) as error:
        raise AuthError(ErrorCode.UNAUTHENTICATED, "The token is not a signed token (JWT).") from error
