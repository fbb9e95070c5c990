"""What a node can do, read from what real peers and strangers say."""

from __future__ import annotations

from typing import Any

import pytest

from lingua_scheduler.auth import NodeIdentity
from lingua_scheduler.nodes.capability import (
    MAX_LANGUAGES,
    NodeFacts,
    capacity_of,
    document_of,
    facts_of,
    pairing_digest,
)
from lingua_scheduler.nodes.member import tenants_of
from lingua_state.models import Pair
from lingua_wire.node_messages import NodeHeartbeat, NodeRegister


def register(**fields: Any) -> NodeRegister:
    message = {
        "version": "1.0",
        "platform": "linux",
        "hardware": {"cpu_cores": 8, "memory_gb": 16},
        "accept_public_jobs": True,
        **fields,
    }
    return NodeRegister.model_validate(message)


def beat(**fields: Any) -> NodeHeartbeat:
    usage = {"cpu_percent": 1, "mem_percent": 1}
    return NodeHeartbeat.model_validate({"node_id": "n", "timestamp": 1, "resource_usage": usage, **fields})


def languages(asr: str = "", semantic: str = "", tts: str = "", **more: Any) -> dict[str, Any]:
    return {
        "asr_languages": asr.split(),
        "semantic_languages": semantic.split(),
        "tts_languages": tts.split(),
        **more,
    }


def service(kind: str, status: str = "running", **more: Any) -> dict[str, Any]:
    return {"service_id": f"{kind}-1", "type": kind, "device": "cpu", "status": status, **more}


def facts(**fields: Any) -> NodeFacts:
    return facts_of(register(**fields))


def test_pairs_are_what_it_hears_times_what_it_understands() -> None:
    capability = facts(language_capabilities=languages("en zh", "es zh", "fr")).capability
    assert capability is not None
    assert capability.pairs() == (Pair("en", "es"), Pair("en", "zh"), Pair("zh", "es"))


def test_without_semantic_languages_the_spoken_ones_count() -> None:
    capability = facts(language_capabilities=languages("en", "", "es ca")).capability
    assert capability is not None
    assert capability.targets == ("ca", "es")


def test_a_node_without_languages_is_in_no_pool_and_not_ready() -> None:
    early = facts()
    assert early.capability is None
    assert not early.ready


def test_languages_may_arrive_with_the_first_heartbeat() -> None:
    early = facts(installed_services=[service("asr"), service("nmt")])
    later = early.with_beat(beat(language_capabilities=languages("en", "es")))
    assert later.ready
    assert later.capability is not None


def test_what_a_heartbeat_leaves_out_changes_nothing() -> None:
    known = facts(installed_services=[service("asr")], language_capabilities=languages("en", "es"))
    assert known.with_beat(beat()) is known
    nothing = beat(installed_services=[], capability_by_type=[], language_capabilities=languages())
    assert known.with_beat(nothing) is known
    assert known.with_beat(beat(installed_services=None, capability_by_type=None, language_capabilities=None)) is known


def test_a_heartbeat_with_other_languages_changes_the_capability() -> None:
    known = facts(language_capabilities=languages("en", "es"))
    other = known.with_beat(beat(language_capabilities=languages("en fr", "es"))).capability
    assert known.capability is not None
    assert other is not None
    assert other.pool_id != known.capability.pool_id


def test_the_order_and_case_of_languages_make_no_new_class() -> None:
    one = facts(language_capabilities=languages("EN zh-cn", "es")).capability
    two = facts(language_capabilities=languages("zh-CN en en", "ES")).capability
    assert one is not None
    assert two is not None
    assert one.pool_id == two.pool_id


def test_a_cpu_only_node_is_ready_though_its_flags_say_no() -> None:
    types = [{"type": kind, "ready": False, "devices": ["cpu"]} for kind in ("asr", "nmt", "tts", "phonetic")]
    cpu = facts(
        installed_services=[service("asr"), service("nmt"), service("tts")],
        capability_by_type=types,
        language_capabilities=languages("en", "es"),
    )
    assert cpu.ready


