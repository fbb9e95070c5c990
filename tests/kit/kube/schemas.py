"""Walk a schema of ``crds/``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]


def walk(found: Schema, where: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield every schema below this one, with its path; items are written ``[]``, values of a map ``{}``."""
    yield where, found
    for name, below in found.get("properties", {}).items():
        yield from walk(below, f"{where}.{name}")
    if "items" in found:
        yield from walk(found["items"], f"{where}[]")
    if isinstance(found.get("additionalProperties"), dict):
        yield from walk(found["additionalProperties"], f"{where}{{}}")


def rules(found: Schema) -> Iterator[tuple[str, str]]:
    """Yield every CEL rule as the path that its refusal names and its words: the message, or what makes it."""
    for where, below in walk(found):
        for rule in below.get("x-kubernetes-validations", []):
            yield where + rule.get("fieldPath", ""), rule.get("message") or rule["messageExpression"]
