from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from kit.state import EN_ES, ES_EN, age_lease, assign, beat, can, declared, finish, join, load_of, want
from lingua_state import declarations, dispatch, known, nodes, pools
from lingua_state.declarations import Credential, Declaration, Scheduling
from lingua_state.declared import OTHERS_KEYS, own_word, own_words
from lingua_state.errors import DeclarationApart, NodeIdTaken, NoNode, Redeclared, StaleGeneration
from lingua_state.keys import Keys
from lingua_state.models import Access, Assigned, Capability, NodeStatus, Pair, Waiting
from lingua_state.pages import BadCursor
from lingua_state.sweep import sweep

if TYPE_CHECKING:
    from lingua_state.client import Store

BOTH = can("en es", "en es")


async def entries(store: Store, limit: int = 100) -> dict[str, declarations.DeclaredEntry]:
    found: dict[str, declarations.DeclaredEntry] = {}
    cursor = None
    while True:
        page = await declarations.list_declared(store, limit, cursor)
        found |= {entry.node_id: entry for entry in page.items}
        cursor = page.cursor
        if cursor is None:
            return found


async def connect(store: Store, declaration: Declaration, capability: Capability | None = None, **more: Any) -> None:
    """Let the process of a declared node in."""
    await join(store, declaration.node_id, capability or can("", ""), declaration=declaration, **more)


async def test_what_was_declared_is_read_back(store: Store) -> None:
    said = declared(
        "n1", BOTH, capacity=7, weight=250, scheduling=Scheduling.CORDONED, services=("asr", "tts"),
        credential=Credential("token", "a" * 64),
    )  # fmt: skip
    assert (await declarations.declare(store, said)).outcome == "applied"
    assert await declarations.get(store, "n1") == said
    assert await declarations.get(store, "n2") is None
    assert await entries(store) == {"n1": declarations.DeclaredEntry("n1", "u1", 1, said.digest)}


async def test_the_very_same_declared_again_writes_nothing(store: Store) -> None:
    await declarations.declare(store, declared("n1"))
    await store.call("DEL", store.keys.pool_def(can().pool_id))
    assert (await declarations.declare(store, declared("n1"))).outcome == "unchanged"
    assert await store.call("EXISTS", store.keys.pool_def(can().pool_id)) == 0


async def test_a_declared_node_that_is_not_connected_makes_its_pairs_known_and_gets_nothing(store: Store) -> None:
    await declarations.declare(store, declared("n1", capacity=9))
    assert await pools.offered(store, EN_ES)
    assert not await pools.offered(store, ES_EN)
    (pool,) = await pools.pools(store)
    assert (pool.nodes, pool.declared, pool.choosable, pool.capacity, pool.free) == (0, 1, 0, 0, 0)
    (pair,) = await pools.pairs(store)
    assert (pair.classes, pair.declared, pair.nodes, pair.free) == (1, 1, 0, 0)
    with pytest.raises(NoNode):
        await dispatch.dispatch(store, want(wait_ms=0))
    assert await nodes.count(store) == 0
    assert (await sweep(store, idle_ms=0)).expired_nodes == ()
    assert not await pools.retire(store, can().pool_id, idle_ms=0)
    assert await declarations.live(store, ["n1"]) == {}


async def test_an_older_generation_of_the_same_resource_changes_nothing(store: Store) -> None:
    newest = declared("n1", generation=3, capacity=3)
    await declarations.declare(store, newest)
    with pytest.raises(StaleGeneration):
        await declarations.declare(store, declared("n1", generation=2, capacity=2))
    assert await declarations.get(store, "n1") == newest


