"""Whether a node may come in as the one it says it is: what is declared of it decides, and what its process shows."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from lingua_scheduler.tokens import AuthError, token_digest
from lingua_state import declarations
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from lingua_scheduler.auth import NodeIdentity
    from lingua_state.client import Store
    from lingua_state.declarations import DeclaredSummary
    from lingua_state.declared import Credential, Declaration

Admission = Literal["open", "declared"]

#: How long after the store lost its past nobody counts as undeclared: the operator declares everything again by then.
DOUBT_S: Final = 60.0


class Reviews(Protocol):
    """Who tells whose token it is."""

    async def account(self, token: str) -> str:
        """Name the service account of a token, ``namespace/name``. :raises AuthError: it is none, or can't be told."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A node may come in. ``account``: the service account that its token proved; a connection proves it once."""

    declaration: Declaration | None
    account: str = ""


class NodeGate:
    """Judges nodes. ``reviews`` is there where tokens of service accounts are accepted."""

    def __init__(self, store: Store, admission: Admission, epoch: str) -> None:
        self.admission = admission
        self.reviews: Reviews | None = None
        self.judged = 0
        """How often a declaration was read: what was looked at before says nothing of that node."""
        self._store = store
        self._epoch = epoch
        self._count: int | None = None
        self._doubt_until_s = 0.0

    @property
    def takes_declared(self) -> bool:
        """Tell whether a credential that no list holds may still be a declared node's."""
        return self.admission == "declared" or self.reviews is not None or self._count != 0

    def note(self, summary: DeclaredSummary) -> None:
        """Take in how many nodes are declared, and whether the store lost its past and every declaration with it."""
        self._count = summary.count
        if summary.epoch != self._epoch:
            self._epoch = summary.epoch
            self._doubt_until_s = time.monotonic() + DOUBT_S

    async def admit(self, node_id: str, identity: NodeIdentity, proved: str = "") -> Admitted:
        """Say what is declared of a node whose process may come in.

        :param proved: the service account that this connection proved before.
        :raises AuthError: it may not, or that can't be told just now (SCHEDULER_DEPENDENCY_DOWN: try again).
        :raises StateError: the store is away.
        """
        self.judged += 1
        declaration = await declarations.get(self._store, node_id)
        if declaration is None:
            if self.admission == "declared" or identity.pending:
                self.note(await declarations.summary(self._store))
            self._admit_undeclared(identity)
            return Admitted(None)
        credential = declaration.credential
        if credential is None:
            check_known(identity)
            return Admitted(declaration)
        if credential.kind == "token":
            check_token(credential, identity)
            return Admitted(declaration)
        account = proved or await self._account(identity)
        check_account(credential, account)
        return Admitted(declaration, account)

    def _admit_undeclared(self, identity: NodeIdentity) -> None:
        in_doubt = time.monotonic() < self._doubt_until_s
        if in_doubt and (self.admission == "declared" or identity.pending):
            raise AuthError(
                ErrorCode.SCHEDULER_DEPENDENCY_DOWN, "The store was emptied; nodes are being declared again. Try later."
            )
        if self.admission == "declared":
            raise AuthError(
                ErrorCode.NOT_DECLARED, "No TranslationNode declares this node_id: apply one, or name the declared id."
            )
        check_known(identity)

    async def _account(self, identity: NodeIdentity) -> str:
        if self.reviews is None:
            raise AuthError(
                ErrorCode.FORBIDDEN,
                "The node is declared with a service account, which needs LINGUA_AUTH_TOKEN_REVIEW=true here.",
            )
        if not identity.token:
            raise AuthError(
                ErrorCode.UNAUTHENTICATED, "The node is declared with a service account: show its token as Bearer."
            )
        return await self.reviews.account(identity.token)


def check_known(identity: NodeIdentity) -> None:
    """Let those pass whose credential needs no declaration.

    :raises AuthError: its token is nobody's.
    """
    if identity.pending:
        raise AuthError(ErrorCode.UNAUTHENTICATED, "The token is not known here.")


def check_token(credential: Credential, identity: NodeIdentity) -> None:
    """Compare a token with the declared one, in constant time.

    :raises AuthError: it is none, or another.
    """
    shown = token_digest(identity.token) if identity.token else ""
    if not hmac.compare_digest(shown, credential.value):
        raise AuthError(
            ErrorCode.UNAUTHENTICATED, "The node is declared with a token of its own: show that one as Bearer."
        )


def check_account(credential: Credential, account: str) -> None:
    """Compare the account that a token proved with the declared one.

    :raises AuthError: it is another.
    """
    if account != credential.value:
        raise AuthError(
            ErrorCode.FORBIDDEN, f"The token is of the service account {account}; the node is declared with another."
        )
