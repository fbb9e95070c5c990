"""Other versions of the programs, to run beside this one: an earlier commit, and a next version made of this tree.

Both are folders of source roots that a process is given before its own (:func:`before`), so they need no environment of
their own: what the programs import from elsewhere is the same.

The next version is this tree with changes that a version may make: every script has another text, records, rows and
items have fields that this version does not know, and so have messages. Each change must be found at its place exactly
once, or the row fails: a next version that is this one would prove nothing.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: What a scheduler and a test's node import of ours.
PARTS = ("scheduler", "lua", "wire")
#: An earlier version that was in use: the last one before schedulers left notices for each other in the store.
EARLIER = "24f15d9e01d91c0fa5363ed91f3ceceb096ee940"
NEXT = "9.9.9"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the programs: where its source roots are, what it says that it is, and whether its nodes say more
    than this version knows."""

    directory: Path
    name: str
    newer_nodes: bool

    @property
    def before(self) -> tuple[str, ...]:
        """Give the words before a command that let it run this version."""
        roots = [self.directory / part for part in PARTS] + [ROOT / "tests"]
        return ("env", f"PYTHONPATH={':'.join(map(str, roots))}")


@dataclass(frozen=True, slots=True)
class _Change:
    path: str
    old: str
    new: str


_PEERS = "scheduler/lingua_scheduler/peers"
_SCRIPTS = "lua/lingua_state/scripts"
_MORE = '"colour", "green"'
_TO_LIVE = 'redis.call("PEXPIRE", key, ttl_ms'
_VERSION_FILE = "scheduler/lingua_scheduler/__init__.py"
_CHANGES = (
    _Change(_VERSION_FILE, '__version__ = "0.1.0"', f'__version__ = "{NEXT}"'),
    # Fields in every message, to clients, nodes and back.
    _Change(
        "wire/lingua_wire/codec.py",
        'return {"type": message.type, **_present(message)}\n    return dict(message)',
        'return {"type": message.type, "colour": "green", **_present(message)}\n'
        '    return {**message, "colour": "green"}',
    ),
    # Fields in every item for a peer, and in how two greet each other.
    _Change(
        f"{_PEERS}/envelope.py",
        'return {"kind": _KINDS[type(item)]} | told',
        'return {"kind": _KINDS[type(item)], "colour": "green"} | told',
    ),
    _Change(f"{_PEERS}/handshake.py", '"confirms": True}', '"confirms": True, "colour": "green"}'),
    _Change(f"{_PEERS}/handshake.py", '"stream": stream}', '"stream": stream, "colour": "green"}'),
    # Fields in every record.
    _Change(f"{_SCRIPTS}/prelude_jobs.lua", _TO_LIVE, f'redis.call("HSET", key, {_MORE})\n  {_TO_LIVE}'),
    _Change(f"{_SCRIPTS}/register_node_v2.lua", '[1], unpack(fields)', f'[1], {_MORE}, unpack(fields)'),
    _Change(f"{_SCRIPTS}/session_attach.lua", '[1], "instance_id"', f'[1], {_MORE}, "instance_id"'),
    _Change(f"{_SCRIPTS}/session_resume.lua", '[1], "instance_id"', f'[1], {_MORE}, "instance_id"'),
    _Change(f"{_SCRIPTS}/instance_announce.lua", '[1], "address"', f'[1], {_MORE}, "address"'),
    # A word more in what is told of an assignment, also where it is left in the store.
    _Change(f"{_SCRIPTS}/prelude_jobs.lua", "job.due, job.moved_from }", 'job.due, job.moved_from, "green" }'),
)  # fmt: skip


def earlier_version(directory: Path, commit: str = EARLIER) -> Version:
    """Take a commit's programs out of the history."""
    directory.mkdir(parents=True)
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=ROOT, capture_output=True, check=False
    )
    assert known.returncode == 0, f"this row runs commit {commit}, which a shallow clone lacks: git fetch --unshallow"
    archive = subprocess.run(["git", "archive", commit, *PARTS], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(directory)], input=archive.stdout, check=True)
    _change(directory, _Change(_VERSION_FILE, '__version__ = "', '__version__ = "earlier than '))
    return Version(directory, "earlier than 0.1.0", newer_nodes=False)


def next_version(directory: Path) -> Version:
    """Make the next version of this tree."""
    for part in PARTS:
        shutil.copytree(ROOT / part, directory / part, ignore=shutil.ignore_patterns("__pycache__"))
    for change in _CHANGES:
        _change(directory, change)
    for script in (directory / "lua" / "lingua_state" / "scripts").glob("*.lua"):
        script.write_text(script.read_text() + "-- of the next version\n")
    return Version(directory, NEXT, newer_nodes=True)


def _change(directory: Path, change: _Change) -> None:
    path = directory / change.path
    text = path.read_text()
    assert text.count(change.old) == 1, f"{change.path} has changed: say again what another version has there"
    path.write_text(text.replace(change.old, change.new))
