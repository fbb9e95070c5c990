from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from lingua_state.keys import PUBLIC, Keys, pairing_scope, tenant_scope
from lingua_state.loader import assemble, prelude
from lingua_state.models import JobStatus, Pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingua_state.client import Store

EN_ES = Pair("en", "es")

# Every name, and the Lua that makes it where a script must.
NAMES: dict[str, tuple[Callable[[Keys], str], str | None]] = {
    "epoch": (lambda k: k.epoch(), None),
    "barrier": (lambda k: k.barrier(), None),
    "pool:en:es": (lambda k: k.pool(EN_ES), "pool_key(root, 'en:es')"),
    "pool:en:es@acme": (
        lambda k: k.pool(EN_ES, tenant_scope("acme")),
        "pool_key(root, 'en:es@acme')",
    ),
    "pool:en:es#c0de": (
        lambda k: k.pool(EN_ES, pairing_scope("c0de")),
        "pool_key(root, 'en:es#c0de')",
    ),
    "pool:auto:es": (lambda k: k.pool(Pair("auto", "es")), "pool_key(root, 'auto:es')"),
    "pool:abc:nodes": (lambda k: k.pool_nodes("abc"), "pool_nodes_key(root, 'abc')"),
    "pool:abc:def": (lambda k: k.pool_def("abc"), "pool_def_key(root, 'abc')"),
    "pool:abc:names": (lambda k: k.pool_names("abc"), "pool_names_key(root, 'abc')"),
    "pools:all": (lambda k: k.pools_all(), "pools_all_key(root)"),
    "pool:*#c0de": (lambda k: k.paired("c0de"), "pool_key(root, '*#c0de')"),
    "guesses:ab12": (lambda k: k.guesses("ab12"), None),
    "node:n1": (lambda k: k.node("n1"), "node_key(root, 'n1')"),
    "node:n1:jobs": (lambda k: k.node_jobs("n1"), "node_jobs_key(root, 'n1')"),
    "node:n1:waiting": (lambda k: k.node_waiting("n1"), "node_waiting_key(root, 'n1')"),
    "node:n1:classes": (lambda k: k.node_classes("n1"), None),
    "nodes:all": (lambda k: k.nodes_all(), "nodes_all_key(root)"),
    "nodes:lease": (lambda k: k.nodes_lease(), "nodes_lease_key(root)"),
    "nodes:declared": (lambda k: k.nodes_declared(), None),
    "nodes:declared:sums": (lambda k: k.nodes_declared_sums(), "nodes_declared_sums_key(root)"),
    "notices": (lambda k: k.notices(), "notices_key(root)"),
    "notices:s1": (lambda k: k.notices_for("s1"), None),
    "job:j1": (lambda k: k.job("j1"), "job_key(root, 'j1')"),
    "jobs:deadline": (lambda k: k.jobs_deadline(), "jobs_deadline_key(root)"),
    "jobs:failed": (lambda k: k.jobs(JobStatus.FAILED), "jobs_key(root, 'failed')"),
    "request:acme:r1": (lambda k: k.request("acme", "r1"), None),
    "waiting": (lambda k: k.waiting_pairs(), "waiting_pairs_key(root)"),
    "waiting:en:es": (lambda k: k.waiting(EN_ES), "waiting_key(root, 'en:es')"),
    "waits": (lambda k: k.waiting_names(), "waiting_names_key(root)"),
    "waits:en:es": (lambda k: k.waiting_for("en:es"), "waiting_for_key(root, 'en:es')"),
    "sessions": (lambda k: k.sessions(), None),
    "instance:s1": (lambda k: k.instance("s1"), "instance_key(root, 's1')"),
    "instances": (lambda k: k.instances(), None),
}
SESSION_NAMES: dict[str, tuple[Callable[[Keys], str], str | None]] = {
    "s1": (lambda k: k.session("s1"), "session_key(sroot, 's1')"),
    "s1:events": (lambda k: k.session_events("s1"), None),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_the_known_one_on_a_plain_server_and_carries_the_tag_in_a_cell(name: str) -> None:
    make = NAMES[name][0]
    assert make(Keys()) == f"lingua:v1:{name}"
    assert make(Keys(cell="c0")) == f"lingua:v1:{{c0}}:{name}"


@pytest.mark.parametrize("name", SESSION_NAMES)
def test_a_sessions_name_begins_with_the_schedulers_own_root(name: str) -> None:
    make = SESSION_NAMES[name][0]
    assert make(Keys()) == f"scheduler:session:{name}"
    assert make(Keys(cell="c0")) == f"scheduler:{{c0}}:session:{name}"
    assert make(Keys(prefix="other")) == f"other:scheduler:session:{name}"


async def test_lua_makes_the_same_names_as_python(store: Store) -> None:
    for make, lua in [*NAMES.values(), *SESSION_NAMES.values()]:
        if lua is None:
            continue
        text = assemble(f"#!lua\nlocal root, sroot = ARGV[1], ARGV[2]\nreturn {lua}", prelude())
        made = await store.call("EVAL", text, 1, store.keys.epoch(), store.keys.root, store.keys.session_root)
        assert made == make(store.keys)


def test_every_key_function_of_both_languages_is_compared() -> None:
    python = {name for name in vars(Keys) if not name.startswith("_") and name not in Keys.__dataclass_fields__}
    compared = {code for make, _ in [*NAMES.values(), *SESSION_NAMES.values()] for code in make.__code__.co_names}
    assert python - compared == {"root", "session_root"}
    made = {lua.partition("(")[0] for _, lua in [*NAMES.values(), *SESSION_NAMES.values()] if lua}
    assert made == set(re.findall(r"function (\w+_key)\(", prelude()))


def test_every_key_function_says_its_type() -> None:
    for name, member in vars(Keys).items():
        if callable(member) and not name.startswith("_"):
            assert re.match(r"(string|hash|set|zset|stream|list): ", member.__doc__ or ""), name


async def test_all_keys_of_a_cell_are_in_one_slot(store: Store) -> None:
    keys = Keys(cell="c0")
    made = [make(keys) for make, _ in [*NAMES.values(), *SESSION_NAMES.values()]]
    if store.cell:
        assert len({await store.call("CLUSTER", "KEYSLOT", key) for key in made}) == 1
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("cell", ["C0", "a b", "{c0}", "x" * 17, "c:0"])
def test_a_cell_that_would_break_a_name_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match="a cell is named"):
        Keys(cell=cell)


@pytest.mark.parametrize("prefix", ["", "a:b", "{x}", "a b"])
def test_a_prefix_that_would_break_a_name_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="a key prefix"):
        Keys(prefix=prefix)


def test_scopes_never_meet() -> None:
    assert len({PUBLIC, tenant_scope("x"), pairing_scope("x")}) == 3
