"""Every name that Redis holds, with its type. No other module builds one.

Scripts that learn a name only while they run (the hash of the chosen node) build it from ``Keys.root`` or
``Keys.session_root`` with the functions of ``scripts/prelude.lua``, which mirror these; a test compares the two.

Everything of one cell lives in one slot: with a cell the roots carry it as a hash tag. On a plain server with one cell
the tag is left out (docs/data-model.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lingua_state.models import JobStatus, Pair

#: Who sees the pairs of a public class: everybody.
PUBLIC = ""
#: Stands for all pairs of a class that a pairing code opens. No language has this name.
PAIRED = "*"
_CELL = re.compile(r"[a-z0-9]{1,16}")
_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,32}")


def tenant_scope(tenant: str) -> str:
    """Name the scope of pairs that only ``tenant`` may use."""
    return f"@{tenant}"


def pairing_scope(code_sha256: str) -> str:
    """Name the scope of pairs that only holders of a pairing code may use, by the code's SHA-256 in hex."""
    return f"#{code_sha256}"


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of one cell. An empty ``cell`` leaves the hash tag out."""

    prefix: str = "lingua"
    cell: str = ""
    version: str = "v1"

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix) or not _PREFIX.fullmatch(self.version):
            raise ValueError(f"a key prefix is 1 to 32 of A-Z a-z 0-9 _ -, not {self.prefix!r}, {self.version!r}")
        if self.cell and not _CELL.fullmatch(self.cell):
            raise ValueError(f"a cell is named by 1 to 16 of a-z 0-9, not {self.cell!r}")

    @property
    def root(self) -> str:
        """What every name begins with, but for the sessions'."""
        return f"{self.prefix}:{self.version}:{self._tag}"

    @property
    def session_root(self) -> str:
        """What the names of sessions begin with."""
        owner = "scheduler:" if self.prefix == "lingua" else f"{self.prefix}:scheduler:"
        return f"{owner}{self._tag}session:"

    @property
    def _tag(self) -> str:
        return f"{{{self.cell}}}:" if self.cell else ""

    def epoch(self) -> str:
        """string: random, set once; if it changes, the store lost its past."""
        return f"{self.root}epoch"

    def barrier(self) -> str:
        """string: nothing of use; a replica that has it has all that was written before (durable profile)."""
        return f"{self.root}barrier"

    # Capability classes and pairs

    def pool(self, pair: Pair, scope: str = PUBLIC) -> str:
        """set: the classes (pool_ids) that serve the pair, in a scope."""
        return f"{self.root}pool:{pair}{scope}"

    def pool_nodes(self, pool_id: str) -> str:
        """zset: node -> floor(load * 1e6 / capacity); only nodes that may be chosen."""
        return f"{self.root}pool:{pool_id}:nodes"

    def pool_def(self, pool_id: str) -> str:
        """hash: what the class can do and who may use it."""
        return f"{self.root}pool:{pool_id}:def"

    def pool_names(self, pool_id: str) -> str:
        """set: the names under which a node of the class finds who waits for it."""
        return f"{self.root}pool:{pool_id}:names"

    def pools_all(self) -> str:
        """zset: every known class -> ms since which it has no node; 0: it has some."""
        return f"{self.root}pools:all"

    def paired(self, code_sha256: str) -> str:
        """set: the classes that a pairing code opens, as one more pair they are listed under."""
        return f"{self.root}pool:{PAIRED}{pairing_scope(code_sha256)}"

    def guesses(self, who: str) -> str:
        """string: how many wrong pairing codes somebody tried lately. TTL."""
        return f"{self.root}guesses:{who}"

    # Nodes

    def node(self, node_id: str) -> str:
        """hash: the node's record."""
        return f"{self.root}node:{node_id}"

    def node_jobs(self, node_id: str) -> str:
        """set: the node's unfinished jobs."""
        return f"{self.root}node:{node_id}:jobs"

    def node_waiting(self, node_id: str) -> str:
        """zset: the jobs that wait for this node alone, because it holds their turn; score as in the pair's queue."""
        return f"{self.root}node:{node_id}:waiting"

    def node_classes(self, node_id: str) -> str:
        """string: how many new classes a node brought lately. TTL."""
        return f"{self.root}node:{node_id}:classes"

    def nodes_all(self) -> str:
        """set: every known node."""
        return f"{self.root}nodes:all"

    def nodes_lease(self) -> str:
        """zset: node -> ms at which its lease ends."""
        return f"{self.root}nodes:lease"

    def nodes_declared(self) -> str:
        """hash: node -> its declaration, as the operator wrote it."""
        return f"{self.root}nodes:declared"

    def nodes_declared_sums(self) -> str:
        """hash: sums over all declarations, and over the declared nodes that are in; equal sums, equal contents."""
        return f"{self.root}nodes:declared:sums"

    # Jobs

    def notices(self) -> str:
        """list: what a script decided for a process that can't tell the owners; the next sweep does. TTL."""
        return f"{self.root}notices"

    def notices_for(self, instance_id: str) -> str:
        """list: what others decided about jobs of an instance that they can't reach; its next sweep takes it. TTL."""
        return f"{self.root}notices:{instance_id}"

    def job(self, job_id: str) -> str:
        """hash: the job's record; no audio. TTL."""
        return f"{self.root}job:{job_id}"

    def jobs_deadline(self) -> str:
        """zset: unfinished job -> ms at which something is due."""
        return f"{self.root}jobs:deadline"

    def jobs(self, status: JobStatus) -> str:
        """zset: job -> ms at which it came to this status; finished ones are trimmed."""
        return f"{self.root}jobs:{status.value}"

    def request(self, tenant: str, request_id: str) -> str:
        """string: the job of a client's own request id. TTL."""
        return f"{self.root}request:{tenant}:{request_id}"

    def waiting_pairs(self) -> str:
        """zset: pair name (with its scope) -> ms since which its oldest job waits."""
        return f"{self.root}waiting"

    def waiting(self, pair: Pair | str, scope: str = PUBLIC) -> str:
        """zset: the jobs that wait for the pair, or for a want (see wants.py), by priority, then age."""
        return f"{self.root}waiting:{pair}{scope}"

    def waiting_names(self) -> str:
        """set: the names (see wants.py) under which somebody waits."""
        return f"{self.root}waits"

    def waiting_for(self, name: str) -> str:
        """zset: the wants of a name that have waiters -> priority and age of the first."""
        return f"{self.root}waits:{name}"

    # Sessions and instances

    def session(self, session_id: str) -> str:
        """hash: the session's record. TTL."""
        return f"{self.session_root}{session_id}"

    def session_events(self, session_id: str) -> str:
        """stream: text events not yet acknowledged; bounded. TTL."""
        return f"{self.session_root}{session_id}:events"

    def sessions(self) -> str:
        """zset: session -> ms at which its record lapses."""
        return f"{self.root}sessions"

    def instance(self, instance_id: str) -> str:
        """hash: a scheduler process. TTL."""
        return f"{self.root}instance:{instance_id}"

    def instances(self) -> str:
        """zset: instance -> ms at which its record lapses."""
        return f"{self.root}instances"
