"""The reference for users says what the schemas say."""

from __future__ import annotations

import re

from kit.kube.manifests import FLEET, NODE, schema
from kit.kube.reference import PAGE, render


def test_the_tables_of_the_page_are_those_of_the_schemas() -> None:
    page = PAGE.read_text()
    assert page == render(page), "run: cd tests && python -m kit.kube.reference"


def test_every_field_that_a_user_writes_is_on_the_page() -> None:
    page = PAGE.read_text()
    for kind in (NODE, FLEET):
        for name in schema(kind)["properties"]["spec"]["properties"]:
            assert f"| `{name}` |" in page, f"{kind}.spec.{name}"
        assert f"## {kind}" in page


def test_the_bounds_in_the_prose_are_the_real_ones() -> None:
    prose = re.sub(r"\s+", " ", PAGE.read_text())
    spec = schema(NODE)["properties"]["spec"]["properties"]
    languages = spec["languages"]["properties"]
    pod = spec["workload"]["properties"]["podTemplate"]["properties"]["spec"]["properties"]
    replicas = schema(FLEET)["properties"]["spec"]["properties"]["replicas"]
    assert f"at most {languages['asr']['maxItems']} languages a list" in prose
    assert f"{languages['exclude']['maxItems']} excluded pairs" in prose
    assert f"{spec['access']['properties']['tenants']['maxItems']} tenants" in prose
    assert f"{pod['containers']['maxItems']} containers" in prose
    assert f"{replicas['maximum']:,} nodes a fleet".replace(",", " ") in prose