async def test_another_resource_takes_a_node_id_only_from_one_that_is_known_to_be_gone(store: Store) -> None:
    await declarations.declare(store, declared("n1", uid="u1", generation=9))
    other = declared("n1", uid="u2")
    with pytest.raises(NodeIdTaken) as taken:
        await declarations.declare(store, other)
    assert taken.value.uid == "u1"
    with pytest.raises(NodeIdTaken):
        await declarations.declare(store, other, replaces="u3")
    assert (await declarations.withdraw(store, "n1", "u2")).outcome == "taken"
    assert (await declarations.declare(store, other, replaces="u1")).outcome == "applied"
    assert (await declarations.declare(store, other, replaces="u1")).outcome == "unchanged"
    assert await declarations.get(store, "n1") == other
    assert (await declarations.summary(store)).count == 1


async def test_the_same_generation_with_another_credential_is_applied(store: Store) -> None:
    await declarations.declare(store, declared("n1", credential=Credential("token", "a" * 64)))
    turned = declared("n1", credential=Credential("token", "b" * 64))
    assert (await declarations.declare(store, turned)).outcome == "applied"
    assert await declarations.get(store, "n1") == turned


async def test_sums_are_the_same_in_every_order_and_as_computed_from_what_should_be_there(store: Store) -> None:
    said = [declared(f"n{number}", uid=f"u{number}", weight=number) for number in range(4)]
    seen = set()
    for order in list(permutations(said))[::5]:
        for one in order:
            await declarations.declare(store, one)
        found = await declarations.summary(store)
        assert (found.digest, found.count) == (declarations.declared_digest(order), 4)
        seen.add(found.digest)
        for one in order:
            assert (await declarations.withdraw(store, one.node_id, one.uid)).outcome == "removed"
        found = await declarations.summary(store)
        assert (found.digest, found.count) == (declarations.declared_digest([]), 0)
    assert len(seen) == 1


async def test_a_change_of_anything_declared_changes_the_digest(store: Store) -> None:
    first = declared("n1")
    others = [
        replace(first, generation=2), replace(first, uid="u2"), replace(first, capacity=5), replace(first, weight=0),
        replace(first, scheduling=Scheduling.DRAINING), replace(first, services=("asr",)),
        replace(first, capability=can("en", "fr")), replace(first, capability=can("en", "es", tenants=("t",))),
        replace(first, credential=Credential("service_account", "a/b")), replace(first, node_id="n2"),
    ]  # fmt: skip
    assert len({one.digest for one in [first, *others]}) == len(others) + 1
    assert len({declarations.declared_digest([one]) for one in [first, *others]}) == len(others) + 1


async def test_ten_thousand_declarations_keep_their_sums(valkey_store: Store) -> None:
    said = [declared(f"n{number}", uid=f"u{number}") for number in range(10_000)]
    await declarations.declare(valkey_store, said[0])
    for start in range(0, len(said), 500):
        await asyncio.gather(*(declarations.declare(valkey_store, one) for one in said[start : start + 500]))
    found = await declarations.summary(valkey_store)
    assert (found.count, found.digest) == (10_000, declarations.declared_digest(said))
    listed = await entries(valkey_store, 700)
    assert {entry.digest for entry in listed.values()} == {one.digest for one in said}


async def test_a_list_gives_no_page_for_a_foreign_cursor(store: Store) -> None:
    with pytest.raises(BadCursor):
        await declarations.list_declared(store, 10, "x")


async def test_the_live_digest_changes_whenever_a_declared_node_connects_leaves_or_changes_its_status(
    store: Store,
) -> None:
    said = declared("n1")
    await declarations.declare(store, said)
    seen = [(await declarations.summary(store)).live_digest]

    async def changed() -> bool:
        found = await declarations.summary(store)
        seen.append(found.live_digest)
        return seen[-1] != seen[-2]

    await join(store, "undeclared")
    assert not await changed()
    await connect(store, said)
    assert await changed()
    await beat(store, "n1")
    assert not await changed()
    await beat(store, "n1", overloaded=True)
    assert await changed()
    await beat(store, "n1", ready=False)
    assert await changed()
    await beat(store, "n1")
    await nodes.offline(store, "n1", "n1.1")
    assert await changed()
    assert seen[-1] == seen[0], "nobody is in, as at the start"
    await connect(store, said, incarnation="n1.2")
    await age_lease(store, "n1")
    await sweep(store)
    await changed()
    assert seen[-1] == seen[0]


