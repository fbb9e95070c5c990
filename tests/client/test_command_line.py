"""The command itself, run as a process: help, errors in one line, exit codes. Nothing here needs a service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lingua_client.cli.exits import MEANINGS
from lingua_client.cli.main import app
from lingua_client.sources import write_wav

LINGUA = Path(sys.executable).with_name("lingua")
COMMANDS = sorted(command.name or "" for command in app.registered_commands)
OWN_HELP = {"node", "scheduler"}
ASKING = [["nodes"], ["pools"], ["pairs"], ["jobs"], ["job", "x"], ["sessions"], ["explain"]]
#: A port of the loopback that is never listened on: 1 needs root, and nothing of a test runs there.
NOBODY = "http://127.0.0.1:1"


def lingua(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LINGUA_")}
    return subprocess.run(
        [LINGUA, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**clean, **environment},
        check=False,
    )


def test_every_command_of_the_description_is_there() -> None:
    wanted = "demo translate listen nodes pools pairs jobs job sessions explain serve node scheduler bench version"
    assert sorted(wanted.split()) == COMMANDS


def test_the_manual_lists_every_command_and_exit_code() -> None:
    manual = (Path(__file__).resolve().parents[2] / "docs" / "client.md").read_text()
    for command in app.registered_commands:
        assert command.callback is not None
        assert f"| `lingua {command.name}` | {(command.callback.__doc__ or '').splitlines()[0]} |" in manual
    for code, meaning in MEANINGS.items():
        assert f"| {code.value} | {meaning} |" in manual


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in OWN_HELP])
def test_every_command_explains_itself_and_offers_json(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert "--json" in shown.stdout
    assert "Usage: " in shown.stdout


@pytest.mark.parametrize("command", sorted(OWN_HELP))
def test_a_program_explains_itself(command: str) -> None:
    shown = lingua(command, "--help")
    assert shown.returncode == 0, shown.stderr
    assert f"lingua-{command}" in shown.stdout


def test_without_a_command_the_help_is_shown_and_it_is_a_usage_error() -> None:
    shown = lingua()
    assert shown.returncode == 2
    assert "translate" in shown.stdout


@pytest.mark.parametrize(
    "wrong", [["bogus"], ["nodes", "--bogus"], ["job"], ["jobs", "--limit", "0"], ["nodes", "extra"]]
)
def test_a_wrong_command_line_is_told_in_one_line(wrong: list[str]) -> None:
    told = lingua(*wrong)
    assert told.returncode == 2
    assert told.stdout == ""
    assert told.stderr.count("\n") == 1
    assert "[USAGE]" in told.stderr
    assert "--help" in told.stderr


@pytest.mark.parametrize("command", ASKING, ids=lambda command: command[0])
def test_an_address_where_nobody_listens_is_told_with_its_exit_code(command: list[str]) -> None:
    told = lingua(*command, "--url", NOBODY)
    assert told.returncode == 3
    assert told.stderr.startswith("error cannot reach http://127.0.0.1:1: connection refused [CANNOT_REACH]")
    assert "Traceback" not in told.stderr


def test_the_address_may_come_from_the_environment() -> None:
    assert "http://127.0.0.1:1" in lingua("nodes", LINGUA_URL=NOBODY).stderr


def test_an_error_with_json_is_a_json_document() -> None:
    told = lingua("nodes", "--json", "--url", NOBODY)
    assert told.stdout == ""
    error = json.loads(told.stderr)["error"]
    assert error["code"] == "CANNOT_REACH"
    assert set(error) == {"code", "message", "remedy"}


def test_where_an_error_arose_is_shown_only_on_request() -> None:
    assert "Traceback" in lingua("--debug", "nodes", "--url", NOBODY).stderr


def test_an_address_that_is_none_is_a_usage_error() -> None:
    assert lingua("nodes", "--url", "ftp://x").returncode == 2


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    told = lingua("translate", tmp_path / "nowhere.wav", "--url", NOBODY)
    assert told.returncode == 6
    assert "[NO_SUCH_FILE]" in told.stderr


def test_a_file_that_is_no_sound_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("this is no sound")
    told = lingua("translate", tmp_path / "text.wav", "--url", NOBODY)
    assert told.returncode == 6
    assert "[BAD_AUDIO]" in told.stderr


def test_a_translation_without_a_service_is_unreachable(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", bytes(32_000))
    assert lingua("translate", tmp_path / "a.wav", "--url", NOBODY).returncode == 3


def test_no_colour_codes_leave_when_the_output_is_no_terminal() -> None:
    assert "\x1b" not in lingua("--help").stdout
    assert "\x1b" not in lingua("nodes", "--url", NOBODY).stderr


def test_the_version_tells_the_extras() -> None:
    told = json.loads(lingua("version", "--json").stdout)
    assert set(told) == {"lingua", "python", "extras"}
    assert lingua("version").stdout.startswith(f"lingua {told['lingua']} ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_offered_for_the_usual_shells(shell: str) -> None:
    shown = lingua("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert shown.returncode == 0
    assert "lingua" in shown.stdout


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    shown = subprocess.run(
        f"set -o pipefail; {LINGUA} --help | head -c 1",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        check=False,
    )
    assert shown.stderr == b""


def test_the_microphone_is_asked_for_when_there_is_none() -> None:
    program = (
        "import asyncio\n"
        "from lingua_client import Microphone, AudioError\n"
        "async def main():\n"
        "    try:\n"
        "        async for _ in Microphone('no such device'): break\n"
        "    except AudioError as error: print(error.code, error.remedy)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.startswith("MICROPHONE_MISSING ")
    assert "lingua[microphone]" in done.stdout
