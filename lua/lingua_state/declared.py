"""Declarations: what a TranslationNode resource says of a node, and what of it holds for a given process. Pure values.

A declaration is kept as one text (``scripts/prelude_declared.lua`` reads its first words); its capability is kept once
for all nodes of the class that it names.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol

from lingua_state.errors import DeclarationApart
from lingua_state.models import Access, Capability, Pair

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

#: Hex digits of a digest. The sums over all declarations take three parts of it, eleven digits each.
_DIGITS = 40
_PARTS = ((0, 11), (11, 22), (22, 33))
#: What no node id may end with: ``n1:jobs`` would be the key of what n1 has to do.
OTHERS_KEYS = (":jobs", ":waiting", ":classes")
_NODE_ID = re.compile(r"[!-~]{1,128}")
#: Roomy: the operator names cluster, namespace and resource in it too.
_UID = re.compile(r"[!-~]{1,256}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
MAX_CAPACITY = 1_000
MAX_WEIGHT = 1_000
DEFAULT_WEIGHT = 100


class Scheduling(StrEnum):
    """Whether a node gets new work. Cordoned and draining ones keep what they have; who drains ends it in the end."""

    ACTIVE = "active"
    CORDONED = "cordoned"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Credential:
    """What the node's process must show: a token (``value`` is its SHA-256, hex), or a token of a service account
    (``namespace/name``)."""

    kind: Literal["token", "service_account"]
    value: str

    def __post_init__(self) -> None:
        if self.kind == "token" and not _SHA256.fullmatch(self.value):
            raise ValueError("the credential of a token is its SHA-256 in hex, never the token")
        if self.kind == "service_account" and self.value.count("/") != 1:
            raise ValueError(f"a service account is named namespace/name, not {self.value!r}")


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a node is to be. ``uid`` and ``generation`` (from 1) are the resource's, and fence it.

    ``capability`` bounds what the process can be chosen for; its ``auto`` counts only until a process is connected.
    ``capacity`` are the jobs at once. ``weight`` is the node's share of the load among nodes of the same pair: 200
    twice the share of 100, and 0 only where nobody else is free. ``services`` empty: all that the process has.
    ``credential`` ``None``: what is demanded of any node.
    """

    node_id: str
    uid: str
    generation: int
    capability: Capability
    capacity: int = 4
    weight: int = DEFAULT_WEIGHT
    scheduling: Scheduling = Scheduling.ACTIVE
    services: tuple[str, ...] = ()
    credential: Credential | None = None

    def __post_init__(self) -> None:
        if not _NODE_ID.fullmatch(self.node_id) or not _UID.fullmatch(self.uid):
            raise ValueError(f"node_id and uid are printable, without spaces: {self.node_id!r}, {self.uid!r}")
        if self.node_id.endswith(OTHERS_KEYS):
            raise ValueError(f"a node_id does not end with {' or '.join(OTHERS_KEYS)}: {self.node_id!r}")
        if self.generation < 1:
            raise ValueError(f"generation is 1 or more, not {self.generation}")
        if not 1 <= self.capacity <= MAX_CAPACITY or not 0 <= self.weight <= MAX_WEIGHT:
            raise ValueError(f"capacity is 1 to {MAX_CAPACITY}, weight 0 to {MAX_WEIGHT}")

    @property
    def digest(self) -> str:
        """Name the content: equal declarations, equal digests."""
        content = [
            self.node_id, self.uid, self.generation, self.capability.canonical(), self.capacity, self.weight,
            self.scheduling.value, self._rest(),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()[:_DIGITS]

    def text(self) -> str:
        """Write it as the store keeps it."""
        words = [self.digest, self.capability.pool_id, self.uid, self.generation, self.capacity, self.weight]
        return " ".join(map(str, [*words, self.scheduling.value, self._rest()]))

    def _rest(self) -> str:
        credential = [self.credential.kind, self.credential.value] if self.credential else None
        rest = {"services": sorted(set(self.services)), "credential": credential}
        return json.dumps(rest, separators=(",", ":"))


class HasDigest(Protocol):
    """A declaration, or what a list tells of it."""

    @property
    def digest(self) -> str:
        """Name the content."""


@dataclass(frozen=True, slots=True)
class Bounded:
    """What a connected process is chosen for: what it says of itself, within its declaration."""

    capability: Capability
    services: tuple[str, ...] = field(default=())


def read_declaration(node_id: str, definition: str, text: str) -> Declaration:
    """Read what :meth:`Declaration.text` wrote; ``definition`` is that of its class."""
    _, _, uid, generation, capacity, weight, scheduling, rest = text.split(" ", 7)
    more = json.loads(rest)
    return Declaration(
        node_id=node_id,
        uid=uid,
        generation=int(generation),
        capability=Capability.read(definition),
        capacity=int(capacity),
        weight=int(weight),
        scheduling=Scheduling(scheduling),
        services=tuple(more["services"]),
        credential=Credential(*more["credential"]) if more["credential"] else None,
    )


def declared_digest(items: Iterable[HasDigest]) -> str:
    """Name a set of declarations, in whatever order, as :func:`lingua_state.declarations.summary` does."""
    digests = [item.digest for item in items]
    return digest_of_sums([sum(int(digest[start:end], 16) for digest in digests) for start, end in _PARTS])


def digest_of_sums(sums: Iterable[int]) -> str:
    """Write the sums that the scripts keep as one text."""
    return ".".join(f"{number:x}" for number in sums)


def bound(declared: Declaration, offered: Capability, services: tuple[str, ...] = ()) -> Bounded:
    """Take from what a process says what its declaration allows; what it does not say, the declaration says.

    Languages keep the words of the declaration; the process may mean them by wider or narrower ones (:func:`own_word`).

    :param offered: no languages at all: the process does not say what it can.
    :param services: the types it has; empty: it does not say.
    """
    wanted = declared.capability
    asr, targets = _heard(wanted.asr, offered.asr), _heard(wanted.targets, offered.targets)
    capability = Capability(
        asr=asr,
        targets=targets,
        exclude=tuple(sorted({*wanted.exclude, *offered.exclude, *_left_out(asr, targets, offered)}, key=str)),
        auto=offered.auto,
        access=wanted.access,
    )
    return Bounded(capability, _shared(declared.services, services) if declared.services else services)


def check_bound(declared: Declaration, offered: Capability, services: tuple[str, ...] = ()) -> Bounded:
    """Do as :func:`bound`, for a process that wants to come in.

    :raises DeclarationApart: nothing that it can do is declared.
    """
    found = bound(declared, offered, services)
    if declared.capability.pairs() and not found.capability.pairs():
        raise DeclarationApart(
            f"languages: the node hears {_words(offered.asr)} and speaks {_words(offered.targets)}; declared is"
            f" {_words(declared.capability.asr)} into {_words(declared.capability.targets)}, and no pair is in both"
        )
    if declared.services and services and not found.services:
        raise DeclarationApart(
            f"services: the node has {_words(services)}; declared is {_words(declared.services)}, and none is in both"
        )
    return found


def own_word(declared: str, offered: Collection[str]) -> str | None:
    """Find the word by which a process means a declared language: the same, else the nearest wider one (its ``en`` for
    ``en-US``), else a narrower one (its ``en-US`` for ``en``); None: it has none of them."""
    if declared in offered:
        return declared
    wider = [code for code in offered if declared.startswith(f"{code}-")]
    narrower = sorted(code for code in offered if code.startswith(f"{declared}-"))
    return max(wider, key=len) if wider else next(iter(narrower), None)


def own_words(declared: Declaration, offered: Capability) -> dict[str, str]:
    """List the declared languages that the process means by words of its own."""
    found: dict[str, str] = {}
    for wanted, has in ((declared.capability.asr, offered.asr), (declared.capability.targets, offered.targets)):
        found |= {code: own for code in wanted if (own := own_word(code, has)) not in (None, code)}
    return found


def without_access(offered: Capability) -> Capability:
    """Leave out who may use a process by its own word: for a declared one that is the declaration's matter."""
    return replace(offered, access=Access())


def _shared(declared: tuple[str, ...], offered: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(declared) & set(offered))) if offered else tuple(sorted(set(declared)))


def _heard(declared: tuple[str, ...], offered: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({code for code in declared if not offered or own_word(code, offered)}))


def _left_out(asr: tuple[str, ...], targets: tuple[str, ...], offered: Capability) -> Iterator[Pair]:
    """Name the pairs that the process leaves out by its own words."""
    for pair in offered.exclude:
        sources = [code for code in asr if own_word(code, offered.asr) == pair.source]
        yield from (
            Pair(code, to) for code in sources for to in targets if own_word(to, offered.targets) == pair.target
        )


def _words(names: tuple[str, ...]) -> str:
    return ", ".join(names[:20]) or "nothing named"
