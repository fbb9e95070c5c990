"""What is owed to the user, and that no utterance has two outcomes."""

from __future__ import annotations

from lingua_client.ledger import Ledger


def test_a_finalize_is_owed_until_its_utterance_has_an_outcome() -> None:
    ledger = Ledger(reports=True)
    ledger.finalize_sent("f1")
    assert not ledger.settled
    ledger.finalized(7, "f1")
    assert ledger.owed == 1
    assert ledger.ended(7)
    assert ledger.settled


def test_a_finalize_of_silence_is_settled_by_its_skip() -> None:
    ledger = Ledger(reports=True)
    ledger.finalize_sent("f1")
    ledger.skipped("f1")
    assert ledger.settled


def test_a_second_outcome_of_an_utterance_is_refused() -> None:
    ledger = Ledger(reports=True)
    ledger.finalized(0, None)
    assert ledger.ended(0)
    assert not ledger.ended(0)
    assert ledger.settled


def test_an_outcome_that_overtakes_its_report_counts() -> None:
    ledger = Ledger(reports=True)
    assert ledger.ended(3)
    ledger.finalized(3, None)
    assert ledger.settled


def test_without_reports_each_finalize_expects_one_outcome() -> None:
    ledger = Ledger(reports=False)
    ledger.finalize_sent("a")
    ledger.finalize_sent("b")
    assert ledger.ended(1000)
    assert ledger.owed == 1
    assert not ledger.ended(1000)
    assert ledger.ended(1001)
    assert ledger.settled


def test_a_whole_utterance_is_owed_under_its_own_index() -> None:
    ledger = Ledger(reports=False)
    ledger.utterance_sent(5)
    assert not ledger.settled
    ledger.ended(5)
    assert ledger.settled