async def test_a_node_that_an_older_scheduler_let_in_past_its_declaration_is_counted_when_it_registers(
    store: Store,
) -> None:
    said = declared("n1")
    await join(store, "n1")
    await declarations.declare(store, said)
    bound_digest = (await declarations.summary(store)).live_digest
    await declarations.withdraw(store, "n1", "u1")
    await join(store, "n1")
    await store.call("HSET", store.keys.nodes_declared(), "n1", said.text())
    await connect(store, said)
    assert (await declarations.summary(store)).live_digest == bound_digest
    await nodes.offline(store, "n1", "n1.1")
    assert (await declarations.summary(store)).live_digest == "0"


async def test_the_summary_names_the_epoch_and_another_one_after_the_store_was_emptied(store: Store) -> None:
    await declarations.declare(store, declared("n1"))
    before = await declarations.summary(store)
    assert (await declarations.summary(store)).epoch == before.epoch
    await store.call("FLUSHALL")
    after = await declarations.summary(store)
    assert after.epoch != before.epoch
    assert (after.count, after.digest) == (0, declarations.declared_digest([]))


async def test_everything_declared_again_after_the_store_was_emptied_is_as_before(store: Store) -> None:
    said = [declared(f"n{number}", BOTH, uid=f"u{number}") for number in range(3)]
    for one in said:
        await declarations.declare(store, one)
    await connect(store, said[0])
    await store.call("FLUSHALL")
    assert (await beat(store, "n0")).outcome == "unknown"
    for one in said:
        assert (await declarations.declare(store, one)).outcome == "applied"
    await connect(store, said[0])
    assert (await assign(store, pair=ES_EN)).node_id == "n0"
    found = await declarations.summary(store)
    assert (found.count, found.digest) == (3, declarations.declared_digest(said))


# A process that connects


async def test_the_declaration_bounds_what_the_process_says_of_itself(store: Store) -> None:
    said = declared("n1", can("en fr", "es de", tenants=("acme",), public=False), capacity=2)
    await declarations.declare(store, said)
    await connect(store, said, can("en it", "es en", auto=True), capacity=99)
    node = await nodes.get(store, "n1")
    assert node is not None
    assert node.capability == Capability(("en",), ("es",), auto=True, access=Access(False, ("acme",)))
    assert (node.capacity, node.uid, node.generation, node.weight) == (2, "u1", 1, 100)
    with pytest.raises(NoNode):
        await dispatch.dispatch(store, want(wait_ms=0))
    assert (await assign(store, tenant="acme")).node_id == "n1"


async def test_a_process_that_names_no_languages_has_the_declared_ones(store: Store) -> None:
    said = declared("n1", BOTH)
    await declarations.declare(store, said)
    await connect(store, said)
    assert (await assign(store, pair=ES_EN)).node_id == "n1"


async def test_pairs_that_either_excludes_are_excluded(store: Store) -> None:
    said = declared("n1", replace(BOTH, exclude=(EN_ES,)))
    await declarations.declare(store, said)
    await connect(store, said, replace(can("en es fr", "en es fr"), exclude=(Pair("fr", "es"),)))
    node = await nodes.get(store, "n1")
    assert node is not None
    assert node.capability.pairs() == (ES_EN,)


@pytest.mark.parametrize(
    ("declared_as", "offered", "own"),
    [
        ("en", ("en", "en-US"), "en"),
        ("en-US", ("en", "en-GB"), "en"),
        ("zh-Hant-TW", ("zh", "zh-Hant"), "zh-Hant"),
        ("en", ("en-US", "en-GB"), "en-GB"),
        ("en-US", ("en-GB",), None),
        ("en", ("eng",), None),
        ("en", (), None),
    ],
)
def test_a_process_may_mean_a_declared_language_by_a_wider_or_a_narrower_word(
    declared_as: str, offered: tuple[str, ...], own: str | None
) -> None:
    assert own_word(declared_as, offered) == own


