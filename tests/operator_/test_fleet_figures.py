"""The figures for autoscalers, from real queues: as gauges and as the answer that KEDA's metrics-api scaler reads."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from kit.eventually import eventually
from kit.operator_fleets import NODE, Fleets, processes
from kit.operators import SOON_S, Thread
from kit.state import want
from lingua_state import dispatch
from lingua_state.models import Pair, Waiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kit.kube.bed import Bed
    from lingua_state.client import Store

pytestmark = pytest.mark.usefixtures("machines")


@pytest.fixture
def values(values: dict[str, str]) -> dict[str, str]:
    return {**values, "LINGUA_OPERATOR_FLEETS_DEMAND_MS": "200"}


@pytest.fixture
def fleets(bed: Bed, namespace: str) -> Fleets:
    return Fleets(bed.api, namespace)


@pytest.fixture
async def machines(store: Store) -> AsyncIterator[None]:
    async with processes(store):
        yield


def ask(operator: Thread, where: str) -> tuple[int, str]:
    assert operator.operator is not None
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{operator.operator.port}{where}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def demand(operator: Thread, fleets: Fleets, name: str) -> dict[str, Any]:
    status, text = ask(operator, f"/fleets/{fleets.namespace}/{name}/demand")
    found: dict[str, Any] = json.loads(text)
    return found if status == 200 else {}


async def test_waiting_jobs_are_asked_of_the_fleet_that_can_take_most_of_them(
    operator: Thread, fleets: Fleets, store: Store
) -> None:
    fleets.create("both", 1)
    fleets.create("es", 1, {**NODE, "languages": {"asr": ["en"], "tts": ["es"]}})
    await fleets.until_ready("both", 1)
    await fleets.until_ready("es", 1)
    await eventually(lambda: demand(operator, fleets, "both").get("capacity") == 2, within_s=SOON_S)
    pairs = [Pair("en", "de" if number < 5 else "es") for number in range(9)]
    answers = [await dispatch.dispatch(store, want(pair=pair, wait_ms=600_000)) for pair in pairs]
    assert isinstance(answers[-1], Waiting)

    def asked() -> bool:
        both, es = demand(operator, fleets, "both"), demand(operator, fleets, "es")
        # 4 slots are taken by 2 of en:de and 2 of en:es; 3 and 2 jobs wait, and only `both` can take all of them.
        assert (both["waiting"], both["running"], both["freeSlots"], both["busyRatio"]) == (5, 2, 0, 1.0), both
        assert (es["waiting"], es["running"]) == (0, 2), es
        assert (both["wantedReplicas"], es["wantedReplicas"]) == (4, 1)
        return bool(both["oldestWaitSeconds"] > 0 and both["waitingSeconds"] >= 5)

    await eventually(asked, within_s=SOON_S)
    _, text = ask(operator, "/metrics")
    label = f'fleet="both",namespace="{fleets.namespace}"'
    assert f"lingua_fleet_wanted_replicas{{{label}}} 4.0" in text
    assert f"lingua_fleet_waiting{{{label}}} 5.0" in text
    assert f"lingua_fleet_free_slots{{{label}}} 0.0" in text
    assert 'lingua_pair_waiting{pair="en:de"} 3.0' in text
    assert 'lingua_pair_nodes{pair="en:es"} 2.0' in text
    fleets.scale("both", 4)
    await fleets.until_ready("both", 4)
    await eventually(lambda: demand(operator, fleets, "both")["waiting"] == 0, within_s=SOON_S)
    assert demand(operator, fleets, "both")["running"] == 7


async def test_a_fleet_at_its_ceiling_passes_the_rest_on(operator: Thread, fleets: Fleets, store: Store) -> None:
    fleets.create("both", 1)
    ceiling = {"metadata": {"annotations": {"operator.lingua.dev/max-replicas": "1"}}}
    fleets.api.patch(fleets.where("both"), ceiling).expect()
    await fleets.until_ready("both", 1)
    for _ in range(4):
        await dispatch.dispatch(store, want(pair=Pair("en", "es"), wait_ms=600_000))
    fleets.create("es", 0, {**NODE, "languages": {"asr": ["en"], "tts": ["es"]}})
    await eventually(lambda: demand(operator, fleets, "es").get("wantedReplicas") == 1, within_s=SOON_S)
    assert demand(operator, fleets, "both")["waiting"] == 0


async def test_an_odd_ceiling_of_one_fleet_takes_no_figures_from_another(
    operator: Thread, fleets: Fleets, store: Store
) -> None:
    fleets.create("odd", 0)
    odd = {"metadata": {"annotations": {"operator.lingua.dev/max-replicas": "²"}}}
    fleets.api.patch(fleets.where("odd"), odd).expect()
    fleets.create("es", 0, {**NODE, "languages": {"asr": ["fr"], "tts": ["es"]}})
    await dispatch.dispatch(store, want(pair=Pair("fr", "es"), wait_ms=600_000))
    await eventually(lambda: demand(operator, fleets, "es").get("wantedReplicas") == 1, within_s=SOON_S)
    assert demand(operator, fleets, "odd")["waiting"] == 0


async def test_a_fleet_that_is_not_there_has_no_figures(operator: Thread, fleets: Fleets) -> None:
    await eventually(lambda: ask(operator, "/fleets/nobody/none/demand")[0] == 404, within_s=SOON_S)
    del fleets
