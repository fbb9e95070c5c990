"""The fleets and whose nodes are whose, as this operator last saw them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lingua_operator.fleets.parse import parse_fleet, parse_member, plain
from lingua_operator.resource import LABEL_FLEET
from lingua_state.pools import pair_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lingua_operator.fleets.values import Fleet, Member, PairName
    from lingua_operator.known import Key, Known
    from lingua_operator.resource import Node
    from lingua_state.declarations import Declaration, LiveNode
    from lingua_state.models import Capability


#: Ended fleets that are remembered.
_ENDED_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class Seen:
    """A fleet and the status it was last seen with."""

    fleet: Fleet
    status: dict[str, Any]


class Classes:
    """Which class each node is of and which pairs a class serves, computed once for each declaration."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._of_uid: dict[str, tuple[Declaration, str]] = {}
        self.pairs: dict[str, frozenset[PairName]] = {}

    def of(self, node: Node) -> str:
        """Name the class of a node; empty: it is not declared yet."""
        wish = self._known.wishes().get(node.uid)
        if wish is None:
            self._of_uid.pop(node.uid, None)
            return ""
        kept = self._of_uid.get(node.uid)
        if kept is None or kept[0] is not wish:
            kept = self._of_uid[node.uid] = (wish, self.learn(wish.capability))
        return kept[1]

    def learn(self, capability: Capability) -> str:
        """Name a class and remember its pairs."""
        name = capability.pool_id
        if name not in self.pairs:
            self.pairs[name] = frozenset(pair_names(capability))
        return name

    def pairs_of(self, capability: Capability) -> frozenset[PairName]:
        """List the pairs of a capability, with scopes."""
        return self.pairs[self.learn(capability)]

    def keep_only(self, uids: Iterable[str]) -> None:
        """Forget nodes that are gone, and classes that none is of."""
        wanted = set(uids)
        self._of_uid = {uid: kept for uid, kept in self._of_uid.items() if uid in wanted}
        used = {name for _, name in self._of_uid.values()}
        self.pairs = {name: pairs for name, pairs in self.pairs.items() if name in used}


class Roster:
    """Every fleet by its key, and the nodes that carry its label."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._fleets: dict[Key, Seen] = {}
        self._nodes: defaultdict[Key, set[Key]] = defaultdict(set)
        self._ended: dict[str, None] = {}
        self.classes = Classes(known)

    def __len__(self) -> int:
        return len(self._fleets)

    def keys(self) -> list[Key]:
        """List the fleets there are."""
        return list(self._fleets)

    def get(self, key: Key) -> Seen | None:
        """Find a fleet."""
        return self._fleets.get(key)

    def see(self, body: Any) -> Fleet:  # noqa: ANN401 - kopf's mapping or the client's dict
        """Take a fleet in, unless a later state of it is known."""
        body = plain(body)
        fleet = parse_fleet(body)
        if fleet.uid in self._ended:
            return fleet
        before = self._fleets.get(fleet.key)
        older = before and before.fleet.uid == fleet.uid and _version(before.fleet) > _version(fleet)
        if not older:
            self._fleets[fleet.key] = Seen(fleet, dict(body.get("status") or {}))
        return fleet

    def end(self, fleet: Fleet) -> None:
        """Let a fleet go that is no more; an answer that comes late does not bring it back, and with it its nodes."""
        self._ended[fleet.uid] = None
        if len(self._ended) > _ENDED_KEPT:
            del self._ended[next(iter(self._ended))]
        self.forget(fleet)

    def forget(self, fleet: Fleet) -> None:
        """Let a fleet go, if it is still this very resource."""
        before = self._fleets.get(fleet.key)
        if before and before.fleet.uid == fleet.uid:
            del self._fleets[fleet.key]

    def replace_all(self, bodies: Iterable[Any]) -> None:
        """Take a whole list in, and find anew whose nodes are whose."""
        listed = {self.see(body).uid for body in bodies}
        for seen in list(self._fleets.values()):
            if seen.fleet.uid not in listed:
                self.forget(seen.fleet)
        self._nodes.clear()
        for node in self._known:
            self.touch(node)
        self.classes.keep_only(node.uid for node in self._known)

    def touch(self, node: Node) -> Key | None:
        """Note a node; return the fleet whose label it carries."""
        name = node.labels.get(LABEL_FLEET)
        if not name:
            return None
        key = (node.namespace, name)
        self._nodes[key].add(node.key)
        return key

    def nodes(self, fleet: Fleet) -> list[Node]:
        """List the nodes that the fleet answers for."""
        return [node for node in self._labelled(fleet) if node.controller_uid == fleet.uid]

    def strays(self, fleet: Fleet) -> list[Node]:
        """List the nodes with the fleet's label that belong to nobody, as ``--cascade=orphan`` leaves them."""
        return [node for node in self._labelled(fleet) if not node.controller_uid and node.deleted is None]

    def members(self, nodes: Iterable[Node], live: Mapping[str, LiveNode]) -> list[Member]:
        """Read nodes as members."""
        return [parse_member(node, self.classes.of(node), live.get(node.node_id)) for node in nodes]

    def _labelled(self, fleet: Fleet) -> list[Node]:
        keys = self._nodes.get(fleet.key, set())
        found = []
        for key in list(keys):
            node = self._known.get(key)
            if node is None or node.labels.get(LABEL_FLEET) != fleet.name:
                keys.discard(key)
            else:
                found.append(node)
        return found


def _version(fleet: Fleet) -> int:
    return int(fleet.resource_version) if fleet.resource_version.isdigit() else 0
