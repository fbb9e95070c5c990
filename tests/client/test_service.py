"""The command and the library against a whole real service, started by the command itself."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kit.eventually import eventually_sync
from lingua_client import Failed, Finalized, Partial, Result, SessionSettings, Skipped, connect, translate
from lingua_client.cli.exits import ExitCode
from lingua_client.cli.processes import processes_of
from lingua_client.errors import RefusedError, TranslationFailedError
from lingua_client.pacing import Pace
from lingua_client.sources import read_file

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
LINGUA = Path(sys.executable).with_name("lingua")
EXAMPLES = ROOT / "examples"
ENGLISH = EXAMPLES / "speech" / "go-forward.wav"
LONG = EXAMPLES / "speech" / "sense-and-sensibility-0920.wav"
SPANISH = EXAMPLES / "speech" / "es-donde-esta-la-estacion.wav"
MODELS = ("--domain", EXAMPLES / "domain" / "travel.txt", "--phrasebook", EXAMPLES / "phrasebook" / "es.txt")


@pytest.fixture(scope="module")
def service() -> Iterator[dict[str, Any]]:
    serving = subprocess.Popen(
        [LINGUA, "serve", "--json", "--port", "0", "--schedulers", "2", "--nodes", "2", *MODELS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LINGUA_NODE_LANGUAGES": "en,es,ca"},
    )
    assert serving.stdout is not None
    assert serving.stderr is not None
    line = serving.stdout.readline()
    assert line, serving.stderr.read()
    told = json.loads(line)
    yield told
    serving.send_signal(signal.SIGINT)
    _, errors = serving.communicate(timeout=60)
    assert serving.returncode == 0, errors
    assert eventually_sync(lambda: processes_of(told["mark"], set(told["pids"].values())) == [])


def lingua(service: dict[str, Any], *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LINGUA_URL": service["urls"][0]}
    return subprocess.run(
        [LINGUA, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        cwd=ROOT,
        check=False,
    )


def document(service: dict[str, Any], *arguments: object) -> dict[str, Any]:
    done = lingua(service, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def documented() -> list[str]:
    lines = (ROOT / "docs" / "client.md").read_text().splitlines()
    return [line.removeprefix("$ lingua ") for line in lines if line.startswith("$ lingua ")]


@pytest.fixture(scope="module")
def job_id(service: dict[str, Any]) -> str:
    (utterance,) = document(service, "translate", ENGLISH)["utterances"]
    return str(utterance["job_id"])


def test_a_recording_is_translated_with_its_speech(service: dict[str, Any], tmp_path: Path) -> None:
    told = document(service, "translate", ENGLISH, "--out", tmp_path / "out.wav")
    assert told["text"] == "go forward ten meters"
    assert "metros" in told["translation"]
    assert told["timings"]["total_ms"] > 0
    with wave.open(str(tmp_path / "out.wav")) as speech:
        assert speech.getnframes() / speech.getframerate() == pytest.approx(told["speech"]["ms"] / 1000, abs=0.01)
        assert speech.getnframes() / speech.getframerate() > 0.5


def test_people_see_what_was_heard_and_its_translation(service: dict[str, Any]) -> None:
    done = lingua(service, "translate", ENGLISH)
    assert done.returncode == 0, done.stderr
    assert "heard      go forward ten meters\n" in done.stdout
    assert "translated " in done.stdout
    assert "\x1b" not in done.stdout


def test_the_lists_have_their_documented_shapes(service: dict[str, Any], job_id: str) -> None:
    nodes = document(service, "nodes")["nodes"]
    assert {node["node_id"] for node in nodes} == {"node-1", "node-2"}
    assert {node["instance_id"] for node in nodes} == {"scheduler-1", "scheduler-2"}
    assert {"source": "en", "target": "es"} in [line["pair"] for line in document(service, "pairs")["pairs"]]
    assert sum(pool["nodes"] for pool in document(service, "pools")["pools"]) == 2
    assert job_id in [job["job_id"] for job in document(service, "jobs", "--limit", 50)["jobs"]]
    assert document(service, "job", job_id)["status"] == "completed"
    assert document(service, "explain", "--from", "en", "--to", "es")["chosen"] in {"node-1", "node-2"}
    assert isinstance(document(service, "sessions")["sessions"], list)


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        (["nodes"], ["node-1", "ready", "0/"]),
        (["pools"], ["everybody"]),
        (["pairs"], ["en -> es", "es -> en"]),
        (["jobs"], ["completed", "en -> es"]),
        (["explain"], ["en -> es: node-", "eligible"]),
        (["sessions"], []),
    ],
    ids=lambda value: value[0] if value else "nothing",
)
def test_the_lists_are_readable(service: dict[str, Any], job_id: str, command: list[str], wanted: list[str]) -> None:
    assert job_id
    done = lingua(service, *command)
    assert done.returncode == 0, done.stderr
    for words in wanted:
        assert words in done.stdout


def test_a_job_tells_its_node_and_why(service: dict[str, Any], job_id: str) -> None:
    shown = lingua(service, "job", job_id).stdout
    assert "completed" in shown
    assert "least loaded" in shown
    assert "ended +" in shown


def test_what_is_not_there_has_its_own_exit_code(service: dict[str, Any]) -> None:
    assert lingua(service, "job", "nosuchjob").returncode == ExitCode.NOT_FOUND
    refused = lingua(service, "translate", ENGLISH, "--from", "ja", "--to", "fr")
    assert refused.returncode == ExitCode.REFUSED
    assert "[PAIR_NOT_OFFERED]" in refused.stderr


@pytest.mark.parametrize("line", documented())
def test_the_command_lines_of_the_manual_run(service: dict[str, Any], job_id: str, line: str, tmp_path: Path) -> None:
    words = [job_id if word == "JOB" else word for word in shlex.split(line)]
    words = [str(tmp_path / word) if word.startswith("build/") else word for word in words]
    done = lingua(service, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_a_service_is_loaded_and_measured(service: dict[str, Any]) -> None:
    told = document(service, "bench", "--file", ENGLISH, "--sessions", 2, "--rounds", 2)
    assert told["results"] == 4
    assert 0 < told["wait_p50_ms"] <= told["wait_p99_ms"]


async def test_one_shot_translation_of_a_real_recording(service: dict[str, Any]) -> None:
    result = await translate(service["urls"][1], ENGLISH, "en", "es")
    assert result.text == "go forward ten meters"
    assert result.speech_ms > 500
    assert result.node_id in {"node-1", "node-2"}


@pytest.mark.parametrize("extensions", [(), ("finalize_reports",), ("binary_audio", "audio_ack", "finalize_reports")])
async def test_every_set_of_extensions_gets_the_same_translation(
    service: dict[str, Any], extensions: tuple[str, ...]
) -> None:
    async with connect(service["urls"][0], source="en", target="es", extensions=extensions) as session:
        assert session.extensions == set(extensions)
        events = [event async for event in session.translate(ENGLISH, pace=Pace.FAST)]
    (result,) = [event for event in events if isinstance(event, Result)]
    assert result.text == "go forward ten meters"
    assert result.speech_ms > 500


async def test_partials_grow_while_it_is_recognised(service: dict[str, Any]) -> None:
    settings = SessionSettings(partial_interval_ms=20)
    async with connect(service["urls"][0], source="en", target="es", settings=settings) as session:
        events = [event async for event in session.translate(LONG, pace=Pace.FAST)]
    partials = [event.text for event in events if isinstance(event, Partial)]
    assert partials
    assert partials[-1].split()[0] == "had"


async def test_silence_is_skipped_and_owes_nothing(service: dict[str, Any]) -> None:
    async with connect(service["urls"][0], source="en", target="es") as session:
        events = [event async for event in session.translate(bytes(64_000), pace=Pace.FAST)]
    assert Skipped("no_speech") in events
    with pytest.raises(TranslationFailedError):
        await translate(service["urls"][0], bytes(64_000), "en", "es")


async def test_two_people_are_told_apart(service: dict[str, Any]) -> None:
    heard = []
    async with connect(service["urls"][0], source="en", target="es", mode="two_way_auto") as session:
        for file in (SPANISH, ENGLISH):
            await session.stream(file, pace=Pace.FAST)
            async for event in session:
                if isinstance(event, Result):
                    heard.append((event.source, event.target))
                    break
    assert heard == [("es", "en"), ("en", "es")]


async def test_a_pair_nobody_offers_is_refused(service: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as refused:
        async with connect(service["urls"][0], source="ja", target="fr"):
            pass
    assert refused.value.code == "PAIR_NOT_OFFERED"


async def test_a_changed_target_counts_from_the_next_utterance(service: dict[str, Any]) -> None:
    heard = []
    async with connect(service["urls"][0], source="en", target="es") as session:
        for target in ("es", "ca"):
            await session.change(target=target)
            await session.stream(ENGLISH, pace=Pace.FAST)
            async for event in session:
                if isinstance(event, Result):
                    heard.append(event.translation)
                    break
    assert heard[0] != heard[1]


async def test_long_speech_is_cut_reported_and_all_of_it_translated(service: dict[str, Any]) -> None:
    pcm = read_file(LONG)
    async with connect(service["urls"][0], source="en", target="es") as session:
        events = [event async for event in session.translate(pcm * 2, pace=Pace.FAST)]
    cuts = [event for event in events if isinstance(event, Finalized)]
    assert len(cuts) >= 2
    assert not [event for event in events if isinstance(event, Failed)]
    words = " ".join(event.text for event in events if isinstance(event, Result)).split()
    assert words.count("amiable") == 2


@pytest.mark.parametrize("example", ["translate_file.py", "live_captions.py"])
def test_the_examples_run(service: dict[str, Any], example: str, tmp_path: Path) -> None:
    program = EXAMPLES / "python" / example
    done = subprocess.run(
        [sys.executable, program, service["urls"][0], ENGLISH, "en", "es"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "go forward ten meters" in done.stdout


def test_the_interpreter_example_runs(service: dict[str, Any]) -> None:
    program = EXAMPLES / "python" / "interpreter.py"
    arguments = [service["urls"][0], "en", "es", SPANISH, ENGLISH]
    done = subprocess.run(
        [sys.executable, program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "[es] " in done.stdout
    assert "[en] go forward ten meters" in done.stdout
