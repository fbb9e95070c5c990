"""The table of values in charts/lingua/README.md, made from the comments of values.yaml.

``python tests/kit/chart_readme.py`` writes it; a test compares. A comment that begins
with ``--`` describes the next key.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

CHART = Path(__file__).parents[2] / "charts" / "lingua"
BEGIN, END = "<!-- values: made by tests/kit/chart_readme.py -->", "<!-- end -->"
_KEY = re.compile(r"^( *)([A-Za-z][A-Za-z0-9]*):")
_COMMENT = re.compile(r"^ *# ?(.*)$")


def described(text: str) -> Iterator[tuple[str, str]]:
    """Yield each described key, as its path with dots, with its description."""
    path: list[tuple[int, str]] = []
    words: list[str] = []
    for line in text.splitlines():
        if comment := _COMMENT.match(line):
            words = _grown(words, comment.group(1))
        elif key := _KEY.match(line):
            depth = len(key.group(1))
            path = [*(above for above in path if above[0] < depth), (depth, key.group(2))]
            if words:
                yield ".".join(name for _, name in path), " ".join(words)
            words = []
        else:
            words = []


def _grown(words: list[str], comment: str) -> list[str]:
    if comment.startswith("-- "):
        return [comment[3:]]
    return [*words, comment] if words else []


def table() -> str:
    """Write the table of all values."""
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    rows = ["| value | default | what it is |", "| --- | --- | --- |"]
    for path, words in described(text):
        rows.append(f"| `{path}` | {_shown(_at(values, path))} | {words.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def _at(values: dict[str, Any], path: str) -> Any:
    found: Any = values
    for name in path.split("."):
        found = found[name]
    return found


def _shown(value: Any) -> str:
    return f"`{json.dumps(value)}`".replace("|", "\\|")


def readme() -> str:
    """Write the page with the table as it should be."""
    text = (CHART / "README.md").read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    (CHART / "README.md").write_text(readme())
