"""Random calls in random order against one server, for as many examples as are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

if TYPE_CHECKING:
    from kit.redis_servers import Server


def search(machine: type[RuleBasedStateMachine], server: Server, examples: int, steps: int) -> None:
    """Run ``examples`` of ``machine``, each of ``steps`` calls; ``machine.server`` is the server."""
    run_state_machine_as_test(
        type("OnThisServer", (machine,), {"server": server}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            # The store's answers hang on its clock, so a shorter example may not fail the same way.
            phases=[Phase.generate],
        ),
    )
