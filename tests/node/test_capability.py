from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from lingua_node import capability
from lingua_node.pipeline import Engines
from lingua_node.resources import ResourceMeter
from lingua_node.settings import NodeSettings

if TYPE_CHECKING:
    from pathlib import Path

    from lingua_node.engines.base import AsrEngine, NmtEngine, TtsEngine


@dataclass
class Named:
    """Only what a capability is worked out from."""

    name: str = "named"
    languages: frozenset[str] = frozenset()
    pairs: frozenset[tuple[str, str]] = frozenset()

    def note(self, *languages: str) -> str:
        return (
            "pivot through ca" if languages == ("en", "es") else f"hears {languages[0]}" if len(languages) == 1 else ""
        )


def engines(hears: set[str], pairs: set[tuple[str, str]], speaks: set[str]) -> Engines:
    ear, voice = Named(languages=frozenset(hears)), Named(languages=frozenset(speaks))
    return Engines(cast("AsrEngine", ear), cast("NmtEngine", Named(pairs=frozenset(pairs))), cast("TtsEngine", voice))


def test_a_pair_needs_ear_translator_and_voice() -> None:
    found = capability.capability_of(engines({"en", "es"}, {("en", "es"), ("fr", "es"), ("en", "ca")}, {"es", "en"}))
    assert set(found.notes) == {"en:es", "en:en", "es:es"}
    assert found.excluded_pairs == ("es:en",)
    assert found.understands == ("en", "es")


def test_the_notes_say_how_each_pair_is_done() -> None:
    found = capability.capability_of(engines({"en"}, {("en", "es")}, {"en", "es"}))
    assert found.notes == {"en:en": "hears en; no translation needed", "en:es": "hears en; pivot through ca"}
    assert "en -> es: hears en; pivot through ca" in capability.describe(found)


def test_the_registration_is_what_the_wire_allows(tmp_path: Path) -> None:
    found = capability.capability_of(engines({"en", "es"}, {("en", "es")}, {"es"}))
    message = capability.register_message(found, NodeSettings(), ResourceMeter().hardware(), node_id=None)
    assert type(message).model_validate_json(message.model_dump_json()) == message
    assert message.language_capabilities is not None
    assert message.language_capabilities.excluded_pairs == ()
    assert message.language_capabilities.auto is True


def test_a_machine_without_proc_is_measured_as_idle(tmp_path: Path) -> None:
    usage = ResourceMeter(tmp_path).usage(2)
    assert (usage.cpu_percent, usage.mem_percent, usage.running_jobs) == (0.0, 0.0, 2)


def test_load_is_what_lies_between_two_readings(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 250 kB\n")
    machine = "cpu 100 0 100 800 0 0 0 0\n"
    write_process(tmp_path, "self", children="7", ticks=10)
    write_process(tmp_path, "7", children="", ticks=20)
    (tmp_path / "stat").write_text(machine)
    meter = ResourceMeter(tmp_path)
    (tmp_path / "stat").write_text("cpu 130 0 120 850 0 0 0 0\n")
    write_process(tmp_path, "7", children="", ticks=45)
    usage = meter.usage(0)
    assert (usage.cpu_percent, usage.mem_percent) == (25.0, 75.0)


def write_process(proc: Path, pid: str, *, children: str, ticks: int) -> None:
    folder = proc / pid / "task" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "children").write_text(children)
    (proc / pid / "stat").write_text(f"1 (a name) S 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0")
