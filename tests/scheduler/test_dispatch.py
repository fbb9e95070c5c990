"""The owner of jobs on a real store: one outcome for each job, whatever is lost, late or said twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from kit.eventually import eventually
from kit.redis_servers import VALKEY, start_server
from kit.state import begin, can, due_now, join, unique
from lingua_scheduler.carrier import Carrier
from lingua_scheduler.dispatch import Dispatcher
from lingua_scheduler.metrics import Metrics
from lingua_scheduler.settings import SchedulerSettings
from lingua_scheduler.work import Delivery, Done, Failed, Refusal, Said, Work
from lingua_state import dispatch, jobs, nodes, sweep
from lingua_state.client import RedisSettings, Store, open_store
from lingua_state.models import Assigned, DispatchRequest, JobStatus, LostJob, Pair
from lingua_state.runner import Scripts
from lingua_wire.codes import ErrorCode
from lingua_wire.node_messages import JobAck, JobError, JobResult, NodeAsrPartial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from kit.redis_servers import Server
    from lingua_scheduler.job import Job
    from lingua_scheduler.work import JobView, Outcome, Recall
    from lingua_state.models import Swept
    from lingua_state.multiplexed import Word

HERE = "s1"
AUDIO = b"sound" * 100


class NodeSide:
    """Stands where the sockets of nodes are."""

    def __init__(self) -> None:
        self.delivered: list[Delivery] = []
        self.recalled: list[Recall] = []
        self.refuse: str | None = None

    def deliver(self, delivery: Delivery) -> str | None:
        if self.refuse:
            reason, self.refuse = self.refuse, None
            return reason
        self.delivered.append(delivery)
        return None

    def recall(self, recall: Recall) -> None:
        self.recalled.append(recall)


class NoPeers:
    """Reaches nobody, and knows it of ``cut_off``."""

    def __init__(self) -> None:
        self.cut_off: tuple[str, ...] = ()

    def send(self, instance_id: str, item: object) -> bool:
        del instance_id, item
        return False

    def unreachable(self) -> tuple[str, ...]:
        return self.cut_off


class Asker:
    """Keeps what it is told."""

    def __init__(self, generation: int = 0) -> None:
        self.told: list[str] = []
        self.outcome: Outcome | None = None
        self.generation = generation

    def job_waiting(self, job: JobView) -> None:
        self.told.append("waiting")

    def job_assigned(self, job: JobView) -> None:
        self.told.append("assigned")

    def job_accepted(self, job: JobView, *, released: bool) -> None:
        self.told.append("released" if released else "accepted")

    def job_partial(self, job: JobView, partial: NodeAsrPartial) -> None:
        self.told.append("partial")

    def job_lost(self, job: JobView) -> None:
        self.told.append("lost")

    def job_ended(self, job: JobView, outcome: Outcome) -> None:
        assert self.outcome is None, "a job has one outcome"
        self.outcome = outcome


class Rig:
    """A dispatcher on a store, with both its sides at hand."""

    def __init__(self, store: Store, **settings: Any) -> None:
        self.store = store
        self.metrics = Metrics()
        self.nodes = NodeSide()
        self.carrier = Carrier(HERE)
        chosen = SchedulerSettings.model_validate({"job": {"wait_ms": 2_000, **settings.pop("job", {})}, **settings})
        self.dispatcher = Dispatcher(store, chosen, self.carrier, self.metrics)
        self.peers = NoPeers()
        self.carrier.connect(self.dispatcher, self.nodes, self.peers)

    def start(self, **changes: Any) -> tuple[Job, Asker]:
        asker = Asker()
        return self.dispatcher.start(work(**changes), asker), asker

    async def delivered(self, count: int = 1) -> Delivery:
        await eventually(lambda: len(self.nodes.delivered) >= count, what=f"delivery {count}")
        return self.nodes.delivered[count - 1]

    def say(self, delivery: Delivery, word: Any, **changes: Any) -> None:
        said = Said(delivery.job_id, delivery.attempt_id, delivery.node_id, delivery.incarnation, word)
        self.dispatcher.on_said(replace(said, **changes))

    async def ended(self, asker: Asker) -> Outcome:
        await eventually(lambda: asker.outcome is not None, what="the outcome")
        assert asker.outcome is not None
        return asker.outcome


def work(**changes: Any) -> Work:
    job_id = unique("job")
    fields: dict[str, Any] = {
        "job_id": job_id,
        "session_id": unique("session"),
        "owner": HERE,
        "pair": Pair("en", "es"),
        "utterance_index": 0,
        "turn_id": unique("turn"),
        "wait_ms": 2_000,
        "audio_ms": 1_000,
    }
    request = DispatchRequest(**(fields | changes))
    return Work(request, {"job_id": request.job_id, "session_id": request.session_id, "utterance_index": 0}, AUDIO)


def names(delivery: Delivery) -> dict[str, Any]:
    return {
        "job_id": delivery.job_id,
        "attempt_id": delivery.attempt_id,
        "node_id": delivery.node_id,
        "session_id": delivery.head["session_id"],
        "trace_id": "t",
    }


def ack(delivery: Delivery) -> JobAck:
    return JobAck(**names(delivery))


def result(delivery: Delivery, **changes: Any) -> JobResult:
    said: dict[str, Any] = {"utterance_index": 0, "success": True, "text_asr": "hello", "text_translated": "hola"}
    return JobResult(**names(delivery), **(said | changes))


def failure(delivery: Delivery, code: str) -> JobResult:
    return result(delivery, success=False, error=JobError(code=code, message="it failed"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = start_server(VALKEY, tmp_path_factory.mktemp("dispatch"))
    yield started
    started.process.stop()


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    server.flush()
    opened = await open_store(RedisSettings(url=server.url))
    yield opened
    await opened.close()


@pytest.fixture
async def rig(store: Store) -> AsyncIterator[Rig]:
    made = Rig(store)
    yield made
    await made.dispatcher.close()


async def load_of(store: Store, node_id: str) -> int:
    node = await nodes.get(store, node_id)
    assert node is not None
    return node.load


async def test_a_job_goes_to_a_node_with_its_audio_and_ends_with_its_result(rig: Rig) -> None:
    await join(rig.store, "n1")
    job, asker = rig.start()
    delivery = await rig.delivered()
    assert (delivery.audio, delivery.node_id, delivery.attempt_id) == (AUDIO, "n1", 1)
    rig.say(delivery, result(delivery))
    done = await rig.ended(asker)
    assert isinstance(done, Done)
    assert asker.told == ["assigned"]
    record = await jobs.get(rig.store, job.job_id)
    assert record is not None
    assert record.status is JobStatus.COMPLETED
    assert await load_of(rig.store, "n1") == 0
    assert len(rig.dispatcher) == 0


async def test_the_audio_is_gone_with_the_first_word_of_the_node(rig: Rig) -> None:
    await join(rig.store, "n1")
    job, asker = rig.start()
    delivery = await rig.delivered()
    rig.say(delivery, ack(delivery))
    assert asker.told == ["assigned", "released"]
    assert job.audio is None
    assert job.work.audio == b""


async def test_audio_is_kept_until_the_result_where_that_is_set(store: Store) -> None:
    rig = Rig(store, audio={"release": "result"})
    await join(store, "n1")
    job, asker = rig.start()
    delivery = await rig.delivered()
    rig.say(delivery, ack(delivery))
    assert (job.audio, asker.told) == (AUDIO, ["assigned", "accepted"])
    await rig.dispatcher.close()


async def test_a_lost_attempt_goes_elsewhere_once_though_it_is_told_twice(rig: Rig) -> None:
    await join(rig.store, "n1")
    await join(rig.store, "n2")
    _, asker = rig.start()
    first = await rig.delivered()
    lost = LostJob(first.job_id, "s", HERE, 1, first.node_id, JobStatus.DISPATCHED, "node_lost")
    rig.carrier.tell([lost, lost])
    second = await rig.delivered(2)
    assert (second.attempt_id, second.node_id != first.node_id, second.audio) == (2, True, AUDIO)
    rig.carrier.tell([lost])
    rig.say(second, result(second))
    assert isinstance(await rig.ended(asker), Done)
    assert asker.told == ["assigned", "lost", "assigned"]
    assert len(rig.nodes.delivered) == 2


async def test_a_refused_delivery_is_the_next_attempt_at_once(rig: Rig) -> None:
    await join(rig.store, "n1")
    await join(rig.store, "n2")
    rig.nodes.refuse = "node_gone"
    rig.start()
    assert (await rig.delivered()).attempt_id == 2


async def test_a_peer_that_is_not_reached_costs_an_attempt_and_not_the_job(rig: Rig) -> None:
    await join(rig.store, "far", instance_id="s2")
    rig.start()
    await eventually(lambda: rig.metrics.attempts_lost.of("peer_unreachable")._value.get() == 1)
    await join(rig.store, "near")
    rig.dispatcher.check_all()
    assert (await rig.delivered()).node_id == "near"


async def test_a_job_that_waits_has_the_nodes_of_an_instance_again_when_it_is_reached(rig: Rig) -> None:
    await join(rig.store, "far", instance_id="s2")
    rig.peers.cut_off = ("s2", "s3")
    job, asker = rig.start()
    await eventually(lambda: asker.told == ["waiting"])
    rig.dispatcher.tick()
    assert len(job.avoided) == 2
    rig.peers.cut_off = ("s3",)
    rig.dispatcher.tick()
    await eventually(lambda: "assigned" in asker.told, what="it has the node beyond")
    assert "@s2" not in job.avoided


async def test_a_refusal_of_an_older_attempt_changes_nothing(rig: Rig) -> None:
    await join(rig.store, "n1")
    _, asker = rig.start()
    delivery = await rig.delivered()
    rig.dispatcher.on_refusal(Refusal(delivery.job_id, 0, "node_gone"))
    rig.say(delivery, result(delivery))
    assert isinstance(await rig.ended(asker), Done)
    assert asker.told == ["assigned"]


async def test_a_late_result_of_an_older_attempt_changes_nothing(rig: Rig) -> None:
    await join(rig.store, "n1")
    await join(rig.store, "n2")
    _, asker = rig.start()
    first = await rig.delivered()
    rig.carrier.tell([LostJob(first.job_id, "s", HERE, 1, first.node_id, JobStatus.DISPATCHED, "offer_timeout")])
    second = await rig.delivered(2)
    rig.say(first, result(first, text_translated="late"))
    rig.say(second, result(second))
    done = await rig.ended(asker)
    assert isinstance(done, Done)
    assert done.result is not None
    assert done.result.text_translated == "hola"
    assert rig.metrics.results_rejected.of("stale_attempt")._value.get() == 1


async def test_a_late_word_of_an_older_attempt_does_not_let_the_audio_go(rig: Rig) -> None:
    await join(rig.store, "n1")
    await join(rig.store, "n2")
    job, asker = rig.start()
    first = await rig.delivered()
    rig.carrier.tell([LostJob(first.job_id, "s", HERE, 1, first.node_id, JobStatus.DISPATCHED, "offer_timeout")])
    second = await rig.delivered(2)
    rig.say(first, ack(first))
    assert (job.audio, asker.told) == (AUDIO, ["assigned", "lost", "assigned"])
    rig.say(second, ack(second))
    assert (job.audio, asker.told[-1]) == (None, "released")


async def test_a_second_result_is_counted_and_dropped(rig: Rig) -> None:
    await join(rig.store, "n1")
    _, asker = rig.start()
    delivery = await rig.delivered()
    rig.say(delivery, result(delivery))
    rig.say(delivery, result(delivery))
    await rig.ended(asker)
    rig.say(delivery, result(delivery))
    assert rig.metrics.results_rejected.of("duplicate")._value.get() == 1
    assert rig.metrics.results_rejected.of("late")._value.get() == 1


async def test_a_failure_before_the_acknowledgement_is_tried_elsewhere(rig: Rig) -> None:
    await join(rig.store, "n1")
    await join(rig.store, "n2")
    _, asker = rig.start()
    first = await rig.delivered()
    rig.say(first, failure(first, "PROCESSING_ERROR"))
    second = await rig.delivered(2)
    assert second.node_id != first.node_id
    rig.say(second, result(second))
    assert isinstance(await rig.ended(asker), Done)


async def test_when_every_attempt_failed_the_client_reads_why_the_last_one_did(rig: Rig) -> None:
    for number in range(3):
        await join(rig.store, f"n{number}")
    _, asker = rig.start()
    for count in (1, 2, 3):
        delivery = await rig.delivered(count)
        rig.say(delivery, failure(delivery, "MODEL_LOAD_FAILED"))
    failed = await rig.ended(asker)
    assert isinstance(failed, Failed)
    assert failed.code in (ErrorCode.MODEL_LOAD_FAILED, ErrorCode.PROCESSING_ERROR)


async def test_a_node_lost_after_the_acknowledgement_leaves_audio_to_be_asked_for(rig: Rig) -> None:
    await join(rig.store, "n1")
    _, asker = rig.start()
    delivery = await rig.delivered()
    rig.say(delivery, ack(delivery))
    rig.carrier.tell([LostJob(delivery.job_id, "s", HERE, 1, "n1", JobStatus.ACCEPTED, "node_lost")])
    failed = await rig.ended(asker)
    assert failed == Failed(ErrorCode.NODE_UNAVAILABLE, "its audio is not held here any more", audio_lost=True)


async def test_a_missing_model_takes_the_node_out_of_that_pair_alone(rig: Rig) -> None:
    await join(rig.store, "n1", can("en", "es ca"))
    _, asker = rig.start()
    delivery = await rig.delivered()
    rig.say(delivery, failure(delivery, "MODEL_NOT_AVAILABLE"))
    await eventually(lambda: asker.told[-1] == "waiting")
    _, other = rig.start(pair=Pair("en", "ca"))
    again = await rig.delivered(2)
    rig.say(again, result(again))
    assert isinstance(await rig.ended(other), Done)


async def test_an_assignment_whose_notice_was_lost_is_found_by_asking(rig: Rig) -> None:
    _, asker = rig.start()
    await eventually(lambda: asker.told == ["waiting"])
    await join(rig.store, "n1")  # its answer holds the assignment; here it is told to nobody
    assert rig.nodes.delivered == []
    rig.dispatcher.check_all()
    assert (await rig.delivered()).audio == AUDIO


async def test_a_job_the_store_forgot_begins_again_under_its_own_id(rig: Rig, server: Server) -> None:
    await join(rig.store, "n1")
    _, asker = rig.start()
    first = await rig.delivered()
    server.flush()
    await join(rig.store, "n1")
    rig.dispatcher.check_all()
    again = await rig.delivered(2)
    assert (again.job_id, again.attempt_id) == (first.job_id, 1)
    rig.say(again, result(again))
    assert isinstance(await rig.ended(asker), Done)


async def test_a_result_that_is_there_is_given_though_the_store_forgot_its_job(rig: Rig, server: Server) -> None:
    await join(rig.store, "n1")
    _, asker = rig.start()
    delivery = await rig.delivered()
    rig.say(delivery, ack(delivery))
    server.flush()
    rig.say(delivery, result(delivery))
    assert isinstance(await rig.ended(asker), Done)


async def test_a_session_that_went_on_elsewhere_gets_no_job_here(rig: Rig) -> None:
    await join(rig.store, "n1")
    session_id = await begin(rig.store)
    await begin(rig.store, session_id)
    asker = Asker(generation=1)
    job = rig.dispatcher.start(work(session_id=session_id), asker)
    failed = await rig.ended(asker)
    assert isinstance(failed, Failed)
    assert (failed.code, failed.audio_lost, asker.told) == (ErrorCode.SESSION_REPLACED, True, [])
    assert await jobs.get(rig.store, job.job_id) is None
    assert len(rig.dispatcher) == 0
    assert rig.metrics.sessions_fenced.of("dispatch")._value.get() == 1


async def test_a_session_that_was_resumed_here_meanwhile_gets_its_job(rig: Rig) -> None:
    await join(rig.store, "n1")
    session_id = await begin(rig.store)
    await begin(rig.store, session_id)
    rig.dispatcher.start(work(session_id=session_id, generation=1), Asker(generation=2))
    assert (await rig.delivered()).attempt_id == 1


async def end_for_want_of_an_owner(store: Store, job_id: str) -> Swept:
    """Let the attempt's time run out, and then that of the owner, who hears of neither."""
    await due_now(store, job_id)
    await sweep.sweep(store)
    await due_now(store, job_id)
    return await sweep.sweep(store)


