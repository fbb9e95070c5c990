"""Fleets when things go wrong: the operator is killed, the store is away, the API server wants to be left alone."""

from __future__ import annotations

import random
import signal
from typing import TYPE_CHECKING

import pytest

from kit import operators
from kit.eventually import eventually
from kit.operator_fleets import NODE, Fleets, processes
from kit.operators import SOON_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from kit.kube.bed import Bed
    from lingua_state.client import Store


@pytest.fixture
def fleets(bed: Bed, namespace: str) -> Fleets:
    return Fleets(bed.api, namespace)


@pytest.fixture
async def machines(store: Store) -> AsyncIterator[None]:
    async with processes(store):
        yield


@pytest.mark.usefixtures("machines")
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_an_operator_killed_again_and_again_leaves_what_was_wished(
    fleets: Fleets, values: dict[str, str], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    with operators.process(values, tmp_path / "operator.log") as operator:
        fleets.create("es", 12, updateStrategy={"maxSurge": 2, "maxUnavailable": 1})
        kills = 0
        for change in (
            {"replicas": 12},
            {"replicas": 4},
            {"replicas": 9},
            {"template": {"spec": {**NODE, "weight": 7}}},
        ):
            fleets.patch("es", change)
            begun = fleets.status("es")
            await eventually(lambda: fleets.status("es") != begun, within_s=SOON_S)  # noqa: B023
            await eventually(lambda: chance.random() < 0.01, within_s=SOON_S, what="a moment to kill it")
            operator.end(signal.SIGKILL)
            kills += 1
            operator.start()
        await fleets.until_ready("es", 9)
        assert kills == 4
    nodes = fleets.nodes("es")
    assert len(nodes) == 9
    assert {each["spec"]["weight"] for each in nodes} == {7}
    assert {each["spec"]["scheduling"] for each in nodes} == {"Active"}


@pytest.mark.usefixtures("machines")
async def test_two_operators_make_no_node_twice(fleets: Fleets, values: dict[str, str], tmp_path: Path) -> None:
    with operators.process(values, tmp_path / "a.log"), operators.process(values, tmp_path / "b.log"):
        fleets.create("es", 15)
        most = 0

        def all_there() -> bool:
            nonlocal most
            most = max(most, len(fleets.nodes("es")))
            return most >= 15

        await eventually(all_there, within_s=SOON_S)
        await fleets.until_ready("es", 15)
        fleets.scale("es", 3)
        await fleets.until_ready("es", 3)
        assert most == 15
