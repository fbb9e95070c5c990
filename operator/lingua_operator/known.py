"""The TranslationNodes as this operator last saw them: a plain dict, fed by the stream and by lists.

It also answers who holds a node id: the oldest resource that claims it, so that every operator says the same.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lingua_operator.resource import Node
    from lingua_state.declarations import Declaration

Key = tuple[str, str]
#: Ended resources that are remembered: far more than end while one call is answered.
_ENDED_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Owner:
    """Who declares a node, as the store keeps it in ``uid``: enough to name the resource, and to find it."""

    cluster: str
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.cluster}/{self.namespace}/{self.name}/{self.uid}"

    @classmethod
    def read(cls, text: str) -> Owner | None:
        """Read what an operator wrote; None: somebody else did."""
        parts = text.split("/")
        return cls(*parts) if len(parts) == 4 else None


class Known:
    """Every TranslationNode by its key, by its uid, and by the node id it claims."""

    def __init__(self) -> None:
        self._nodes: dict[Key, Node] = {}
        self._uids: dict[str, Key] = {}
        self._claims: defaultdict[str, set[Key]] = defaultdict(set)
        self._wishes: dict[str, Declaration] = {}
        self._ended: dict[str, None] = {}
        #: Counts changes of the wishes, so that a digest over them is computed once.
        self.wishes_version = 0

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self._nodes.values()))

    def get(self, key: Key) -> Node | None:
        """Find a node by namespace and name."""
        return self._nodes.get(key)

    def by_uid(self, uid: str) -> Node | None:
        """Find a node by the uid of its resource."""
        key = self._uids.get(uid)
        return self._nodes.get(key) if key else None

    def by_node_id(self, node_id: str) -> list[Node]:
        """Find the resources that claim a node id, the oldest first."""
        return sorted((self._nodes[key] for key in self._claims.get(node_id, ())), key=_age)

    def see(self, node: Node) -> bool:
        """Take a node in, unless a later state of it is known. True: it is new, or another one than before."""
        if node.uid in self._ended:
            return False
        before = self._nodes.get(node.key)
        if before and before.uid == node.uid and _version(before) >= _version(node):
            return False
        if before:
            self._drop(before, keep_wish=before.uid == node.uid)
        self._nodes[node.key] = node
        self._uids[node.uid] = node.key
        self._claims[node.node_id].add(node.key)
        return True

    def end(self, node: Node) -> bool:
        """Let a node go of which the stream told the end: an answer to a call of ours that comes later, with the node
        in it, does not bring it back."""
        self._ended[node.uid] = None
        if len(self._ended) > _ENDED_KEPT:
            del self._ended[next(iter(self._ended))]
        return self.forget(node)

    def forget(self, node: Node) -> bool:
        """Let a node go, if it is still this very resource."""
        before = self._nodes.get(node.key)
        if before is None or before.uid != node.uid:
            return False
        self._drop(before)
        return True

    def replace_all(self, nodes: Iterable[Node], namespaces_complete: bool = True) -> list[Node]:
        """Take a whole list in; return those that were known and are not in it: they are gone."""
        listed = list(nodes)
        uids = {node.uid for node in listed}
        gone = [node for node in self if node.uid not in uids] if namespaces_complete else []
        for node in gone:
            self.forget(node)
        for node in listed:
            self.see(node)
        return gone

    def rival(self, node: Node) -> Node | None:
        """Find the older resource that claims the same node id; a mirrored one yields to any other."""
        holder = next(iter(self.by_node_id(node.node_id)), None)
        return None if holder is None or holder.uid == node.uid or _age(node) < _age(holder) else holder

    def wish(self, uid: str, declaration: Declaration | None) -> None:
        """Note what a resource wants the store to hold; None: nothing."""
        if self._wishes.get(uid) == declaration:
            return
        if declaration is None:
            self._wishes.pop(uid, None)
        else:
            self._wishes[uid] = declaration
        self.wishes_version += 1

    def wishes(self) -> dict[str, Declaration]:
        """Give what the store should hold, by the uid of the resource."""
        return self._wishes

    def _drop(self, node: Node, *, keep_wish: bool = False) -> None:
        self._nodes.pop(node.key, None)
        self._uids.pop(node.uid, None)
        claims = self._claims[node.node_id]
        claims.discard(node.key)
        if not claims:
            del self._claims[node.node_id]
        if not keep_wish:
            self.wish(node.uid, None)


def _age(node: Node) -> tuple[bool, float, bool, str]:
    """Order claims: the oldest first; of the same second (times are no finer) the declared one, then by uid."""
    return node.mirrored, node.created.timestamp(), node.status.membership_revision is None, node.uid


def _version(node: Node) -> int:
    return int(node.resource_version) if node.resource_version.isdigit() else 0