@pytest.mark.parametrize("told", [True, False])
async def test_a_job_that_the_store_ended_for_want_of_its_owner_may_be_begun_anew(rig: Rig, told: bool) -> None:
    await join(rig.store, "n1")
    job, asker = rig.start()
    await rig.delivered()
    swept = await end_for_want_of_an_owner(rig.store, job.job_id)
    if told:
        rig.carrier.tell(swept.ended)
    else:
        rig.dispatcher.check_all()
    failed = await rig.ended(asker)
    assert isinstance(failed, Failed)
    assert (failed.code, failed.unowned) == (ErrorCode.JOB_TIMEOUT, True)


async def test_a_job_whose_last_attempt_failed_is_not_begun_anew(rig: Rig) -> None:
    await join(rig.store, "n1")
    job, asker = rig.start(max_attempts=1)
    await rig.delivered()
    rig.carrier.tell((await end_for_want_of_an_owner(rig.store, job.job_id)).ended)
    failed = await rig.ended(asker)
    assert isinstance(failed, Failed)
    assert not failed.unowned


async def test_a_job_that_somebody_cancelled_is_not_begun_anew(rig: Rig) -> None:
    await join(rig.store, "n1")
    job, asker = rig.start()
    await rig.delivered()
    assert await rig.dispatcher.cancel_by_id(job.job_id)
    failed = await rig.ended(asker)
    assert isinstance(failed, Failed)
    assert (failed.code, failed.unowned) == (ErrorCode.JOB_CANCELLED, False)


