"""The tree keeps its shape: no folder hides the standard library, and each source root holds exactly one package."""

from __future__ import annotations

import operator
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE_ROOTS = {
    "client": "lingua_client",
    "lua": "lingua_state",
    "node": "lingua_node",
    "operator": "lingua_operator",
    "scheduler": "lingua_scheduler",
    "wire": "lingua_wire",
}


def test_operator_is_the_standard_library_module() -> None:
    assert operator.__file__ is not None
    assert Path(operator.__file__).parent == Path(sysconfig.get_paths()["stdlib"])


def test_no_folder_called_operator_is_a_package() -> None:
    packages = [folder for folder in ROOT.glob("**/operator/__init__.py") if ".venv" not in folder.parts]
    assert packages == []


def test_no_test_folder_is_a_package() -> None:
    assert list((ROOT / "tests").glob("**/__init__.py")) == []


def test_each_source_root_holds_exactly_one_package() -> None:
    found = {root: sorted(path.parent.name for path in (ROOT / root).glob("*/__init__.py")) for root in SOURCE_ROOTS}
    assert found == {root: [package] for root, package in SOURCE_ROOTS.items()}


def test_each_package_says_what_belongs_in_it() -> None:
    for root, package in SOURCE_ROOTS.items():
        first = (ROOT / root / package / "__init__.py").read_text().splitlines()[0]
        assert first.startswith('"""'), package
        assert len(first) > 20, package
