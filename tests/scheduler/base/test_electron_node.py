"""Electron nodes that exist today work unchanged: what they leave out, say twice, or say about other jobs.

Such a node never acknowledges a job, refuses what it has seen before, may never answer a job at all, and takes no
``error`` (docs/protocol.md, Base nodes).
"""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest

from kit.base_node import LANGUAGES, SERVICES, AgentNode, empty, failure, keep_quiet, partial, result
from kit.base_page import Page, chunks_of
from kit.eventually import eventually
from kit.speech import spoken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kit.base_node import Message


@pytest.fixture(scope="module")
def sentence() -> list[bytes]:
    """Speak a sentence of some two seconds, as the chunks of a page."""
    return chunks_of(spoken("the train to the city leaves at nine"))


@pytest.fixture(scope="module")
def long_speech() -> list[bytes]:
    """Speak for twelve seconds: two pieces of one turn."""
    return chunks_of(spoken("the train to the city leaves at nine and it stops at every station " * 5)[: 12 * 16_000])


async def test_a_node_without_a_name_gets_one_and_keeps_it(scheduler: str) -> None:
    node = AgentNode(scheduler)
    await node.connect()
    ack = await node.register()
    assert ack["status"] in ("ready", "registering")
    assert ack["node_id"]
    assert set(ack) == {"type", "node_id", "message", "status"}
    await node.disconnect()
    await node.connect()
    # It beats before it registers, since it knows its name by now.
    await node.heartbeat()
    again = await node.register()
    assert again["node_id"] == ack["node_id"]
    assert node.all("error") == []
    await node.disconnect()


async def test_a_node_without_a_graphics_card_gets_jobs(scheduler: str, sentence: list[bytes]) -> None:
    # By its own word none of its types is ready: that is true only of services on a graphics card.
    async with AgentNode(scheduler) as node, Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        await page.event("translation_result")
        assert len(node.jobs) == 1


async def test_languages_may_come_with_the_first_heartbeat(scheduler: str, sentence: list[bytes]) -> None:
    node = AgentNode(scheduler)
    await node.connect()
    await node.register(language_capabilities=None, installed_services=None)
    await node.heartbeat(installed_models=None)
    async with Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        await page.event("translation_result")
    await node.disconnect()


async def test_stopped_services_take_a_node_out_and_running_ones_bring_it_back(
    scheduler: str, sentence: list[bytes]
) -> None:
    stopped = [service | {"status": "stopped"} for service in SERVICES]
    async with AgentNode(scheduler) as node, Page(scheduler) as page:
        await page.open()
        nothing: dict[str, Any] = {name: [] for name in LANGUAGES if name != "semantic_core_ready"}
        await node.heartbeat(installed_services=stopped, language_capabilities=nothing | {"semantic_core_ready": False})
        await page.say(sentence)
        assert (await page.event("missing_result"))["reason"] == "no_available_node"
        await node.heartbeat()
        await page.say(sentence)
        await page.event("translation_result")
        assert len(node.jobs) == 1


async def test_a_node_that_never_acknowledges_is_given_the_time_of_the_job(
    scheduler: str, sentence: list[bytes]
) -> None:
    async with AgentNode(scheduler, keep_quiet) as node, Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        job = await node.job()
        # An offer is taken back after 200 ms here, and looked for each half second.
        await asyncio.sleep(1.2)
        assert node.all("job_cancel") == []
        await node.say(result(job))
        await page.event("translation_result")
        assert job["attempt_id"] == 1


async def test_a_job_lost_before_its_first_word_is_done_by_another_node(scheduler: str, sentence: list[bytes]) -> None:
    async with AgentNode(scheduler, keep_quiet) as first, Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        job = await first.job()
        async with AgentNode(scheduler) as second:
            await first.disconnect()
            again = await second.job()
            assert (again["job_id"], again["audio"]) == (job["job_id"], job["audio"])
            assert again["attempt_id"] > job["attempt_id"]
            await page.event("translation_result")
            assert page.all("missing_result") == []


