"""Say what a node can do: from its engines to the words of the protocol. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lingua_wire.fields import Extension
from lingua_wire.node_messages import (
    Hardware,
    InstalledService,
    LanguageCapabilities,
    NodeHeartbeat,
    NodeRegister,
    NodeWireStatus,
    ResourceUsage,
    TypeCapability,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lingua_node.pipeline import Engines
    from lingua_node.settings import NodeSettings

VERSION = "0.1.0"

EXTENSIONS = (
    Extension.BINARY_AUDIO,
    Extension.CARRIED,
    Extension.DIGEST,
    Extension.FAST_LEASE,
    Extension.STABLE_PARTIALS,
)


@dataclass(frozen=True, slots=True)
class Capability:
    """What a node hears, into what it translates, what it speaks; ``notes`` say how well, per pair ``src:tgt``."""

    hears: tuple[str, ...]
    understands: tuple[str, ...]
    speaks: tuple[str, ...]
    notes: Mapping[str, str]
    engines: tuple[tuple[str, str], ...]

    @property
    def excluded_pairs(self) -> tuple[str, ...]:
        """Name the pairs that the languages suggest but the node can't do."""
        every = (f"{src}:{tgt}" for src in self.hears for tgt in self.understands)
        return tuple(pair for pair in every if pair not in self.notes)


def capability_of(engines: Engines) -> Capability:
    """Work out what engines can do together; a language into itself needs no translator."""
    asr, nmt, tts = engines.asr, engines.nmt, engines.tts
    wanted = [(src, tgt) for src in sorted(asr.languages) for tgt in sorted(tts.languages)]
    notes = {
        f"{src}:{tgt}": "; ".join(part for part in (asr.note(src), _route_note(engines, src, tgt)) if part)
        for src, tgt in wanted
        if src == tgt or (src, tgt) in nmt.pairs
    }
    targets = tuple(sorted({pair.partition(":")[2] for pair in notes}))
    return Capability(
        hears=tuple(sorted(asr.languages)),
        understands=targets,
        speaks=tuple(sorted(tts.languages)),
        notes=notes,
        engines=(("asr", asr.name), ("nmt", nmt.name), ("tts", tts.name)),
    )


def register_message(
    capability: Capability,
    settings: NodeSettings,
    hardware: Hardware,
    *,
    node_id: str | None,
    running: Iterable[str] = (),
) -> NodeRegister:
    """Write the message that joins a scheduler."""
    return NodeRegister(
        node_id=node_id,
        version=VERSION,
        capability_schema_version="2.0",
        platform="linux",
        hardware=hardware,
        installed_models=(),
        installed_services=services(capability),
        capability_by_type=ready_types(capability),
        features_supported={},
        accept_public_jobs=not settings.private,
        language_capabilities=languages(capability),
        extensions=tuple(EXTENSIONS),
        max_jobs=settings.max_jobs,
        pairing_code=settings.pairing_code.get_secret_value() if settings.pairing_code else None,
        tenant_id=settings.tenant_id,
        pair_notes=dict(capability.notes),
        running_job_ids=tuple(running),
    )


def heartbeat_message(
    capability: Capability, usage: ResourceUsage, *, node_id: str, now_ms: int, draining: bool
) -> NodeHeartbeat:
    """Write the message that keeps a node's place."""
    return NodeHeartbeat(
        node_id=node_id,
        timestamp=now_ms,
        resource_usage=usage,
        installed_services=services(capability),
        capability_by_type=ready_types(capability),
        language_capabilities=languages(capability),
        status=NodeWireStatus.DRAINING if draining else NodeWireStatus.READY,
    )


def services(capability: Capability) -> tuple[InstalledService, ...]:
    """List the engines as services."""
    return tuple(
        InstalledService(
            service_id=f"{kind}-{engine}", type=kind, device="cpu", status="running", version=VERSION, engine=engine
        )
        for kind, engine in capability.engines
    )


def ready_types(capability: Capability) -> tuple[TypeCapability, ...]:
    """Say that every kind of engine is ready; a node without one does not start."""
    return tuple(
        TypeCapability(type=kind, ready=True, ready_impl_ids=(f"{kind}-{engine}",))
        for kind, engine in capability.engines
    )


def languages(capability: Capability) -> LanguageCapabilities:
    """List the languages, and the pairs among them that the node can't do."""
    return LanguageCapabilities(
        asr_languages=capability.hears,
        semantic_languages=capability.understands,
        tts_languages=capability.speaks,
        semantic_core_ready=True,
        auto=len(capability.hears) > 1,
        excluded_pairs=capability.excluded_pairs,
    )


def describe(capability: Capability) -> str:
    """Write for people what the node can do, a pair a line."""
    lines = [f"{kind}: {engine}" for kind, engine in capability.engines]
    return "\n".join([*lines, *(f"{pair.replace(':', ' -> ')}: {note}" for pair, note in capability.notes.items())])


def _route_note(engines: Engines, src: str, tgt: str) -> str:
    return "no translation needed" if src == tgt else engines.nmt.note(src, tgt)
