"""One running scheduler: its parts, put together, and what HTTP asks of it."""

from __future__ import annotations

import hashlib
import secrets
import socket
import time
from typing import TYPE_CHECKING

from lingua_scheduler import __version__
from lingua_scheduler.admission import Admission
from lingua_scheduler.audio_bound import AudioBound
from lingua_scheduler.auth import Authenticator, AuthRules
from lingua_scheduler.carrier import Carrier
from lingua_scheduler.dispatch import Dispatcher
from lingua_scheduler.mailbox import Mailbox
from lingua_scheduler.metrics import Metrics
from lingua_scheduler.nodes.gate import NodeGate
from lingua_scheduler.nodes.hub import NodeHub
from lingua_scheduler.once import dispatch_once, translate_once
from lingua_scheduler.pairing import PairingDesk
from lingua_scheduler.peers.hub import Peers
from lingua_scheduler.sessions.hub import SessionHub
from lingua_scheduler.sessions.moving import Moving
from lingua_state import nodes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lingua_scheduler.http.port import Dispatched, TranslateOnce, TranslateResult
    from lingua_scheduler.settings import AuthSettings, PeerSettings, SchedulerSettings
    from lingua_state.client import Store


class Scheduler:
    """The parts of one instance. ``draining``: it takes no new work."""

    def __init__(
        self,
        settings: SchedulerSettings,
        store: Store,
        epoch: str,
        fetch: Callable[[str], Awaitable[bytes]] | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.version = __version__
        self.instance_id = settings.instance.id or f"{_host_name()}-{secrets.token_hex(4)}"
        self.draining = False
        self.store_writable = True
        self._started_s = time.monotonic()
        self.metrics = Metrics(instance_id=self.instance_id, version=__version__)
        self.auth = Authenticator(auth_rules(settings), fetch)
        self.pairing = PairingDesk(store, settings.auth, self.metrics, hops=settings.http.forwarded_hops)
        self.audio = AudioBound(settings.audio.total_bytes, self.metrics.audio_held_bytes)
        self.carrier = Carrier(self.instance_id)
        self.dispatcher = Dispatcher(store, settings, self.carrier, self.metrics)
        self.gate = NodeGate(store, settings.nodes.admission, epoch)
        self.nodes = NodeHub(store, self.carrier, self.metrics)
        self.epoch = epoch
        secret = peer_secret(settings.peer, epoch)
        self.peers = Peers(self.instance_id, secret, store, settings.peer, self.carrier, self.metrics)
        self.sessions = SessionHub(store, self.instance_id, settings, self.metrics)
        self.admission = Admission(settings.session.openings_per_s)
        self.carrier.connect(self.dispatcher, self.nodes, self.peers)
        self.mailbox = self.carrier.mailbox = Mailbox(store, self.carrier, self.metrics)
        self.moving = Moving(self.sessions, self.carrier, settings.session.handover_ms)

    @property
    def uptime_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started_s

    def count_audio(self, size_bytes: int) -> None:
        """Count audio received from clients."""
        self.metrics.audio_received_bytes.inc(size_bytes)

    async def reassert(self, epoch: str) -> None:
        """Tell the store again what is alive here: it lost its past, and has a new epoch."""
        self.epoch = epoch
        self.peers.rekey(peer_secret(self.settings.peer, epoch))
        await self.nodes.reassert()
        await self.sessions.reassert()
        self.dispatcher.check_all()

    async def translate_once(self, request: TranslateOnce) -> TranslateResult:
        """Translate one utterance in a session that lives as long as the call; cancelled with the caller."""
        return await translate_once(self, request)

    async def dispatch_once(self, request: TranslateOnce) -> Dispatched:
        """Start a job for one utterance and answer as soon as it has a node or waits for one."""
        return await dispatch_once(self, request)

    async def undrain_node(self, node_id: str) -> None:
        """Let a drained node have work again, and hand over what gets a place by it."""
        self.carrier.tell(await nodes.undrain(self.store, node_id))

    async def cancel_job(self, job_id: str) -> bool:
        """End a job that nobody wants any more and tell its node; False: it had ended before."""
        return await self.dispatcher.cancel_by_id(job_id)


def auth_rules(settings: SchedulerSettings) -> AuthRules:
    """Read who may come in."""
    auth: AuthSettings = settings.auth
    return AuthRules(
        secret=auth.secret.get_secret_value(),
        key_set=auth.key_set,
        issuer=auth.issuer,
        audience=auth.audience,
        tenant_claim=auth.tenant_claim,
        node_secret=auth.node_secret.get_secret_value(),
        node_tokens=auth.node_tokens,
        declared_nodes=settings.nodes.admission == "declared",
        peer_secret=settings.peer.secret.get_secret_value(),
        origins=auth.origin_list(),
    )


def peer_secret(settings: PeerSettings, epoch: str) -> str:
    """Give the secret of the instances: the configured one, else one that only those can make who read the store."""
    return settings.secret.get_secret_value() or hashlib.sha256(f"lingua-peers:{epoch}".encode()).hexdigest()


def _host_name() -> str:
    name = "".join(char if char.isalnum() or char in ".-_" else "-" for char in socket.gethostname())
    return name[:40] or "scheduler"
