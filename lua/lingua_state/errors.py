"""What can go wrong with state, as one family. Refusals name the script's outcome in ``code``."""

from __future__ import annotations

from typing import ClassVar


class StateError(Exception):
    """A refusal of the store, or trouble in reaching it. ``code`` is a stable word, the message is for people."""

    code: ClassVar[str] = "state_error"

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.code)
        self.message = message or self.code


class StoreUnavailable(StateError):
    """Redis could not be reached within the retry budget. The call may or may not have had its effect."""

    code = "store_unavailable"


class OutcomeUnknown(StoreUnavailable):
    """It was done, but too few replicas had it within the retry budget: if the primary is lost now, so may it be."""

    code = "outcome_unknown"


class StoreRefused(StateError):
    """Redis answered but refused, and kept refusing within the retry budget: out of memory, read only, loading..."""

    code = "store_refused"


class StoreFault(StateError):
    """Redis reported an error that a correct script and server never give: a bug or a wrong server."""

    code = "store_fault"


class SessionReplaced(StateError):
    """A later attach holds the session."""

    code = "replaced"


class SessionMissing(StateError):
    """The session was closed, or nobody resumed it in time."""

    code = "session_missing"


class TokenRefused(StateError):
    """The resume token is not the session's, or was used before."""

    code = "refused"


class ForeignSession(StateError):
    """The session belongs to another tenant. Outside, say the same as for a session that does not exist."""

    code = "foreign"


class QueueFull(StateError):
    """As many jobs as may wait for the same do so already; nothing was written."""

    code = "queue_full"


class NoNode(StateError):
    """No node is free and the caller would not wait; nothing was written."""

    code = "no_available_node"


class JobMissing(StateError):
    """There is no such job, or not any more."""

    code = "missing"


class StaleAttempt(StateError):
    """The job has had no such attempt."""

    code = "stale_attempt"


class StaleGeneration(StateError):
    """A later generation of the node's declaration was applied; nothing was changed."""

    code = "stale_generation"


class NodeIdTaken(StateError):
    """Another resource holds the node id; nothing was changed. ``uid`` is its."""

    code = "taken"

    def __init__(self, node_id: str, uid: str) -> None:
        super().__init__(f"{node_id} is held by the resource {uid}")
        self.uid = uid


class Redeclared(StateError):
    """The node's declaration is not the one that was read: read it again. Nothing was changed."""

    code = "redeclared"


class DeclarationApart(StateError):
    """Nothing that a node's process can do is in its declaration; the message says what either names."""

    code = "declaration_apart"


class ClassesRefused(StateError):
    """The capability is new, and too many are known or its node brought too many lately; nothing was changed."""

    code = "classes_refused"


class PairingCodeWrong(StateError):
    """No class of nodes has this pairing code."""

    code = "pairing_code_wrong"


class GuessesUsedUp(StateError):
    """Too many wrong pairing codes came from the same asker; this one was not looked at."""

    code = "guesses_used_up"