async def test_a_node_serves_the_words_of_its_declaration_whatever_words_its_process_has(store: Store) -> None:
    said = declared("n1", can("en es-MX", "es-MX en"))
    await declarations.declare(store, said)
    offered = replace(can("en-US es", "es en-US fr"), exclude=(Pair("es", "en-US"),))
    await connect(store, said, offered)
    node = await nodes.get(store, "n1")
    assert node is not None
    assert node.capability.pairs() == (Pair("en", "es-MX"),)
    assert (await assign(store, pair=Pair("en", "es-MX"))).node_id == "n1"
    assert own_words(said, offered) == {"en": "en-US", "es-MX": "es"}


@pytest.mark.parametrize(
    ("capability", "services", "named"),
    [
        (can("fr", "es"), (), "languages: the node hears fr and speaks es; declared is en into es"),
        (can("en", "fr"), (), "languages: "),
        (can(), ("tone",), "services: the node has tone; declared is asr, nmt"),
    ],
)
async def test_a_process_that_can_do_nothing_of_what_is_declared_is_refused_and_told_why(
    store: Store, capability: Capability, services: tuple[str, ...], named: str
) -> None:
    said = declared("n1", services=("asr", "nmt"))
    await declarations.declare(store, said)
    with pytest.raises(DeclarationApart, match=named):
        await connect(store, said, capability, services=services)
    assert await nodes.get(store, "n1") is None


async def test_a_declaration_that_changed_since_it_was_read_is_noticed(store: Store) -> None:
    first, second = declared("n1"), declared("n1", generation=2, capacity=2)
    await declarations.declare(store, first)
    with pytest.raises(Redeclared):
        await join(store, "n1")
    await declarations.declare(store, second)
    with pytest.raises(Redeclared):
        await connect(store, first)
    assert await nodes.get(store, "n1") is None
    await connect(store, second)
    with pytest.raises(Redeclared):
        await beat(store, "n1", capability=can(), declaration=first)
    await declarations.withdraw(store, "n1", "u1")
    with pytest.raises(Redeclared):
        await connect(store, second)
    await join(store, "n1")


async def test_changed_languages_stay_within_the_declaration(store: Store) -> None:
    said = declared("n1", can("en fr", "es"))
    await declarations.declare(store, said)
    await connect(store, said, can("en", "es"))
    waiting = await dispatch.dispatch(store, want(pair=Pair("fr", "es")))
    assert isinstance(waiting, Waiting)
    beaten = await beat(store, "n1", capability=can("en fr it", "es en"), declaration=said)
    assert [job.job_id for job in beaten.assigned] == [waiting.job_id]
    node = await nodes.get(store, "n1")
    assert node is not None
    assert (node.capability, node.offered) == (can("en fr", "es"), can("en fr it", "en es"))
    assert (await beat(store, "n1", capability=can("it", "en"), declaration=said)).status is NodeStatus.REGISTERING
    assert (await beat(store, "n1", capability=can("en", "es"), declaration=said)).status is NodeStatus.READY


# A declaration that meets a connected node


async def test_a_connected_node_follows_at_once(store: Store) -> None:
    first = declared("n1", can("en", "es"), capacity=1)
    await declarations.declare(store, first)
    await connect(store, first, can("en fr", "es en"))
    await assign(store)
    waiting = [await dispatch.dispatch(store, want(pair=pair)) for pair in (EN_ES, Pair("fr", "es"))]
    second = declared("n1", can("en fr it", "es"), generation=2, capacity=3)
    assert await declarations.declare(store, second) == declarations.Declared("applied", 2)
    assert await load_of(store, "n1") == 3
    told = (await sweep(store)).assigned
    assert {job.job_id for job in told} == {job.job_id for job in waiting}
    assert (await sweep(store)).assigned == ()
    node = await nodes.get(store, "n1")
    assert node is not None
    assert (node.capability, node.capacity, node.generation) == (can("en fr", "es"), 3, 2)
    for job in told:
        assert (await finish(store, job)).outcome == "ok"


