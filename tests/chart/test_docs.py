"""What people read about the chart is true of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from kit import chart, chart_readme

PAGES = ["docs/install.md", "docs/migrate.md", "charts/lingua/README.md"]
SCHEMA: dict[str, Any] = json.loads((chart.CHART / "values.schema.json").read_text())


def schema_of(path: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = SCHEMA
    for name in path.split("."):
        if found is not None:
            found = SCHEMA["definitions"][found["$ref"].rpartition("/")[2]] if "$ref" in found else found
            below = found.get("properties", {}).get(name)
            free = "propertyNames" in found and re.match(found["propertyNames"]["pattern"], name)
            found = below if below is not None else {} if free else None
    return found


def options(page: str) -> list[str]:
    """Name every value that a page sets on a command line or calls by its path."""
    text = (chart.ROOT / page).read_text()
    named = re.findall(r"--set[= ]'?([A-Za-z][A-Za-z0-9_.]*)=", text)
    top = "|".join(SCHEMA["properties"])
    return named + re.findall(rf"`((?:{top})\.[A-Za-z0-9_.]+)(?:=[^`]*)?`", text)


def test_the_table_of_values_is_made_from_the_values() -> None:
    page = (chart.CHART / "README.md").read_text()
    assert page == chart_readme.readme(), "run: python tests/kit/chart_readme.py"


def test_every_value_is_described() -> None:
    text = (chart.CHART / "values.yaml").read_text()
    known = dict(chart_readme.described(text))

    def leaves(schema: dict[str, Any], where: str = "") -> set[str]:
        found = set()
        for name, below in schema.get("properties", {}).items():
            inner = SCHEMA["definitions"][below["$ref"].rpartition("/")[2]] if "$ref" in below else below
            deeper = "properties" in inner and name != "resources"
            found |= leaves(inner, f"{where}{name}.") if deeper else {f"{where}{name}"}
        return found

    assert set(known) == leaves(SCHEMA)
    assert all(words.rstrip()[-1] in ".:)" for words in known.values()), "a description is a sentence"


@pytest.mark.parametrize("page", PAGES)
def test_every_value_that_a_page_names_exists(page: str) -> None:
    assert options(page)
    assert [path for path in options(page) if schema_of(path) is None and not path.endswith((".yaml", ".md"))] == []


def test_the_commands_of_the_install_page_render() -> None:
    text = (chart.ROOT / "docs" / "install.md").read_text()
    commands = re.findall(
        r"helm (?:install|upgrade) lingua charts/lingua (.*?)(?:\n\n|$)", text.replace("\\\n", " "), re.DOTALL
    )
    rendered = 0
    for command in commands:
        if "--reuse-values" in command or "YOURS" in command:
            continue
        sets = re.findall(r"--set '?(\S+?)'?(?=\s|$)", command)
        files = re.findall(r"--values (\S+)", command)
        arguments = [word for pair in sets for word in ("--set", pair)]
        arguments += [word for file in files for word in ("--values", str(chart.ROOT / file))]
        done = chart.run("template", "lingua", str(chart.CHART), "--namespace", "lingua", *chart.KUBERNETES, *arguments)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        rendered += 1
    assert rendered >= 3


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    here = chart.ROOT / page
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", here.read_text()):
        assert (here.parent / link).exists(), link
