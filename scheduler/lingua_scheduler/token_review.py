"""Ask the Kubernetes API server whose token a node shows (TokenReview). The only module here that speaks to it.

Imported only where ``LINGUA_AUTH_TOKEN_REVIEW`` is on, since the client of Kubernetes takes a second and 47 MB.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import TYPE_CHECKING, Final, Self

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import OpenApiException

from lingua_scheduler.auth import NODE_AUDIENCE
from lingua_scheduler.tokens import AuthError, AuthSettingsError, token_digest
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

#: How long an answer holds. No longer: a token that was revoked must not open a second connection for ever.
LIFE_S: Final = 60.0
#: The API server may take so long; its own time-out for webhooks is 10 s.
TIMEOUT_S: Final = 5.0
#: Reviews at once: a storm of nodes, or of guesses, must not become one on the API server.
AT_ONCE: Final = 16
_KEPT: Final = 20_000
_USER: Final = "system:serviceaccount:"


class TokenReviews:
    """Names the service account of a token; a good answer is kept for a minute, by the token's digest."""

    def __init__(self, api: client.ApiClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._reviews = client.AuthenticationV1Api(api)
        self._clock = clock
        self._known: dict[str, tuple[str, float]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    @classmethod
    async def open(cls) -> Self:
        """Prepare calls as the pod's own service account, or as ``KUBECONFIG`` says.

        :raises AuthSettingsError: there is no API server to ask.
        """
        configuration = client.Configuration()
        try:
            if os.environ.get("KUBECONFIG"):
                await config.load_kube_config(config_file=os.environ["KUBECONFIG"], client_configuration=configuration)
            else:
                config.load_incluster_config(client_configuration=configuration)
        except (config.ConfigException, OSError) as error:
            raise AuthSettingsError(
                f"token_review: no API server to ask ({error}): run in a pod with a service account, or set KUBECONFIG"
            ) from error
        return cls(client.ApiClient(configuration))

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def account(self, token: str) -> str:
        """Name the service account of a token, ``namespace/name``.

        :raises AuthError: it is none that is meant for nodes; or the API server can't tell just now.
        """
        digest, now_s = token_digest(token), self._clock()
        account, until_s = self._known.get(digest, ("", 0.0))
        if now_s < until_s:
            return account
        self._known.pop(digest, None)
        async with self._places:
            status = await self._ask(token)
        account = account_of(status)
        if len(self._known) >= _KEPT:
            self._known = {key: value for key, value in self._known.items() if now_s < value[1]}
        if len(self._known) < _KEPT:
            self._known[digest] = (account, now_s + LIFE_S)
        return account

    async def _ask(self, token: str) -> client.V1TokenReviewStatus:
        wanted = client.V1TokenReview(spec=client.V1TokenReviewSpec(token=token, audiences=[NODE_AUDIENCE]))
        try:
            async with asyncio.timeout(TIMEOUT_S):
                found = await self._reviews.create_token_review(wanted)
        except (OpenApiException, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # Never the error's own text: it may quote the request, and with it the token.
            log.error(  # noqa: TRY400 - a traceback might show the token
                "a token could not be reviewed",
                extra={"reason": type(error).__name__, "status": getattr(error, "status", None)},
            )
            raise AuthError(
                ErrorCode.SCHEDULER_DEPENDENCY_DOWN, "The API server can't review the token just now. Try again."
            ) from None
        return found.status or client.V1TokenReviewStatus()


def account_of(status: client.V1TokenReviewStatus) -> str:
    """Read the service account that a review found, ``namespace/name``.

    :raises AuthError: the token is not valid, not meant for nodes, or no service account's.
    """
    if not status.authenticated or NODE_AUDIENCE not in (status.audiences or []):
        raise AuthError(
            ErrorCode.UNAUTHENTICATED, f"The token is not valid here: it must be one for the audience {NODE_AUDIENCE}."
        )
    name = (status.user.username if status.user else None) or ""
    namespace, _, account = name.removeprefix(_USER).partition(":")
    if not name.startswith(_USER) or not namespace or not account:
        raise AuthError(ErrorCode.FORBIDDEN, "The token is no service account's.")
    return f"{namespace}/{account}"
