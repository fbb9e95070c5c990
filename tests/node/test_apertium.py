"""Real pipelines of Apertium."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from kit import processes
from kit.eventually import PATIENCE_S
from kit.processes import is_alive
from lingua_node.engines import apertium
from lingua_node.engines.apertium import ApertiumNmt, Pipeline
from lingua_node.engines.base import EngineError
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nmt() -> AsyncIterator[ApertiumNmt]:
    engine = ApertiumNmt(["en", "es", "ca"], {("en", "es"): "ca"})
    await engine.start()
    yield engine
    await engine.close()


@pytest.mark.parametrize(
    ("text", "src", "tgt", "wanted"),
    [
        ("where is the nearest hospital", "en", "ca", "on és l'hospital més proper"),
        ("¿Dónde está el hospital?", "es", "en", "Where it is the hospital?"),
        ("Buenos días.", "es", "en", "Good morning."),
        ("El tren llega a las ocho.", "es", "ca", "El tren arriba a les vuit."),
    ],
)
async def test_sentences_are_translated(nmt: ApertiumNmt, text: str, src: str, tgt: str, wanted: str) -> None:
    translation = await nmt.translate(text, src, tgt)
    assert (translation.text, translation.route) == (wanted, (src, tgt))


async def test_a_pivot_is_taken_where_it_was_asked_for(nmt: ApertiumNmt) -> None:
    translation = await nmt.translate("go somewhere and do something", "en", "es")
    assert translation.route == ("en", "ca", "es")
    assert translation.text == "ve en algún lugar y hacer algo"
    assert nmt.note("en", "es") == "pivot through ca"


@pytest.mark.parametrize(
    "text", ["a [b] ^c$ <d>{e} / \\ @x", "^*x/y$", "[<STREAMCMD>]", "\0", "", "  ", "\n\n", "*", "zzqqx"]
)
async def test_odd_texts_do_not_disturb_the_next_one(nmt: ApertiumNmt, text: str) -> None:
    odd = await nmt.translate(text, "es", "en")
    assert "\\" not in odd.text or "\\" in text
    assert (await nmt.translate("Buenos días.", "es", "en")).text == "Good morning."


async def test_many_at_once_get_each_its_own(nmt: ApertiumNmt) -> None:
    numbers = ["uno", "dos", "tres", "cuatro", "cinco"] * 20
    wanted = [(await nmt.translate(number, "es", "en")).text for number in numbers[:5]] * 20
    found = await asyncio.gather(*(nmt.translate(number, "es", "en") for number in numbers))
    assert [translation.text for translation in found] == wanted
    assert len(set(wanted)) == 5


async def test_a_warm_pipeline_takes_milliseconds(nmt: ApertiumNmt) -> None:
    times = []
    for _ in range(20):
        start = time.perf_counter()
        await nmt.translate("where is the nearest hospital", "en", "ca")
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05, "the best counts: a busy machine lets each of its eight programs wait"


async def test_a_long_text_passes(nmt: ApertiumNmt) -> None:
    translation = await nmt.translate("where is the hospital. " * 2000, "en", "ca")
    assert translation.text.lower().count("hospital") == 2000


async def test_a_pipeline_that_died_is_started_again_unseen(nmt: ApertiumNmt) -> None:
    pids = nmt.pids("es", "en")
    os.kill(pids[3], signal.SIGKILL)
    assert (await nmt.translate("Buenos días.", "es", "en")).text == "Good morning."
    assert set(nmt.pids("es", "en")).isdisjoint(pids)


async def test_a_stuck_pipeline_times_out_and_the_next_text_has_a_new_one(nmt: ApertiumNmt) -> None:
    pipeline = Pipeline(apertium.commands_of(apertium.MODES / "spa-cat.mode"), timeout_s=2.0)
    text, _ = apertium.prepare("Buenos días.")
    assert (await pipeline.translate(text, PATIENCE_S)).strip() == "Bon dia."
    processes.pause(pipeline.pids[0])
    with pytest.raises(EngineError) as raised:
        await pipeline.translate(text)
    assert raised.value.code is ErrorCode.NMT_TIMEOUT
    pipeline = Pipeline(apertium.commands_of(apertium.MODES / "spa-cat.mode"))
    assert (await pipeline.translate(text)).strip() == "Bon dia."
    await pipeline.close()


async def test_a_cancelled_translation_leaves_no_answer_for_the_next(nmt: ApertiumNmt) -> None:
    work = asyncio.create_task(nmt.translate("Buenos días.", "es", "ca"))
    await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (await nmt.translate("Hasta mañana.", "es", "ca")).text == "Fins demà."


async def test_every_process_ends_with_the_engine() -> None:
    engine = ApertiumNmt(["es", "ca"])
    await engine.start()
    pids = [*engine.pids("es", "ca"), *engine.pids("ca", "es")]
    await engine.close()
    await engine.close()
    assert not any(is_alive(pid) for pid in pids)


async def test_a_pair_it_does_not_have_is_an_error(nmt: ApertiumNmt) -> None:
    with pytest.raises(EngineError) as raised:
        await nmt.translate("hello", "en", "fr")
    assert raised.value.code is ErrorCode.MODEL_NOT_AVAILABLE


async def test_a_machine_without_apertium_is_told_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="apertium-eng-spa") as raised:
        await ApertiumNmt(["en", "es"], modes=tmp_path).start()
    assert raised.value.code is ErrorCode.MODEL_NOT_AVAILABLE


async def test_a_program_that_is_missing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "eng-spa.mode").write_text("cat | no-such-program-of-lingua | cat")
    with pytest.raises(EngineError) as raised:
        await ApertiumNmt(["en", "es"], modes=tmp_path).start()
    assert raised.value.code is ErrorCode.MODEL_LOAD_FAILED
