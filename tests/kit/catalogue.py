"""The rows of the fault catalogue, as docs/guarantees.md tells what they measured."""

from __future__ import annotations

from typing import Final

ROWS: Final[dict[str, str]] = {
    "F1": "a scheduler is killed",
    "F2": "a scheduler is killed between a script and its answer",
    "F3": "a scheduler stands still and goes on",
    "F4": "a scheduler drains",
    "F5": "all schedulers are killed",
    "F6": "a node is killed in mid job",
    "F7": "a node falls silent",
    "F8": "a node stands still and comes back with its answer",
    "F9": "an answer is given several times",
    "F10": "an answer comes after its job has ended",
    "F11": "a job kills every node",
    "F12": "a node fails everything",
    "F13": "a node comes and goes",
    "F14": "half of the nodes die",
    "F15": "the store is killed and comes back",
    "F16": "the store loses the end of what it wrote",
    "F17": "the store comes back as it was before",
    "F18": "the store comes back empty",
    "F19": "the primary is moved",
    "F20": "the primary is killed",
    "F21": "the primary is cut off with a scheduler",
    "F22": "the primary stands still and goes on",
    "F23": "the store forgets its scripts",
    "F24": "answers of the store are lost",
    "F25": "the store is slow or away",
    "F26": "the store refuses to write",
    "F27": "a script runs away, a queue is huge",
    "F28": "messages between instances are lost",
    "F29": "a client is slow",
    "F30": "a client floods, or sends what is too large",
    "F31": "handshakes that never end",
    "F32": "everybody connects again at once",
    "F33": "clocks jump",
    "F34": "an operator is killed at every step",
    "F35": "the API server is silent, slow, or refuses",
    "F36": "two operators; a resource deleted without one",
    "F37": "a fleet shrinks while it works",
    "F38": "two versions side by side, up and down",
    "F39": "two schedulers can't reach each other",
    "F40": "descriptors, memory, disk or processor run out",
    "F41": "two or three of these at once, at random",
}
#: They are in the operator's suite and need the programs of a Kubernetes API server (setup/kubernetes).
OPERATORS: Final = frozenset({"F34", "F35", "F36", "F37"})
