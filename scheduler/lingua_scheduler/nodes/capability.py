"""What a node can do, from what it says of itself (docs/protocol.md, Node messages).

A node's word is spread over its registration and later heartbeats. :class:`NodeFacts` gathers it: what is left out
changes nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from lingua_state.models import AUTO, Access, Capability, Pair
from lingua_wire.ids import normal_language

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lingua_wire.node_messages import (
        InstalledService,
        LanguageCapabilities,
        NodeHeartbeat,
        NodeRegister,
        TypeCapability,
    )

RUNNING: Final = "running"
#: A node that hears or translates nothing is not ready; one without a voice can still serve text.
REQUIRED_TYPES: Final = ("asr", "nmt")
MAX_LANGUAGES: Final = 200
MAX_SHOWN: Final = 64


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What is known of a node's abilities so far. Languages are empty until it names them."""

    access: Access
    base: bool = True
    asr: tuple[str, ...] = ()
    semantic: tuple[str, ...] = ()
    tts: tuple[str, ...] = ()
    auto: bool | None = None
    exclude: tuple[Pair, ...] = ()
    running: frozenset[str] = frozenset()
    """Types with a running service."""
    installed: frozenset[str] = frozenset()
    """Types with any service."""
    flags: frozenset[tuple[str, bool]] = frozenset()
    """The node's own ``ready`` by type; a CPU-only base node never says true."""

    @property
    def targets(self) -> tuple[str, ...]:
        """List the languages it produces: the semantic ones when it names them, else those it speaks."""
        return self.semantic or self.tts

    @property
    def capability(self) -> Capability | None:
        """Give what it can be chosen for; None: it has not named its languages yet, so it is in no pool."""
        offered = self.offered
        return offered if offered.asr and offered.targets else None

    @property
    def offered(self) -> Capability:
        """Give all that it says it can do, also where that is not enough to be chosen."""
        asr = tuple(code for code in self.asr if code != AUTO)
        return Capability(asr=asr, targets=self.targets, exclude=self.exclude, auto=self.hears_any, access=self.access)

    @property
    def hears_any(self) -> bool:
        """Tell whether it finds the spoken language by itself. Base nodes do, as far as they hear it at all."""
        return self.auto if self.auto is not None else self.base or AUTO in self.asr

    @property
    def ready(self) -> bool:
        """Tell whether it may get jobs: its languages are known and no type that it needs is down."""
        return self.capability is not None and not self.missing

    @property
    def missing(self) -> tuple[str, ...]:
        """List the needed types that it names but does not run. A running service counts before its ``ready`` flag."""
        return self.missing_of(())

    def missing_of(self, declared: tuple[str, ...]) -> tuple[str, ...]:
        """List the same of those that are ``declared`` for it; none: of all that a node needs."""
        flags = dict(self.flags)
        needed = [kind for kind in REQUIRED_TYPES if not declared or kind in declared]
        return tuple(kind for kind in needed if not self._serves(kind, flags.get(kind)))

    def with_beat(self, beat: NodeHeartbeat) -> NodeFacts:
        """Take in a heartbeat; the same facts come back when it says nothing new."""
        updated = _with_languages(self, beat.language_capabilities)
        updated = _with_services(updated, beat.installed_services or ())
        updated = _with_flags(updated, beat.capability_by_type or ())
        return self if updated == self else updated

    def _serves(self, kind: str, flag: bool | None) -> bool:
        if kind in self.installed:
            return kind in self.running
        return flag is not False


def facts_of(register: NodeRegister, tenants: tuple[str, ...] = ()) -> NodeFacts:
    """Read a registration. ``tenants`` are those that its credential names: it serves only them then."""
    facts = NodeFacts(access=access_of(register, tenants), base=not register.extensions)
    facts = _with_languages(facts, register.language_capabilities)
    facts = _with_services(facts, register.installed_services)
    return _with_flags(facts, register.capability_by_type)


def access_of(register: NodeRegister, tenants: tuple[str, ...] = ()) -> Access:
    """Say who may use the node. A pairing code is kept only as its digest."""
    pairing = pairing_digest(register.pairing_code) if register.pairing_code else None
    public = register.accept_public_jobs and not tenants
    return Access(public=public, tenants=tuple(sorted(tenants)), pairing=pairing)


def pairing_digest(code: str) -> str:
    """Hide a pairing code: SHA-256, hex."""
    return hashlib.sha256(code.encode()).hexdigest()


def capacity_of(register: NodeRegister, default: int, limit: int) -> int:
    """Say how many jobs it takes at once: its own ``max_jobs``, else ``default``; never more than ``limit``."""
    return max(1, min(register.max_jobs or default, limit))


def document_of(register: NodeRegister) -> dict[str, Any]:
    """Describe the node for people: bounded, and without its pairing code."""
    hardware = register.hardware
    return {
        "platform": register.platform,
        "hardware": {
            "cpu_cores": hardware.cpu_cores,
            "memory_gb": hardware.memory_gb,
            "gpus": [gpu.name for gpu in hardware.gpus[:MAX_SHOWN]],
        },
        "services": [_shown(service) for service in register.installed_services[:MAX_SHOWN]],
        "extensions": sorted(register.extensions)[:MAX_SHOWN],
        "pair_notes": dict(list((register.pair_notes or {}).items())[:MAX_SHOWN]),
    }


def _shown(service: InstalledService) -> dict[str, str | None]:
    return {
        "service_id": service.service_id,
        "type": service.type,
        "device": service.device,
        "status": service.status,
        "engine": service.engine,
        "version": service.version,
    }


def _with_languages(facts: NodeFacts, said: LanguageCapabilities | None) -> NodeFacts:
    if said is None:
        return facts
    return replace(
        facts,
        asr=_languages(said.asr_languages) or facts.asr,
        semantic=_languages(said.semantic_languages) or facts.semantic,
        tts=_languages(said.tts_languages) or facts.tts,
        auto=facts.auto if said.auto is None else said.auto,
        exclude=_pairs(said.excluded_pairs) or facts.exclude,
    )


def _with_services(facts: NodeFacts, services: Iterable[InstalledService]) -> NodeFacts:
    states = {(service.type.lower(), (service.status or RUNNING).lower()) for service in services}
    if not states:
        return facts
    running = frozenset(kind for kind, status in states if status == RUNNING)
    return replace(facts, running=running, installed=frozenset(kind for kind, _ in states))


def _with_flags(facts: NodeFacts, flags: Iterable[TypeCapability]) -> NodeFacts:
    said = frozenset((flag.type.lower(), flag.ready) for flag in flags)
    return replace(facts, flags=said) if said else facts


def _languages(codes: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({normal_language(code) for code in codes})[:MAX_LANGUAGES])


def _pairs(names: Iterable[str]) -> tuple[Pair, ...]:
    pairs = {Pair(*map(normal_language, name.split(":", 1))) for name in names}
    return tuple(sorted(pairs, key=str))
