"""The commands that people type first: what their headers promise is what they do."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TARGETS = (
    "help",
    "demo",
    "test",
    "test-slow",
    "faults",
    "soak",
    "mutants",
    "e2e",
    "search",
    "lint",
    "format",
    "bench",
    "lock",
    "clean",
)


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # Run below `make test`, make would speak as its child does.
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    return subprocess.run(
        command, cwd=ROOT, env={**clean, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def test_make_alone_lists_every_target_with_a_sentence() -> None:
    listed = run("make").stdout
    plain = re.sub(r"\x1b\[[0-9;]*m", "", listed)
    found = {line.split()[0]: line.split(maxsplit=1)[1] for line in plain.splitlines() if line.strip()}
    assert tuple(found) == TARGETS
    assert all(found.values())


@pytest.mark.parametrize("arguments", [[], ["everything"]])
@pytest.mark.parametrize("script", ["run", "kind", "keda"])
def test_set_up_with_a_wrong_word_prints_its_own_header_and_exits_2(script: str, arguments: list[str]) -> None:
    answer = run(f"setup/{script}", *arguments)
    header = (ROOT / "setup" / script).read_text().splitlines()[1]
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[0] == header.removeprefix("# ")


def test_set_up_without_a_fitting_python_says_what_to_install_and_exits_3(tmp_path: Path) -> None:
    for name in ("bash", "dirname", "sed", "cat", "awk"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    script = tmp_path / "setup" / "run"
    script.parent.mkdir()
    script.write_text((ROOT / "setup" / "run").read_text())
    script.chmod(0o755)
    answer = run(str(script), "test", PATH=str(tmp_path), PYTHON="no-such-python")
    assert answer.returncode == 3
    assert "Python 3.11 or later" in answer.stderr


def test_the_cluster_tests_without_docker_say_in_one_sentence_what_is_missing_and_exit_3(tmp_path: Path) -> None:
    for name in ("bash", "dirname", "mkdir", "date"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    answer = run("setup/kind", "test", PATH=str(tmp_path), LINGUA_E2E_UP="")
    assert answer.returncode == 3
    assert answer.stderr == (
        "make e2e needs docker, kind, kubectl and helm on the PATH; missing here: docker kind kubectl helm.\n"
    )


def test_each_debian_package_is_listed_with_its_use_and_its_reason() -> None:
    lines = [line for line in (ROOT / "setup" / "debian.txt").read_text().splitlines() if not line.startswith("#")]
    for line in lines:
        package, use, reason = line.split(maxsplit=2)
        assert re.fullmatch(r"[a-z0-9.+-]+", package)
        assert set(use.split(",")) <= {"demo", "test"}
        assert reason


def test_the_lock_files_name_hashes_and_no_address() -> None:
    for name in ("requirements.lock", "requirements-slow.lock"):
        text = (ROOT / name).read_text()
        packages = re.findall(r"^[a-z0-9][a-z0-9._-]*==", text, re.MULTILINE)
        assert len(packages) > 30, name
        assert text.count("--hash=sha256:") >= len(packages), name
        assert "://" not in text, name
