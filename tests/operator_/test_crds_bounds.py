"""Every bound of the schemas holds at its edge: the last value inside it is not what a refusal names, the next one is.

The cases are made from the schemas, so a bound that is added there is proved without a change here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kit.kube.manifests import FLEET, NODE, full, schema, try_out
from kit.kube.schemas import Schema, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.kube.api import Body
    from kit.kube.bed import Bed

Step = str | int
#: Lists and maps of these are filled with distinct things.
_WORDS = [f"{a}{b}{c}" for a in "abcdefgh" for b in "abcdefgh" for c in "abcdefghijklmnop"]


def steps(where: str) -> list[Step]:
    """Read a schema's path as steps into a manifest that has every field: the first item, a map's own key."""
    found: list[Step] = []
    for name in where.strip(".").split("."):
        bare = name.removesuffix("[]").removesuffix("{}")
        found.append(bare)
        if name.endswith("[]"):
            found.append(0)
        if name.endswith("{}"):
            found.append("extra")
    return found


def put(resource: Body, way: list[Step], value: Any) -> Body:
    """Put a value into a manifest."""
    place: Any = resource
    for step in way[:-1]:
        place = place[step]
    place[way[-1]] = value
    return resource


def wished(kind: str) -> Iterator[tuple[str, Schema]]:
    """Yield the schemas of what users write."""
    return ((where, found) for where, found in walk(schema(kind)) if where.startswith(".spec."))


def things(found: Schema, count: int) -> list[Any]:
    """Make distinct items of a list, right in form."""
    items = found["items"]
    if items["type"] == "string":
        return _WORDS[:count]
    needed = items.get("required", [])
    return [dict.fromkeys(needed, word) for word in _WORDS[:count]]


def edges(found: Schema) -> Iterator[tuple[str, Any, Any]]:
    """Yield, for each bound, its words in a refusal, the last value inside, and the first one outside."""
    if "minimum" in found:
        yield "greater than or equal to", found["minimum"], found["minimum"] - 1
    if "maximum" in found:
        yield "less than or equal to", found["maximum"], found["maximum"] + 1
    if "maxLength" in found:
        yield "may not be more than", "a" * found["maxLength"], "a" * (found["maxLength"] + 1)
    if "minLength" in found:
        yield "at least 1 chars long", "a", ""
    if "maxItems" in found:
        yield "must have at most", things(found, found["maxItems"]), things(found, found["maxItems"] + 1)
    if "minItems" in found:
        yield "at least 1 items", things(found, 1), []
    if "enum" in found:
        yield "supported values", found["enum"][-1], "Elsewhere"
    if "maxProperties" in found:
        most = found["maxProperties"]
        yield "must have at most", dict.fromkeys(_WORDS[:most], "x"), dict.fromkeys(_WORDS[: most + 1], "x")


def bounds(kind: str) -> Iterator[Any]:
    """Make a test of each bound."""
    for where, found in wished(kind):
        for words, inside, outside in edges(found):
            yield pytest.param(kind, where, words, inside, outside, id=f"{kind}{where} {words}")


@pytest.mark.parametrize(("kind", "where", "words", "inside", "outside"), [*bounds(NODE), *bounds(FLEET)])
def test_a_bound_holds(bed: Bed, kind: str, where: str, words: str, inside: Any, outside: Any) -> None:
    # Other rules may mind the value as well: it is this bound's own words that must be there, or not.
    taken = try_out(bed, put(full(kind), steps(where), inside))
    assert words not in taken.message
    refused = try_out(bed, put(full(kind), steps(where), outside))
    assert refused.status == 422
    assert words in refused.message
    assert str(steps(where)[-1] or steps(where)[-2]) in refused.message


def types(kind: str) -> Iterator[Any]:
    """Make a test of each field that has a type: YAML gives something else by mistake."""
    wrong = {"string": True, "integer": "4", "boolean": "yes", "array": {"a": "b"}, "object": ["a"]}
    for where, found in wished(kind):
        if kind_of := found.get("type"):
            yield pytest.param(kind, where, kind_of, wrong[kind_of], id=f"{kind}{where}")


@pytest.mark.parametrize(("kind", "where", "expected", "value"), [*types(NODE), *types(FLEET)])
def test_a_value_of_another_type_is_refused(bed: Bed, kind: str, where: str, expected: str, value: Any) -> None:
    answer = try_out(bed, put(full(kind), steps(where), value))
    assert answer.status == 422
    assert f"must be of type {expected}" in answer.message


def needs(kind: str) -> Iterator[Any]:
    """Make a test of each field that must be there."""
    for where, found in wished(kind):
        for name in found.get("required", []):
            yield pytest.param(kind, f"{where}.{name}", id=f"{kind}{where}.{name}")


@pytest.mark.parametrize(("kind", "where"), [*needs(NODE), *needs(FLEET)])
def test_a_needed_field_is_missed(bed: Bed, kind: str, where: str) -> None:
    resource = full(kind)
    place: Any = resource
    *way, last = steps(where)
    for step in way:
        place = place[step]
    del place[last]
    answer = try_out(bed, resource)
    assert answer.status == 422
    assert "Required value" in answer.message
    assert str(last) in answer.message
