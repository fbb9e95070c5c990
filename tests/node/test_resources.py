"""What a node says of its machine: its own share of the processors, and the memory that is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lingua_node.resources import ResourceMeter

if TYPE_CHECKING:
    from pathlib import Path

MEMORY = "MemTotal: 8000 kB\nMemFree: 1 kB\nMemAvailable: 2000 kB\n"


def process(proc: Path, pid: str, ticks: tuple[int, int, int, int], children: str = "") -> None:
    folder = proc / pid / "task" / "7"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "children").write_text(children)
    times = " ".join(str(count) for count in ticks)
    (proc / pid / "stat").write_text(f"7 (a name) S 1 7 7 0 -1 4194304 1 0 0 0 {times} 20 0 1 0 100\n")


def machine(proc: Path, busy: int, idle: int) -> None:
    (proc / "stat").write_text(f"cpu {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 0 0 0 0\n")


def test_the_share_is_that_of_the_node_and_its_engines_not_of_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text(MEMORY)
    machine(tmp_path, busy=1000, idle=1000)
    process(tmp_path, "self", (10, 10, 0, 0), children="41 ")
    process(tmp_path, "41", (5, 5, 0, 0))
    meter = ResourceMeter(tmp_path)
    machine(tmp_path, busy=1200, idle=1000)  # the machine is busy all the time
    process(tmp_path, "self", (12, 13, 2, 3), children="41 ")
    process(tmp_path, "41", (25, 15, 0, 0))
    usage = meter.usage(running_jobs=1)
    assert usage.cpu_percent == 20.0  # 40 ticks of 200
    assert usage.mem_percent == 75.0
    assert usage.running_jobs == 1


def test_an_engine_that_ends_between_two_readings_never_gives_a_negative_share(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text(MEMORY)
    machine(tmp_path, busy=100, idle=100)
    process(tmp_path, "self", (1, 1, 0, 0), children="41 ")
    process(tmp_path, "41", (500, 500, 0, 0))
    meter = ResourceMeter(tmp_path)
    machine(tmp_path, busy=200, idle=200)
    process(tmp_path, "self", (2, 2, 0, 0))
    assert meter.usage(running_jobs=0).cpu_percent == 0.0


def test_without_proc_everything_is_zero(tmp_path: Path) -> None:
    usage = ResourceMeter(tmp_path / "none").usage(running_jobs=0)
    assert (usage.cpu_percent, usage.mem_percent) == (0.0, 0.0)
