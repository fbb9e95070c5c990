"""How a node is treated: what it negotiated. The rules for nodes that ask for nothing are all here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lingua_wire.fields import NODE_EXTENSIONS, Extension

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingua_scheduler.settings import NodesSettings

#: Fields of ``job_assign`` that exist only between peers that agreed on them.
EXTENSION_FIELDS: Final = frozenset({"audio_follows", "audio_sha256", "start_sample", "deadline_ms"})


@dataclass(frozen=True, slots=True)
class NodeProfile:
    """What was granted.

    ``acks``: it confirms jobs, so an offer may time out; a base node's first word on a job is its confirmation.
    ``errors``: it may be told errors; a base node never is. ``own_ids``: its words carry the ids of the job they are
    about; a base node may answer one job under the ids of another of its session.
    """

    extensions: frozenset[Extension]
    heartbeat_ms: int
    lease_ms: int

    @property
    def base(self) -> bool:
        """Tell whether it asked for nothing."""
        return not self.extensions

    @property
    def binary_audio(self) -> bool:
        """Tell whether audio goes in binary frames."""
        return Extension.BINARY_AUDIO in self.extensions

    @property
    def digest(self) -> bool:
        """Tell whether it proves which audio it worked on."""
        return Extension.DIGEST in self.extensions

    @property
    def acks(self) -> bool:
        """Tell whether it confirms jobs."""
        return not self.base

    @property
    def errors(self) -> bool:
        """Tell whether it may be told errors."""
        return not self.base

    @property
    def own_ids(self) -> bool:
        """Tell whether its words must carry the ids of their own job."""
        return not self.base


def node_profile(asked: Iterable[str], settings: NodesSettings) -> NodeProfile:
    """Grant what is known of what was asked for."""
    granted = frozenset(extension for extension in NODE_EXTENSIONS if extension in set(asked))
    fast = Extension.FAST_LEASE in granted
    return NodeProfile(
        extensions=granted,
        heartbeat_ms=settings.fast_heartbeat_ms if fast else settings.heartbeat_ms,
        lease_ms=settings.fast_lease_ms if fast else settings.lease_ms,
    )
