"""The program as people start it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from kit.eventually import PATIENCE_S, eventually
from kit.processes import descendants, is_alive
from lingua_wire.audio import decode_base64

if TYPE_CHECKING:
    from pathlib import Path

    from kit.samples import Sample
    from kit.small_scheduler import SmallScheduler


async def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    process = await launch(*arguments, **environment)
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def launch(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", "lingua_node", *arguments]
    return await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env={**os.environ, **environment})


async def test_check_says_what_the_node_can_do_and_ends(sentences: Path, spanish_phrases: Path) -> None:
    files = ("--domain-sentences", str(sentences), "--phrasebook", str(spanish_phrases))
    code, out, _ = await run("--check", *files, "--languages", "en,es", "--max-jobs", "1")
    assert code == 0
    assert "en -> es: domain language model of" in out
    assert "es -> en: phrasebook of" in out


async def test_check_names_the_words_it_can_not_hear(tmp_path: Path) -> None:
    file = tmp_path / "sentences.txt"
    file.write_text("go forward\ngo to zzyzxq\n")
    code, out, _ = await run("--check", "--domain-sentences", str(file), "--languages", "en,es", "--max-jobs", "1")
    assert code == 0
    assert "zzyzxq" in out


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "words"),
    [
        (["--max-jobs", "none"], {}, 2, "LINGUA_NODE_MAX_JOBS"),
        (["--check", "--domain-sentences", "/nowhere"], {}, 1, "MODEL_NOT_AVAILABLE: /nowhere"),
        (["--check", "--languages", "fr"], {}, 1, "MODEL_NOT_AVAILABLE"),
        (["--check"], {"LINGUA_NODE_ASR": "faster-whisper"}, 1, "LINGUA_NODE_MODEL_DIR"),
    ],
)
async def test_what_is_wrong_is_said_in_a_line_without_a_traceback(
    arguments: list[str], environment: dict[str, str], code: int, words: str
) -> None:
    found, _, err = await run(*arguments, **environment)
    assert found == code
    assert words in err
    assert "Traceback" not in err


async def test_a_real_node_translates_a_real_recording_and_drains_on_sigterm(
    scheduler: SmallScheduler, english_samples: list[Sample], sentences: Path
) -> None:
    process = await launch(
        "--url", scheduler.url, "--domain-sentences", str(sentences), "--languages", "en,es", "--max-jobs", "1"
    )
    try:
        line = await scheduler.line()
        sample = english_samples[0]
        await line.assign(sample.pcm)
        await line.wait("job_started")
        process.send_signal(signal.SIGTERM)
        (result,) = await line.wait("job_result")
        assert result["text_asr"] == sample.text
        assert len(decode_base64(result["tts_audio"])) > 16_000
        async with asyncio.timeout(PATIENCE_S):
            _, err = await process.communicate()
        assert process.returncode == 0
        assert sample.text not in err.decode()
        assert "draining" in err.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_node_that_is_killed_leaves_no_process_behind(scheduler: SmallScheduler, sentences: Path) -> None:
    process = await launch(
        "--url", scheduler.url, "--domain-sentences", str(sentences), "--languages", "en,es", "--max-jobs", "1"
    )
    await scheduler.line()
    children = descendants(process.pid)
    assert len(children) > 5
    process.kill()
    await process.communicate()
    await eventually(lambda: not any(map(is_alive, children)))