async def test_audio_goes_with_the_first_word_so_a_node_lost_after_it_costs_the_result(
    scheduler: str, sentence: list[bytes]
) -> None:
    async with AgentNode(scheduler, lambda job: [partial(job, "the train")]) as first, Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        await page.event("asr_partial")
        await first.disconnect()
        assert (await page.event("missing_result"))["reason"] == "node_lost"
        assert page.all("error") == []


@pytest.mark.parametrize("code", ["PROCESSING_ERROR", "NO_GPU_AVAILABLE", "SCHEDULER_DEPENDENCY_DOWN", "NOT_OURS"])
async def test_a_failed_attempt_goes_to_another_node(scheduler: str, sentence: list[bytes], code: str) -> None:
    def fail(job: Message) -> list[Message]:
        return [failure(job, code)]

    async with AgentNode(scheduler, fail) as failing, Page(scheduler) as page:
        await page.open()
        async with AgentNode(scheduler, fail) as other:
            await page.say(sentence)
            await eventually(lambda: failing.jobs and other.jobs)
            assert {failing.jobs[0]["job_id"]} == {other.jobs[0]["job_id"]}
            assert {failing.jobs[0]["attempt_id"], other.jobs[0]["attempt_id"]} == {1, 2}
        assert page.all("error") == []


async def test_a_node_that_refuses_what_it_has_seen_costs_no_result(scheduler: str, sentence: list[bytes]) -> None:
    refusing = AgentNode(scheduler, lambda job: [failure(job, message="DUPLICATE_UTTERANCE_INDEX: seen")])
    async with refusing, AgentNode(scheduler) as other, Page(scheduler) as page:
        await page.open()
        for count in range(1, 4):
            await page.say(sentence)
            await page.event("translation_result", nth=count)
        assert len(other.jobs) == 3
        assert page.all("error") == []


async def test_a_missing_model_takes_a_node_out_of_the_pair(scheduler: str, sentence: list[bytes]) -> None:
    lacking = AgentNode(scheduler, lambda job: [failure(job, "MODEL_NOT_AVAILABLE", "asr-x@1: not_installed")])
    async with lacking, AgentNode(scheduler) as other, Page(scheduler) as page:
        await page.open()
        for count in range(1, 5):
            await page.say(sentence)
            await page.event("translation_result", nth=count)
        assert len(other.jobs) == 4
        assert len(lacking.jobs) <= 1


async def test_a_piece_kept_for_a_later_one_ends_silently_with_it(scheduler: str, long_speech: list[bytes]) -> None:
    def answer(job: Message) -> list[Message]:
        return [] if job["is_max_duration_triggered"] else [result(job, text_translated="both pieces")]

    async with AgentNode(scheduler, answer) as node, Page(scheduler) as page:
        await page.open()
        await page.say(long_speech)
        second = await node.job(2)
        # The deadline of the first piece is seconds away: nobody waits for it.
        shown = await page.event("translation_result", within_s=3)
        assert shown["text_translated"] == "both pieces"
        assert shown["utterance_index"] == second["utterance_index"]
        assert page.all("missing_result") == []
        assert [event for event in page.all("ui_event") if event["event"] == "ERROR"] == []


async def test_a_job_that_is_never_answered_ends_at_its_deadline(scheduler: str, sentence: list[bytes]) -> None:
    async with AgentNode(scheduler, keep_quiet) as node, Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        job = await node.job()
        missing = await page.event("missing_result")
        assert missing["utterance_index"] == job["utterance_index"]
        assert page.all("error") == []


async def test_a_job_that_its_node_passed_over_holds_later_results_for_a_short_while_only(
    scheduler: str, sentence: list[bytes]
) -> None:
    # A node says nothing at all when a text is the same as the one before.
    async with AgentNode(scheduler, keep_quiet) as node, Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        job = await node.job()
        node.answer = lambda job: [result(job)]
        await page.say(sentence)
        assert (await page.event("translation_result"))["utterance_index"] > job["utterance_index"]
        assert page.all("missing_result") == [], "its deadline, seconds later, was not what ended it"
        assert page.all("error") == []


