"""The plan of a fleet, on plain values: what each rule asks for, one story at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from kit.fleet_values import EN_ES, EN_FR, NEW, NOW, OLD, around, fleet, member, names, plan_of
from lingua_operator.fleets.plan import node_name
from lingua_operator.fleets.values import (
    Create,
    Delete,
    DeletionPolicy,
    Hurry,
    Reschedule,
    Retire,
    ScaleDown,
    TakeBack,
    Why,
)


def test_what_is_missing_is_made_at_once_under_names_that_repeat() -> None:
    first = plan_of(fleet(replicas=3), [])
    assert len(first.of(Create)) == 3
    assert plan_of(fleet(replicas=3), []) == first
    made = names(first.of(Create))
    partly = plan_of(fleet(replicas=3), [member(made[1])])
    assert names(partly.of(Create)) == [made[0], made[2]]


def test_a_name_that_somebody_else_has_is_left_out() -> None:
    first = names(plan_of(fleet(replicas=2), []).of(Create))
    again = names(plan_of(fleet(replicas=2), [], taken=frozenset({first[0]})).of(Create))
    assert first[0] not in again
    assert len(again) == 2


def test_a_long_fleet_name_is_cut_so_that_the_nodes_name_fits() -> None:
    name = node_name("a" * 57 + "-bcdef", "uid", "hash", 0)
    assert len(name) <= 63
    assert "--" not in name


def test_of_too_many_the_idle_go_before_the_busy() -> None:
    members = [member("a", load=3), member("b"), member("c", load=1)]
    plan = plan_of(fleet(replicas=1), members)
    assert plan.actions == (Retire("b", "b", Why.SCALE_DOWN), Retire("c", "c", Why.SCALE_DOWN))


def test_the_newest_go_first_where_that_is_wished() -> None:
    members = [member("a", age_s=10), member("b", age_s=30), member("c", age_s=20, load=3)]
    plan = plan_of(fleet(replicas=1, scale_down=ScaleDown.NEWEST_FIRST), members)
    assert names(plan.actions) == ["a", "c"]


def test_a_node_that_serves_nobody_goes_before_all() -> None:
    members = [member("a"), member("b", ready=False, load=1)]
    assert names(plan_of(fleet(replicas=1), members).actions) == ["b"]


def test_of_equally_idle_nodes_the_least_needed_goes() -> None:
    members = [member("a", class_id="es"), member("b", class_id="fr"), member("c", class_id="es"),
               member("d", class_id="fr")]  # fmt: skip
    plan = plan_of(fleet(replicas=3), members, demand={"en:es": 8.0, "en:fr": 1.0})
    assert names(plan.actions)[0] in {"b", "d"}


def test_the_last_node_of_a_pair_stays_while_a_busy_one_of_another_pair_can_go() -> None:
    members = [member("a", class_id="fr"), member("b", load=3), member("c", load=4)]
    assert names(plan_of(fleet(replicas=2), members).actions) == ["b"]
    assert names(plan_of(fleet(replicas=2), members, elsewhere=EN_FR).actions) == ["a"]


def test_the_last_node_of_a_pair_goes_when_no_other_can() -> None:
    members = [member("a", class_id="fr"), member("b", load=3)]
    assert names(plan_of(fleet(replicas=1), members).actions) == ["a"]
    assert sorted(names(plan_of(fleet(replicas=0), members).actions)) == ["a", "b"]


def test_a_node_that_leaves_is_deleted_when_it_is_idle_and_not_before() -> None:
    leaving = member("a", retiring=Why.SCALE_DOWN, ready=False, retire_until=NOW + timedelta(seconds=60), load=1)
    waiting = plan_of(fleet(replicas=0), [leaving])
    assert waiting.actions == ()
    assert waiting.wake_at == leaving.retire_until
    assert plan_of(fleet(replicas=0), [replace(leaving, drained=True)]).actions == (Delete("a", "a"),)
    late = around(now=NOW + timedelta(seconds=60))
    assert plan_of(fleet(replicas=0), [leaving], late).actions == (Delete("a", "a", overdue=True),)


def test_a_scale_down_taken_back_brings_back_what_drains_before_anything_is_made() -> None:
    members = [member("a"), member("b", retiring=Why.SCALE_DOWN, load=2), member("c", retiring=Why.SCALE_DOWN)]
    plan = plan_of(fleet(replicas=2), members)
    assert plan.actions == (TakeBack("b", "b"),)
    plan = plan_of(fleet(replicas=4), members)
    assert [type(action) for action in plan.actions] == [TakeBack, TakeBack, Create]


def test_a_new_template_makes_new_nodes_first_up_to_the_surge() -> None:
    members = [member("a", OLD), member("b", OLD)]
    plan = plan_of(fleet(replicas=2, surge=1), members)
    assert [type(action) for action in plan.actions] == [Create]
    unready = [*members, member("n", NEW, ready=False)]
    assert plan_of(fleet(replicas=2, surge=1), unready).actions == ()


def test_an_old_node_leaves_for_each_new_one_that_is_ready_and_busy_ones_last() -> None:
    members = [member("a", OLD, load=2), member("b", OLD), member("n", NEW)]
    plan = plan_of(fleet(replicas=2, surge=1, scale_down=ScaleDown.NEWEST_FIRST), members)
    assert plan.actions == (Retire("b", "b", Why.UPDATE),)


def test_without_surge_as_many_leave_as_may_be_away() -> None:
    members = [member(name, OLD) for name in "abcd"]
    plan = plan_of(fleet(replicas=4, surge=0, unavailable=2), members)
    assert len(plan.of(Retire)) == 2
    assert plan.of(Create) == []


def test_old_nodes_that_are_away_for_a_moment_do_not_all_go() -> None:
    members = [member(name, OLD, ready=False) for name in "abcd"]
    assert len(plan_of(fleet(replicas=4, surge=1, unavailable=1), members).of(Retire)) == 1
    unready = [*members, member("n", NEW, ready=False)]
    assert len(plan_of(fleet(replicas=4, surge=1, unavailable=1), unready).of(Retire)) == 1


def test_a_node_that_leaves_for_an_update_does_not_come_back_in_the_next_round() -> None:
    members = [member("a", OLD), member("b", OLD, retiring=Why.UPDATE, ready=False)]
    assert plan_of(fleet(replicas=2, surge=0, unavailable=1), members).actions == ()


def test_a_template_put_back_takes_its_nodes_back() -> None:
    members = [member("a", NEW, retiring=Why.UPDATE), member("b", OLD, ready=False)]
    plan = plan_of(fleet(replicas=1, surge=1), members)
    assert plan.of(TakeBack) == [TakeBack("a", "a")]
    assert plan.of(Create) == []


def test_while_the_store_is_away_nothing_is_drained_but_what_is_missing_is_made() -> None:
    members = [member("a"), member("b"), member("c")]
    assert plan_of(fleet(replicas=1), members, around(store_known=False)).actions == ()
    assert len(plan_of(fleet(replicas=4), members, around(store_known=False)).of(Create)) == 1


def test_a_node_that_a_person_deletes_is_replaced_at_once() -> None:
    members = [member("a"), member("b", deleted=True)]
    assert len(plan_of(fleet(replicas=2), members).of(Create)) == 1


def test_a_node_that_a_person_cordoned_stays_and_is_left_as_it_is() -> None:
    members = [member("a"), member("b", scheduling="Cordoned", ready=False)]
    assert plan_of(fleet(replicas=2), members).actions == ()


def test_scheduling_of_the_template_goes_to_the_nodes_without_replacing_them() -> None:
    members = [member("a"), member("b", applied_scheduling="Cordoned")]
    assert plan_of(fleet(replicas=2, scheduling="Cordoned"), members).actions == (Reschedule("a", "a"),)


def test_a_deleted_fleet_deletes_its_nodes_and_goes_when_none_is_left() -> None:
    gone = replace(fleet(replicas=2), deleted=NOW)
    members = [member("a", load=1), member("b", deleted=True)]
    assert plan_of(gone, members).actions == (Delete("a", "a"),)
    assert not plan_of(gone, members).release
    assert plan_of(gone, []).release


def test_an_immediate_deletion_waits_for_nothing() -> None:
    gone = replace(fleet(replicas=2, deletion_policy=DeletionPolicy.IMMEDIATE), deleted=NOW)
    members = [member("a", load=1), member("b", deleted=True), member("c", deleted=True, drain_deadline_s=0)]
    assert plan_of(gone, members).actions == (Hurry("a", "a"), Hurry("b", "b"), Delete("a", "a"))


def test_nodes_that_are_to_outlive_the_fleet_stay() -> None:
    gone = replace(fleet(replicas=2), deleted=NOW, orphaning=True)
    plan = plan_of(gone, [member("a")])
    assert plan.release
    assert plan.actions == ()


def test_a_fleet_that_nobody_understands_keeps_what_it_has() -> None:
    assert plan_of(replace(fleet(), spec=None, problem="spec.replicas: wrong"), [member("a")]).actions == ()


def test_the_pairs_of_the_tests_are_what_they_are_called() -> None:
    assert around().pairs == {"es": EN_ES, "fr": EN_FR}
