"""What can go wrong with a call to the API server, as one family; the HTTP status is the table's key."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping


class ClusterError(Exception):
    """The API server refused a call, or could not be reached. ``status`` is HTTP's, 0: not reached."""

    #: Whether the same call may go through a little later.
    passing: ClassVar[bool] = False

    def __init__(self, message: str, status: int = 0, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class Unreachable(ClusterError):
    """The API server could not be reached in time, or is itself in trouble (5xx). The call may have had its effect."""

    passing = True


class TooManyCalls(ClusterError):
    """The API server asks us to call less often (429)."""

    passing = True


class Forbidden(ClusterError):
    """Our role does not allow the call, or the namespace is being deleted."""


class NotFound(ClusterError):
    """There is no such object, or its kind is not installed."""


class Conflict(ClusterError):
    """Somebody else wrote first, or the object exists already."""


class Refused(ClusterError):
    """The API server found the body invalid (400, 422), or a ``test`` of a JSON patch did not hold."""


class Expired(ClusterError):
    """A list's page is too old to be continued (410)."""


_KINDS: Mapping[int, type[ClusterError]] = {
    400: Refused, 401: Forbidden, 403: Forbidden, 404: NotFound, 409: Conflict, 410: Expired, 422: Refused,
    429: TooManyCalls,
}  # fmt: skip


def of_status(status: int) -> type[ClusterError]:
    """Choose the class for an HTTP status; 0: the server was not reached."""
    return _KINDS.get(status, Unreachable if status >= 500 or status == 0 else ClusterError)
