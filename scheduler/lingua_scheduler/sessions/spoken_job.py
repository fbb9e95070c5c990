"""What the dispatcher tells about one utterance's job, on its way to those who tell the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lingua_wire.session_messages import UiEventName

if TYPE_CHECKING:
    from lingua_scheduler.sessions.spoken import Spoken
    from lingua_scheduler.sessions.teller import Teller
    from lingua_scheduler.sessions.utterances import Utterances
    from lingua_scheduler.work import JobView, Outcome
    from lingua_wire.node_messages import NodeAsrPartial


class SpokenJob:
    """What the dispatcher tells about the job of one utterance."""

    __slots__ = ("_spoken", "_teller", "_utterances")

    def __init__(self, utterances: Utterances, spoken: Spoken, teller: Teller) -> None:
        self._utterances = utterances
        self._spoken = spoken
        self._teller = teller

    @property
    def generation(self) -> int:
        """Tell in which generation the session is held here."""
        return self._utterances.generation

    def job_waiting(self, job: JobView) -> None:
        """Wait too: the client need not know."""

    def job_assigned(self, job: JobView) -> None:
        """Tell that a node was found."""
        del job
        self._teller.ui(self._spoken, UiEventName.DISPATCHED)

    def job_accepted(self, job: JobView, *, released: bool) -> None:
        """Tell that the node has it."""
        del job
        self._utterances.job_accepted(self._spoken, released=released)

    def job_partial(self, job: JobView, partial: NodeAsrPartial) -> None:
        """Tell what was heard so far, where partials are wanted."""
        del job
        if self._spoken.terms.partial_ms:
            self._utterances.job_partial(self._spoken, partial)

    def job_lost(self, job: JobView) -> None:
        """Note that another attempt begins."""
        del job
        self._utterances.job_lost(self._spoken)

    def job_ended(self, job: JobView, outcome: Outcome) -> None:
        """Hand the outcome over."""
        del job
        self._utterances.job_ended(self._spoken, outcome)
