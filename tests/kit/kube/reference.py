"""Write the tables of docs/resources.md from the schemas in crds/: ``python -m kit.kube.reference`` (from tests/).

The page is written by hand but for its tables, each between two marks that name what it is made of.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from kit.kube.manifests import FLEET, NODE, schema, version
from kit.kube.schemas import Schema, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = Path(__file__).resolve().parents[3] / "docs" / "resources.md"
_KINDS = {"node": NODE, "fleet": FLEET}
_BLOCK = re.compile(r"(<!-- (\w+) (\w+)[^>]*-->\n)(.*?)(<!-- end -->)", re.DOTALL)
#: Explained by Kubernetes, or (the template) where it is written first.
_INSIDE = re.compile(r"podTemplate\.|template\.(metadata|spec)\.")


def render(page: str) -> str:
    """Put the present tables into a page."""
    return _BLOCK.sub(lambda found: f"{found[1]}{_TABLES[found[3]](_KINDS[found[2]])}{found[5]}", page)


def fields(kind: str, part: str) -> str:
    """Write the table of the fields of spec or status."""
    needed = {f"{where}.{name}" for where, found in walk(schema(kind)) for name in found.get("required", [])}
    rows = [
        f"| `{where.split('.', 2)[2]}` | {_form(found)} | {_left_out(found, where in needed)} | {_text(found)} |"
        for where, found in _told(kind, part)
    ]
    return "\n".join(["| field | form | when left out | meaning |", "|---|---|---|---|", *rows, ""])


def columns(kind: str) -> str:
    """Write the table of the columns that kubectl shows."""
    rows = [
        f"| {found['name'].upper()} | {'`-o wide`' if found.get('priority') else ''} | {found.get('description', '')} |"
        for found in version(kind)["additionalPrinterColumns"]
    ]
    return "\n".join(["| column | shown by | says |", "|---|---|---|", *rows, ""])


def rules(kind: str) -> str:
    """Write the table of the rules that more than one field's form makes, with what a refusal says."""
    rows = [f"| `{where.removeprefix('.') or 'metadata.name'}` | {words} |" for where, words in _rules(kind)]
    return "\n".join(["| where | what is said |", "|---|---|", *rows, ""])


_TABLES: dict[str, Callable[[str], str]] = {
    "spec": lambda kind: fields(kind, "spec"),
    "status": lambda kind: fields(kind, "status"),
    "columns": columns,
    "rules": rules,
}


def _told(kind: str, part: str) -> Iterator[tuple[str, Schema]]:
    for where, found in walk(schema(kind)):
        mine = where.startswith(f".{part}.") and not where.endswith(("[]", "{}"))
        if mine and not _INSIDE.search(where) and ".conditions[]" not in where:
            yield where, found


def _rules(kind: str) -> Iterator[tuple[str, str]]:
    for where, below in walk(schema(kind)):
        if kind == FLEET and where.startswith(".spec.template.spec"):
            continue  # as in a node
        for rule in below.get("x-kubernetes-validations", []):
            words = rule.get("message") or re.sub(r"^'|'$", "", re.sub(r"' \+ [^']* \+ '", "...", _expression(rule)))
            yield where + rule.get("fieldPath", ""), words


def _expression(rule: Schema) -> str:
    return str(rule["messageExpression"])


def _form(found: Schema) -> str:
    if "items" in found:
        items = found["items"]
        kind = {"set": "set", "map": "list"}.get(found.get("x-kubernetes-list-type", ""), "list")
        return f"{kind} of {found.get('minItems', 0)}..{found['maxItems']}: {_form(items)}"
    if "enum" in found:
        return ", ".join(f"`{word}`" for word in found["enum"])
    if found.get("x-kubernetes-int-or-string"):
        return "number or share"
    return _FORMS[found["type"]](found)


def _number(found: Schema) -> str:
    return f"{found['minimum']}..{found['maximum']}" if "maximum" in found else f"number, {found['minimum']} or more"


def _string(found: Schema) -> str:
    return "time" if found.get("format") == "date-time" else f"text of at most {found['maxLength']}"


def _object(found: Schema) -> str:
    return ", ".join(f"`{name}`" for name in found.get("properties", {})) or "object"


_FORMS: dict[str, Callable[[Schema], str]] = {
    "integer": _number,
    "string": _string,
    "object": _object,
    "boolean": lambda _: "true or false",
}


def _left_out(found: Schema, needed: bool) -> str:
    if needed:
        return "needed"
    return f"`{json.dumps(found['default'])}`" if found.get("default") not in (None, {}) else ""


def _text(found: Schema) -> str:
    return str(found.get("description", "")).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