async def test_a_node_that_came_by_itself_is_bounded_when_it_is_declared(store: Store) -> None:
    await join(store, "n1", can("en fr", "es"), capacity=5)
    said = declared("n1", can("en it", "es en"), capacity=2)
    before = (await declarations.summary(store)).live_digest
    await declarations.declare(store, said)
    node = await nodes.get(store, "n1")
    assert node is not None
    assert (node.capability, node.capacity, node.offered, node.uid) == (can("en", "es"), 2, can("en fr", "es"), "u1")
    assert (await declarations.summary(store)).live_digest != before
    assert (await beat(store, "n1")).outcome == "ok"
    (old,) = [pool for pool in await pools.pools(store) if pool.capability == can("en fr", "es")]
    assert (old.nodes, old.declared) == (0, 0)


async def test_a_node_that_changes_while_it_is_declared_is_read_again(store: Store) -> None:
    """Many declarations and reconnections of the same node at once: the last words fit together."""
    said = [declared("n1", can("en fr", "es"), generation=number, capacity=number) for number in range(1, 30)]

    async def reconnect(number: int) -> None:
        for _ in range(20):
            found = await declarations.get(store, "n1")
            try:
                await join(store, "n1", can("en", "es it"), declaration=found, incarnation=f"n1.{number}")
            except Redeclared:
                continue
            return

    async def declare(one: Declaration) -> None:
        try:
            await declarations.declare(store, one)
        except StaleGeneration:
            assert one.generation < 29

    await asyncio.gather(*(step for one in said for step in (declare(one), reconnect(one.generation))))
    node = await nodes.get(store, "n1")
    assert node is not None
    assert (node.capacity, node.generation, node.capability) == (29, 29, can("en", "es"))
    for pool in await pools.pools(store):
        assert (pool.nodes, pool.declared) == (
            int(pool.capability == node.capability),
            int(pool.capability == can("en fr", "es")),
        )


@pytest.mark.parametrize("scheduling", [Scheduling.CORDONED, Scheduling.DRAINING])
async def test_a_cordoned_node_keeps_what_it_has_and_gets_nothing_new(store: Store, scheduling: Scheduling) -> None:
    said = declared("n1", capacity=4)
    await declarations.declare(store, said)
    await connect(store, said)
    job = await assign(store)
    await declarations.declare(store, replace(said, generation=2, scheduling=scheduling))
    with pytest.raises(NoNode):
        await dispatch.dispatch(store, want(wait_ms=0))
    explained = await dispatch.explain(store, want())
    assert [(one.node_id, one.reason) for one in explained.candidates] == [("n1", "draining")]
    assert (await beat(store, "n1")).status is NodeStatus.DRAINING
    assert await nodes.undrain(store, "n1") == ()
    waiting = await dispatch.dispatch(store, want())
    assert isinstance(waiting, Waiting)
    assert (await finish(store, job)).assigned == ()
    assert (await declarations.declare(store, replace(said, generation=3))).assigned == 1
    assert [job.job_id for job in (await sweep(store)).assigned] == [waiting.job_id]


async def test_a_node_that_is_cordoned_before_it_connects_comes_in_cordoned(store: Store) -> None:
    said = declared("n1", scheduling=Scheduling.CORDONED)
    await declarations.declare(store, said)
    joined = await join(store, "n1", declaration=said)
    assert joined.status is NodeStatus.DRAINING


