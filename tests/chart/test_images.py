"""The images: what goes in is locked by hash, what comes out holds no more than it runs and is not root."""

from __future__ import annotations

import re
import tomllib

import pytest

from kit import chart

IMAGES = chart.ROOT / "images"
PARTS = ["scheduler", "operator", "node", "valkey"]
GPL = ("apertium", "espeak-ng")


def pins(path: str) -> dict[str, str]:
    """Read a lock file: each package's version with all its hashes."""
    found: dict[str, str] = {}
    for block in re.split(r"\n(?=\S)", (chart.ROOT / path).read_text().strip()):
        name, _, rest = block.partition("==")
        version = re.split(r"[ ;\\]", rest, maxsplit=1)[0]
        found[name.partition("[")[0]] = version + "".join(sorted(re.findall(r"sha256:[0-9a-f]{64}", block)))
    return found


def containerfile(part: str) -> str:
    return (IMAGES / part / "Containerfile").read_text()


@pytest.mark.parametrize("part", PARTS)
def test_an_image_holds_the_packages_that_were_tested(part: str) -> None:
    tested, shipped = pins("requirements.lock"), pins(f"images/{part}/requirements.lock")
    assert shipped
    # A client of Valkey comes with the wheel that holds the server; the program does not use it.
    assert {name: version for name, version in shipped.items() if tested.get(name, version) != version} == {}
    assert set(shipped) <= set(tested)


@pytest.mark.parametrize("part", ["scheduler", "operator", "node"])
def test_an_image_has_what_its_part_asks_for_and_nothing_of_the_others(part: str) -> None:
    project = tomllib.loads((chart.ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[\[<>=~ ]", text)[0].lower() for text in requirements}

    shipped = set(pins(f"images/{part}/requirements.lock"))
    wanted = names(project["dependencies"]) | names(extras[part])
    assert wanted <= shipped
    others = set.union(*(names(extras[other]) for other in ("scheduler", "operator", "node", "neural", "embedded")))
    assert not (others - wanted) & shipped


@pytest.mark.parametrize("part", PARTS)
def test_a_lock_file_names_no_address_and_hashes_everything(part: str) -> None:
    for path in (f"images/{part}/requirements.lock", "images/build.lock"):
        text = (chart.ROOT / path).read_text()
        assert "://" not in text
        assert "--index" not in text
        for block in re.split(r"\n(?=\S)", text.strip()):
            assert "--hash=sha256:" in block, block


@pytest.mark.parametrize("part", PARTS)
def test_an_image_is_built_in_two_stages_and_runs_as_a_high_user(part: str) -> None:
    lines = containerfile(part).splitlines()
    stages = [line for line in lines if line.startswith("FROM ")]
    assert stages == ["FROM python:3.13-slim AS build", "FROM python:3.13-slim"]
    assert [line for line in lines if line.startswith("USER ")] == ["USER 65532:65532"]
    last = containerfile(part).rpartition("FROM ")[2]
    assert "COPY . " not in last, "only what was built is copied into what runs"
    assert "pip" not in last.replace("pipes", "")
    assert 'ENTRYPOINT ["' in last
    for word in ("curl", "wget", "ADD ", "COPY --link", "<<"):
        assert word not in containerfile(part)


@pytest.mark.parametrize("part", PARTS)
def test_only_the_node_holds_gpl_programs(part: str) -> None:
    assert any(name in containerfile(part).partition("FROM")[2] for name in GPL) is (part == "node")


def test_the_node_has_the_debian_packages_of_the_demo() -> None:
    wanted = {
        line.split()[0]
        for line in (chart.ROOT / "setup" / "debian.txt").read_text().splitlines()
        if not line.startswith("#") and line.startswith(GPL)
    }
    installed = containerfile("node").partition("--no-install-recommends")[2].partition("&&")[0]
    assert wanted == set(installed.replace("\\", " ").split())


def test_the_entry_points_exist() -> None:
    scripts = tomllib.loads((chart.ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for part in ("scheduler", "operator", "node"):
        assert f'ENTRYPOINT ["lingua-{part}"]' in containerfile(part)
        assert f"lingua-{part}" in scripts


def test_the_builder_is_sent_no_more_than_it_needs() -> None:
    sent = {line[1:] for line in (chart.ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    packages = {"client", "lua", "node", "operator", "scheduler", "wire"}
    assert sent == packages | {"images", "pyproject.toml", "README.md", "LICENSE"}