async def test_results_for_another_job_of_the_session_count_for_that_job(scheduler: str, sentence: list[bytes]) -> None:
    kept: list[Message] = []

    def answer(job: Message) -> Iterable[Message]:
        if not kept:
            kept.append(job)
            return []
        # The first job is answered with the second one's attempt and trace, after the second.
        first = {name: kept[0][name] for name in ("job_id", "utterance_index")}
        return [result(job), empty(job, "NO_TEXT_ASSIGNED") | first]

    async with AgentNode(scheduler, answer) as node, Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        await node.job(1)
        await page.say(sentence)
        # The deadline of the first job is seconds away: nobody waits for it.
        shown = await page.event("translation_result", within_s=3)
        assert shown["utterance_index"] == (await node.job(2))["utterance_index"]
        assert page.all("missing_result") == []


async def test_foreign_late_and_doubled_words_are_left_out_without_a_word(
    scheduler: str, sentence: list[bytes]
) -> None:
    async with AgentNode(scheduler) as node, Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        job = await node.job()
        await page.event("translation_result")
        await node.say(result(job))
        await node.say(partial(job, "too late"))
        await node.say(result(job, job_id="job-that-never-was"))
        await node.say({"type": "node_error", "node_id": node.node_id, "code": "NO_GPU_AVAILABLE", "message": "none"})
        await node.say({"type": "something_new", "node_id": node.node_id})
        await page.say(sentence)
        await page.event("translation_result", nth=2)
        assert len(page.all("translation_result")) == 2
        assert page.all("asr_partial") == []
        assert node.all("error") == []
        assert not node.closed


async def test_a_node_cannot_answer_for_another_one(scheduler: str, sentence: list[bytes]) -> None:
    async with AgentNode(scheduler, keep_quiet) as node, Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        job = await node.job()
        async with AgentNode(scheduler) as liar:
            await liar.say(result(job, text_translated="a lie", node_id=node.node_id))
            await liar.say(result(job, text_translated="a lie"))
            await node.say(result(job, text_translated="the truth"))
            assert (await page.event("translation_result"))["text_translated"] == "the truth"
            assert len(page.all("translation_result")) == 1
            assert liar.all("error") == []


async def test_twenty_seconds_of_speech_pass_as_a_result(scheduler: str, sentence: list[bytes]) -> None:
    speech = base64.b64encode(bytes(960_000)).decode()
    async with AgentNode(scheduler, lambda job: [result(job, tts_audio=speech, tts_format="opus")]) as node:
        async with Page(scheduler) as page:
            await page.open()
            await page.say(sentence)
            assert (await page.event("translation_result"))["tts_audio"] == speech
        assert not node.closed


async def test_a_turn_and_a_session_stay_on_one_node(scheduler: str, long_speech: list[bytes]) -> None:
    async with AgentNode(scheduler) as one, AgentNode(scheduler) as other, Page(scheduler) as page:
        await page.open()
        await page.say(long_speech)
        await page.event("translation_result", nth=2)
        assert sorted([len(one.jobs), len(other.jobs)]) == [0, 2]


async def test_a_job_has_no_field_that_only_extended_nodes_know(scheduler: str, sentence: list[bytes]) -> None:
    extended = {"audio_follows", "audio_sha256", "start_sample", "deadline_ms", "extensions"}
    async with AgentNode(scheduler) as node, Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        assert extended.isdisjoint(await node.job())


async def test_nulls_of_a_result_are_as_good_as_nothing(scheduler: str, sentence: list[bytes]) -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        ("extra", "group_id", "part_index", "node_completed_at_ms", "quality_score", "reason_codes", "rerun_count",
         "segments_meta", "asr_quality_level", "error")
    )  # fmt: skip
    async with AgentNode(scheduler, lambda job: [result(job, **nothing)]), Page(scheduler) as page:
        await page.open()
        await page.say(sentence)
        shown = await page.event("translation_result")
        assert shown["group_id"]
        assert shown["part_index"] == 0