async def test_a_drain_by_hand_and_one_by_declaration_do_not_end_each_other(store: Store) -> None:
    said = declared("n1")
    await declarations.declare(store, said)
    await connect(store, said)
    await nodes.drain(store, "n1")
    await declarations.declare(store, replace(said, generation=2, capacity=9))
    assert (await beat(store, "n1")).status is NodeStatus.DRAINING
    await nodes.undrain(store, "n1")
    assert (await beat(store, "n1")).status is NodeStatus.READY


# Taking back


async def test_a_withdrawn_node_is_out_and_its_jobs_go_back_to_their_owners(store: Store) -> None:
    said = declared("n1", capacity=300)
    await declarations.declare(store, said)
    await connect(store, said)
    taken = {(await assign(store)).job_id for _ in range(205)}
    assert await declarations.withdraw(store, "n1", "u1") == declarations.Withdrawn("removed", 205)
    assert await load_of(store, "n1") == 0
    assert (await beat(store, "n1")).outcome == "unknown"
    node = await nodes.get(store, "n1")
    assert node is not None
    assert (node.status, node.failed, node.uid, node.offered) == (NodeStatus.OFFLINE, 0, "", None)
    told = [job for _ in range(3) for job in (await sweep(store)).lost]
    assert {job.job_id for job in told} <= taken
    assert len(told) >= 100
    assert {job.reason for job in told} == {"drain"}
    assert await declarations.withdraw(store, "n1", "u1") == declarations.Withdrawn("missing")
    assert await pools.retire(store, can().pool_id, idle_ms=0)
    live = await declarations.live(store, ["n1"])
    assert not live["n1"].connected


async def test_a_withdrawn_node_that_may_come_by_itself_is_bounded_no_more(store: Store) -> None:
    said = declared("n1", capacity=2, weight=1, scheduling=Scheduling.CORDONED)
    await declarations.declare(store, said)
    await connect(store, said, can("en fr", "es"))
    await declarations.withdraw(store, "n1", "u1")
    assert (await join(store, "n1", can("en fr", "es"), capacity=7)).status is NodeStatus.READY
    node = await nodes.get(store, "n1")
    assert node is not None
    assert (node.capability, node.capacity, node.weight, node.scheduling) == (can("en fr", "es"), 7, 100, "")
    assert (await declarations.summary(store)).live_digest == "0"


async def test_how_a_node_is_is_read_in_one_look(store: Store) -> None:
    said = declared("n1", capacity=3)
    await declarations.declare(store, said)
    await connect(store, said)
    await assign(store)
    (node,) = (await declarations.live(store, ["n1", "nobody"])).values()
    assert (node.status, node.load, node.capacity, node.connected) == (NodeStatus.READY, 1, 3, True)
    assert (node.instance_id, node.incarnation) == ("s1", "n1.1")


async def known_ids(store: Store, limit: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    cursor = None
    while True:
        page = await known.list_known(store, limit, cursor)
        found += [(node.node_id, node.status.value) for node in page.items]
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [7, 500])
async def test_all_nodes_are_listed_whether_connected_or_only_declared(store: Store, limit: int) -> None:
    said = [declared(f"n{number}", uid=f"u{number}", capacity=3, weight=number) for number in range(60)]
    for one in said:
        await declarations.declare(store, one)
    for one in said[:20]:
        await connect(store, one)
    await join(store, "undeclared")
    found = await known_ids(store, limit)
    assert set(found) == {
        ("undeclared", "ready"), *((f"n{number}", "ready" if number < 20 else "offline") for number in range(60))
    }  # fmt: skip
    assert limit < 61 or len(found) == 61
    with pytest.raises(BadCursor):
        await known.list_known(store, limit, "dx")


