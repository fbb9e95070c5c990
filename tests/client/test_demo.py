"""The demo as people run it: it proves what it shows, ends by itself, and leaves nothing running, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from lingua_client.cli.processes import processes_of

LINGUA = Path(sys.executable).with_name("lingua")
ROOT = Path(__file__).resolve().parents[2]
MARK = "LINGUA_TEST_DEMO"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def start(mark: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [LINGUA, "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment, MARK: mark},
        cwd=ROOT,
    )


def test_the_demo_proves_all_three_acts_and_leaves_nothing(tmp_path: Path) -> None:
    demo = start("whole", "--json", "--out", str(tmp_path))
    shown, page = demo.communicate(timeout=240)
    assert demo.returncode == 0, page
    told = json.loads(shown)
    one, two, three = told["acts"]
    assert one["partials"] > 0
    assert one["text"].startswith("had he married")
    assert [(turn["source"], turn["target"]) for turn in two["turns"]] == [("es", "en"), ("en", "es"), ("es", "en")]
    assert (three["attempt_id"], three["killed"] != three["node_id"]) == (2, True)
    for act in (one, *two["turns"], three):
        with wave.open(act["speech"]) as speech:
            assert speech.getnframes() / speech.getframerate() > 0.5
    assert processes_of(f"{MARK}=whole") == []


def test_a_demo_whose_proof_fails_ends_with_1_and_leaves_nothing(tmp_path: Path) -> None:
    demo = start("failing", "--out", str(tmp_path), LINGUA_JOB_ATTEMPTS="1")
    _, errors = demo.communicate(timeout=240)
    assert demo.returncode == 1
    assert errors.count("\n") == 1
    assert "Traceback" not in errors
    assert processes_of(f"{MARK}=failing") == []


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_leaves_nothing(tmp_path: Path, word: signal.Signals) -> None:
    demo = start(word.name, "--out", str(tmp_path))
    assert demo.stdout is not None
    while "played" not in demo.stdout.readline():
        assert demo.poll() is None
    demo.send_signal(word)
    demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert processes_of(f"{MARK}={word.name}") == []


def test_a_kept_demo_stays_up_until_it_is_told_to_end(tmp_path: Path) -> None:
    demo = start("kept", "--keep", "--out", str(tmp_path))
    assert demo.stdout is not None
    page = ""
    while "Ctrl-C ends it all." not in page:
        line = demo.stdout.readline()
        assert line, page
        page += line
    url = next(word for word in page.split() if word.startswith("http://") and "dashboard" not in word)
    asked = subprocess.run([LINGUA, "nodes", "--url", url, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(asked.stdout)["nodes"]
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=60)
    assert demo.returncode == 0
    assert processes_of(f"{MARK}=kept") == []