@pytest.mark.parametrize("status", ["stopped", "error"])
def test_a_service_that_is_down_counts_before_a_ready_flag(status: str) -> None:
    node = facts(
        installed_services=[service("asr", status), service("nmt")],
        capability_by_type=[{"type": "asr", "ready": True}],
        language_capabilities=languages("en", "es"),
    )
    assert node.missing == ("asr",)
    assert not node.ready
    assert node.with_beat(beat(installed_services=[service("asr"), service("nmt")])).ready


def test_one_of_two_services_of_a_type_is_enough() -> None:
    node = facts(
        installed_services=[service("asr", "error"), service("asr")], language_capabilities=languages("en", "es")
    )
    assert node.ready


def test_without_services_the_flags_decide() -> None:
    said = languages("en", "es")
    assert facts(capability_by_type=[{"type": "asr", "ready": True}], language_capabilities=said).ready
    assert not facts(capability_by_type=[{"type": "asr", "ready": False}], language_capabilities=said).ready


@pytest.mark.parametrize(
    ("extensions", "said", "hears_any"),
    [
        ([], {}, True),
        (["carried"], {}, False),
        (["carried"], {"auto": True}, True),
        ([], {"auto": False}, False),
    ],
)
def test_base_nodes_find_the_language_themselves_and_others_say_so(
    extensions: list[str], said: dict[str, Any], hears_any: bool
) -> None:
    capability = facts(extensions=extensions, language_capabilities=languages("en es", "es en", **said)).capability
    assert capability is not None
    assert capability.auto is hears_any


def test_auto_is_no_language_of_a_pair() -> None:
    capability = facts(extensions=["carried"], language_capabilities=languages("auto en", "es")).capability
    assert capability is not None
    assert (capability.asr, capability.auto) == (("en",), True)


def test_excluded_pairs_are_left_out() -> None:
    said = languages("en es", "en es ca", excluded_pairs=["ES:ca"])
    capability = facts(language_capabilities=said).capability
    assert capability is not None
    assert Pair("es", "ca") not in capability.pairs()
    assert Pair("en", "ca") in capability.pairs()


def test_a_private_node_is_for_its_tenants_or_its_code_only() -> None:
    private = facts_of(register(accept_public_jobs=False, pairing_code="4711"))
    assert not private.access.public
    assert private.access.pairing == pairing_digest("4711")
    owned = facts_of(register(), tenants=("b", "a"))
    assert (owned.access.public, owned.access.tenants) == (False, ("a", "b"))
    assert facts().access.public


@pytest.mark.parametrize(
    ("public", "identity", "tenants"),
    [
        (False, NodeIdentity(), ("said",)),
        (True, NodeIdentity(), ()),
        (False, NodeIdentity(verified=True), ()),
        (False, NodeIdentity(verified=True, tenant="proved"), ("proved",)),
    ],
)
def test_a_tenant_that_a_node_names_itself_counts_only_where_no_credential_is_asked_for(
    public: bool, identity: NodeIdentity, tenants: tuple[str, ...]
) -> None:
    assert tenants_of(register(tenant_id="said", accept_public_jobs=public), identity) == tenants


def test_the_document_for_people_holds_no_pairing_code_and_is_bounded() -> None:
    message = register(
        pairing_code="secret-4711",
        installed_services=[service("asr", version="2")] * 200,
        pair_notes={"en:es": "domain model"},
        hardware={"cpu_cores": 8, "memory_gb": 16, "gpus": [{"name": "A", "memory_gb": 24}]},
    )
    document = document_of(message)
    assert "secret-4711" not in str(document)
    assert len(document["services"]) == 64
    assert document["pair_notes"] == {"en:es": "domain model"}
    assert document["hardware"]["gpus"] == ["A"]


@pytest.mark.parametrize(("said", "capacity"), [(None, 4), (1, 1), (7, 7), (99_999, 64)])
def test_capacity_is_the_node_s_own_word_within_the_limit(said: int | None, capacity: int) -> None:
    assert capacity_of(register(max_jobs=said), default=4, limit=64) == capacity


def test_the_number_of_languages_is_bounded() -> None:
    codes = " ".join(f"{first}{second}x" for first in "abcdefghijklmnopqrst" for second in "abcdefghijklmnopqrst")
    capability = facts(language_capabilities=languages(codes, "es")).capability
    assert capability is not None
    assert len(capability.asr) == MAX_LANGUAGES