async def test_a_declared_node_is_shown_before_it_connects_and_after_it_left(store: Store) -> None:
    said = declared("n1", BOTH, capacity=3, scheduling=Scheduling.CORDONED)
    assert await known.get_known(store, "n1") is None
    await declarations.declare(store, said)
    before = await known.get_known(store, "n1")
    assert before is not None
    assert (before.status, before.capability, before.capacity) == (NodeStatus.OFFLINE, BOTH, 3)
    assert (before.uid, before.scheduling, before.generation) == ("u1", "cordoned", 1)
    await connect(store, said, can("en", "es"), version="1.2")
    connected = await known.get_known(store, "n1")
    assert connected is not None
    assert (connected.status, connected.capability) == (NodeStatus.DRAINING, can("en", "es"))
    await nodes.offline(store, "n1", "n1.1")
    after = await known.get_known(store, "n1")
    assert after is not None
    assert (after.status, after.capability, after.version) == (NodeStatus.OFFLINE, BOTH, "1.2")


# Weight


async def two(store: Store, *weights: int, capacity: int = 300) -> None:
    for number, weight in enumerate(weights, 1):
        said = declared(f"n{number}", uid=f"u{number}", capacity=capacity, weight=weight)
        await declarations.declare(store, said)
        await connect(store, said)


@pytest.mark.parametrize(("weights", "share"), [((100, 100), 150), ((200, 100), 200), ((50, 100), 100), ((10, 30), 75)])
async def test_weights_share_the_load_between_nodes(store: Store, weights: tuple[int, int], share: int) -> None:
    await two(store, *weights)
    jobs = [await assign(store) for _ in range(300)]
    assert sum(job.node_id == "n1" for job in jobs) == pytest.approx(share, abs=3)


async def test_a_node_of_weight_nought_works_only_when_nobody_else_is_free(store: Store) -> None:
    await two(store, 0, 100, capacity=2)
    assert [(await assign(store)).node_id for _ in range(4)] == ["n2", "n2", "n1", "n1"]
    with pytest.raises(NoNode):
        await dispatch.dispatch(store, want(wait_ms=0))


async def test_a_heavy_node_never_gets_more_than_it_takes(store: Store) -> None:
    await two(store, 1000, 1, capacity=2)
    jobs = [await assign(store) for _ in range(4)]
    assert [job.node_id for job in jobs] == ["n1", "n1", "n2", "n2"]
    with pytest.raises(NoNode):
        await dispatch.dispatch(store, want(wait_ms=0))
    waiting = await dispatch.dispatch(store, want())
    done = await finish(store, jobs[0])
    assert isinstance(waiting, Waiting)
    assert [(job.job_id, job.node_id) for job in done.assigned] == [(waiting.job_id, "n1")]


async def test_a_changed_weight_counts_at_once(store: Store) -> None:
    await two(store, 0, 100, capacity=4)
    assert (await assign(store)).node_id == "n2"
    await declarations.declare(store, declared("n1", generation=2, capacity=4, weight=1000))
    job = await assign(store)
    assert isinstance(job, Assigned)
    assert job.node_id == "n1"


# Values


def test_no_node_id_can_be_read_as_another_key_of_a_node() -> None:
    keys = Keys()
    made = {name: getattr(keys, name)("n1") for name in vars(Keys) if name.startswith("node_")}
    assert made
    assert {key.removeprefix(keys.node("n1")) for key in made.values()} == set(OTHERS_KEYS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"node_id": "a b"}, {"node_id": "n1:jobs"}, {"node_id": "n1:waiting"},
        {"node_id": ""}, {"uid": "u 1"}, {"generation": 0}, {"capacity": 0}, {"capacity": 1001},
        {"weight": -1}, {"weight": 1001},
    ],
)  # fmt: skip
def test_a_declaration_that_would_break_its_text_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        declared(**({"node_id": "n1"} | wrong))


@pytest.mark.parametrize(("kind", "value"), [("token", "secret"), ("token", "A" * 64), ("service_account", "a")])
def test_a_credential_is_a_digest_or_a_whole_name(kind: Any, value: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Credential(kind, value)