async def test_a_job_of_an_instance_that_seems_dead_may_be_begun_anew_by_one_that_only_slept(rig: Rig) -> None:
    await join(rig.store, "n1")
    job, asker = rig.start()
    await rig.delivered()
    assert await rig.dispatcher.end_unowned(job.job_id)
    failed = await rig.ended(asker)
    assert isinstance(failed, Failed)
    assert (failed.code, failed.unowned) == (ErrorCode.WS_DISCONNECTED, True)


class LateScripts(Scripts):
    """The scripts; the answers about the ends of jobs come when ``go_on`` is set, as where replicas are waited for."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.policy)
        self.done, self.go_on = asyncio.Event(), asyncio.Event()

    async def run(
        self, name: str, keys: Sequence[str], args: Sequence[Word] = (), *, surely: bool = False
    ) -> list[Any]:
        answer = await super().run(name, keys, args, surely=surely)
        if name == "update_job_status" and surely:
            self.done.set()
            await self.go_on.wait()
        return answer


async def test_a_result_of_which_replicas_are_awaited_is_not_taken_for_an_end_by_others(store: Store) -> None:
    late = LateScripts(store)
    rig = Rig(replace(store, scripts=late))
    await join(store, "n1")
    job, asker = rig.start()
    delivery = await rig.delivered()
    rig.say(delivery, result(delivery))
    await late.done.wait()
    record = await jobs.get(store, job.job_id)
    assert record is not None
    assert record.status is JobStatus.COMPLETED
    await rig.dispatcher._check(job)
    assert asker.outcome is None
    late.go_on.set()
    assert isinstance(await rig.ended(asker), Done)
    await rig.dispatcher.close()


async def test_a_job_that_was_lost_before_its_owner_knew_of_it_goes_elsewhere_at_once(rig: Rig) -> None:
    await join(rig.store, "n1")
    await join(rig.store, "n2")
    begun = work()
    unheard = await dispatch.dispatch(rig.store, begun.request)
    assert isinstance(unheard, Assigned)
    await due_now(rig.store, begun.job_id)
    assert [lost.attempt_id for lost in (await sweep.sweep(rig.store)).lost] == [1]
    asker = Asker()
    rig.dispatcher.start(begun, asker)
    again = await rig.delivered()
    assert (again.job_id, again.attempt_id, again.audio) == (begun.job_id, 2, AUDIO)
    rig.say(again, result(again))
    assert isinstance(await rig.ended(asker), Done)


async def test_a_cancelled_job_leaves_no_slot_taken_even_while_it_is_dispatched(rig: Rig) -> None:
    await join(rig.store, "n1")
    in_flight, silent = rig.start()
    rig.dispatcher.cancel(in_flight)
    placed, quiet = rig.start()
    await eventually(lambda: placed.assigned is not None)
    rig.dispatcher.cancel(placed, "session_closed")
    assert rig.nodes.recalled[-1].reason == "session_closed"

    async def free() -> bool:
        return await load_of(rig.store, "n1") == 0

    await eventually(free, what="both slots are free")
    assert (silent.outcome, quiet.outcome) == (None, None)
    for job in (in_flight, placed):
        record = await jobs.get(rig.store, job.job_id)
        assert record is None or record.status is JobStatus.CANCELLED


async def test_a_job_that_nobody_here_knows_is_ended_and_its_slot_freed(rig: Rig) -> None:
    await join(rig.store, "n1")
    other = Rig(rig.store)
    job, _ = other.start()
    delivery = await other.delivered()
    rig.carrier.tell([LostJob(job.job_id, "s", HERE, 1, delivery.node_id, JobStatus.DISPATCHED, "node_lost")])

    async def over() -> bool:
        record = await jobs.get(rig.store, job.job_id)
        return record is not None and record.status is JobStatus.FAILED

    await eventually(over)
    assert await load_of(rig.store, "n1") == 0
    await other.dispatcher.close()


async def test_a_silent_job_of_a_base_node_ends_with_the_next_one_of_its_turn(rig: Rig) -> None:
    await join(rig.store, "n1", capacity=2)
    turn = {"turn_id": "turn", "session_id": "session"}
    kept, silent = rig.start(**turn, utterance_index=0)
    await rig.delivered(1)
    _, spoken = rig.start(**turn, utterance_index=1)
    second = await rig.delivered(2)
    rig.say(second, result(second))
    assert await rig.ended(spoken) is not None
    assert await rig.ended(silent) == Done(None, None, "n1")
    record = await jobs.get(rig.store, kept.job_id)
    assert record is not None
    assert record.status is JobStatus.COMPLETED_NO_TEXT


async def test_more_unfinished_jobs_than_may_be_are_refused(store: Store) -> None:
    rig = Rig(store, job={"kept": 1})
    rig.start()
    with pytest.raises(Exception, match="too many unfinished jobs"):
        rig.start()
    await rig.dispatcher.close()


async def test_with_the_store_away_work_gets_a_typed_error_and_results_still_arrive(tmp_path: Path) -> None:
    server = start_server(VALKEY, tmp_path)
    store = await open_store(RedisSettings(url=server.url, retry_budget_ms=200))
    rig = Rig(store)
    await join(store, "n1", capacity=2)
    _, before = rig.start()
    delivery = await rig.delivered()
    server.process.stop()
    _, after = rig.start()
    failed = await rig.ended(after)
    assert isinstance(failed, Failed)
    assert failed.code is ErrorCode.STORE_UNAVAILABLE
    rig.dispatcher.check_all()
    rig.say(delivery, result(delivery))
    assert isinstance(await rig.ended(before), Done)
    await rig.dispatcher.close()
    await store.close()


async def test_audio_that_was_lost_while_the_store_is_away_can_be_asked_for_again(tmp_path: Path) -> None:
    server = start_server(VALKEY, tmp_path)
    store = await open_store(RedisSettings(url=server.url, timeout_ms=200, retry_budget_ms=200))
    rig = Rig(store)
    await join(store, "n1", capacity=2)
    askers = {job.job_id: asker for job, asker in (rig.start(), rig.start())}
    gone, bad = await rig.delivered(1), await rig.delivered(2)
    for delivery in (gone, bad):
        rig.say(delivery, ack(delivery))
    server.process.stop()
    rig.carrier.tell([LostJob(gone.job_id, "s", HERE, 1, "n1", JobStatus.ACCEPTED, "node_lost")])
    rig.say(bad, failure(bad, "PROCESSING_ERROR"))
    for delivery, code in ((gone, ErrorCode.NODE_UNAVAILABLE), (bad, ErrorCode.PROCESSING_ERROR)):
        failed = await rig.ended(askers[delivery.job_id])
        assert isinstance(failed, Failed)
        assert (failed.code, failed.audio_lost) == (code, True)
    await rig.dispatcher.close()
    await store.close()
