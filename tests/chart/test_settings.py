"""The chart sets only what the programs know, and checks what it forbids against what it sets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from kit import chart
from lingua_node.settings import PREFIX, NodeSettings
from lingua_operator import settings as operator_settings
from lingua_scheduler import settings as scheduler_settings

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = {
    "scheduler": {variable for variable, _, _ in scheduler_settings.fields()},
    # The operator's secrets are the store's.
    "operator": {variable for variable, _, _ in operator_settings.fields()},
    "lingua-node": {f"{PREFIX}{name}".upper() for name in NodeSettings.model_fields},
    "test": {"LINGUA_URL", "LINGUA_TOKEN_FILE"},
    "valkey": set(),
    "fleet": set(),
    "uninstall": set(),
}
SECRETS = {variable for variable, _, _ in scheduler_settings.secret_variables()}


def set_variables(profile: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for _, pod in chart.pods(chart.render(chart.profiles()[profile])):
        part = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        names = {name for name in chart.environment(pod) if name.startswith("LINGUA_")}
        names = {bare if (bare := name.removesuffix("_FILE")) in SECRETS else name for name in names}
        found.setdefault(part, set()).update(names)
    return found


@pytest.mark.parametrize("profile", chart.profiles())
def test_every_variable_that_the_chart_sets_exists(profile: str) -> None:
    for part, names in set_variables(profile).items():
        assert names <= KNOWN[part], part


def test_what_may_not_be_set_as_a_free_setting_is_what_the_chart_sets() -> None:
    source = (chart.CHART / "templates" / "_validate.tpl").read_text()
    together: dict[str, set[str]] = {}
    for profile in chart.profiles():
        for part, names in set_variables(profile).items():
            together.setdefault(part, set()).update(names)
    free = chart.MATRIX["every key of the parts"]
    for part in ("scheduler", "operator"):
        block = source.partition(f'define "lingua.{part}Own"')[2].partition("end -")[0]
        forbidden = set(re.findall(r"LINGUA_[A-Z_]+", block))
        assert forbidden <= KNOWN[part]
        written = together[part] - set(free[part]["settings"])
        assert written <= forbidden
        assert forbidden - written <= {"LINGUA_HOST"}


@pytest.mark.parametrize("profile", chart.profiles())
def test_the_programs_read_what_the_chart_writes(profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for where, pod in chart.pods(chart.render(chart.profiles()[profile])):
        plain = {
            name: variable["value"].replace("$(POD_IP)", "10.1.2.3")
            for name, variable in chart.environment(pod).items()
            if "value" in variable
        }
        for name, value in plain.items():
            file = tmp_path / name
            file.write_text("redis://a-secret-of-32-characters-or-more:1")
            monkeypatch.setenv(name, str(file) if name.removesuffix("_FILE") in SECRETS else value)
        if where.endswith("-scheduler"):
            read = scheduler_settings.load_settings()
            assert read.http.internal_port == 5011
            assert read.redis.prefix == "lingua"
            assert scheduler_settings.unknown_variables(plain) == []
        elif where.endswith("-operator"):
            assert operator_settings.load_settings().http.port == 8080
            assert operator_settings.unknown_variables(plain) == []
        elif where.startswith("TranslationFleet"):
            assert NodeSettings().max_jobs == 2
        for name in plain:
            monkeypatch.delenv(name)
