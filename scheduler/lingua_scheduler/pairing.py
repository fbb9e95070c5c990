"""Pairing codes of clients: known, or refused with a word, and not to be found by trying."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lingua_scheduler.address import address_of
from lingua_state import pairing
from lingua_state.errors import GuessesUsedUp, PairingCodeWrong, StateError
from lingua_wire.codes import CloseCode, ErrorCode
from lingua_wire.errors import WireError

if TYPE_CHECKING:
    from aiohttp import web

    from lingua_scheduler.auth import Identity
    from lingua_scheduler.metrics import Metrics
    from lingua_scheduler.settings import AuthSettings
    from lingua_state.client import Store


@dataclass(frozen=True, slots=True)
class Asker:
    """Who shows a code. ``tenant``: as a token says it; what anybody may claim would lock others out."""

    address: str
    tenant: str = ""


class PairingDesk:
    """Looks at codes. All instances count together."""

    def __init__(self, store: Store, settings: AuthSettings, metrics: Metrics, *, hops: int) -> None:
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._hops = hops

    def asker(self, request: web.Request, identity: Identity) -> Asker:
        """Say who asks."""
        return Asker(address_of(request, self._hops), identity.tenant if identity.verified else "")

    async def check(self, code_sha256: str | None, asker: Asker) -> None:
        """Let a code pass, or none. A wrong one ends a connection, so that each guess costs a new one.

        :raises WireError: INVALID_PAIRING_CODE, RATE_LIMITED, or STORE_UNAVAILABLE, with the close code.
        """
        if code_sha256 is None:
            return
        settings = self._settings
        guessers = [f"address {asker.address}", *([f"tenant {asker.tenant}"] if asker.tenant else [])]
        try:
            await pairing.check(
                self._store, code_sha256, guessers, tries=settings.pairing_tries, window_ms=settings.pairing_window_ms
            )
        except PairingCodeWrong as error:
            raise self._refused(
                ErrorCode.INVALID_PAIRING_CODE, "no node has this pairing code", CloseCode.FORBIDDEN
            ) from error
        except GuessesUsedUp as error:
            raise self._refused(
                ErrorCode.RATE_LIMITED, "too many wrong pairing codes; wait a while", CloseCode.RATE
            ) from error

        except StateError as error:
            self._metrics.store_errors.of(error.code).inc()
            raise WireError(
                ErrorCode.STORE_UNAVAILABLE, "the state store can't be reached", close=CloseCode.TRY_LATER
            ) from error

    def _refused(self, code: ErrorCode, message: str, close: CloseCode) -> WireError:
        self._metrics.auth_refused.of("pairing", code).inc()
        return WireError(code, message, close=close)
