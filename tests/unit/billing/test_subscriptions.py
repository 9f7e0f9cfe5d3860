"""Every state × action, against a table written out by hand."""

from __future__ import annotations

import pytest

from billing.subscriptions import INITIAL, TRANSITIONS, Action, Status, allowed_actions, next_status
from runtime.errors import InvalidStateTransition

GRID = """
action                 incomplete         incomplete_expired trialing active   past_due unpaid   paused   canceled
pay_first_invoice      active             -                  -        -        -        -        -        -
expire                 incomplete_expired -                  -        -        -        -        -        -
start_trial            -                  -                  -        trialing -        -        -        -
end_trial              -                  -                  active   -        -        -        -        -
renew                  -                  -                  -        active   past_due unpaid   -        -
change                 -                  -                  trialing active   past_due unpaid   paused   -
fail_payment           -                  -                  -        past_due past_due unpaid   -        -
recover_payment        -                  -                  -        -        active   active   -        -
give_up_payment        -                  -                  -        -        unpaid   -        -        -
pause                  -                  -                  paused   paused   paused   -        -        -
resume                 -                  -                  -        -        -        -        active   -
pause_collection       -                  -                  trialing active   past_due unpaid   -        -
resume_collection      -                  -                  trialing active   past_due unpaid   -        -
schedule_cancellation  -                  -                  trialing active   past_due unpaid   paused   -
keep                   -                  -                  trialing active   past_due unpaid   paused   -
cancel                 incomplete_expired -                  canceled canceled canceled canceled canceled -
"""
HEADER, *ROWS = [line.split() for line in GRID.strip().splitlines()]
CELLS = [(Status(HEADER[column]), Action(row[0]), row[column]) for row in ROWS for column in range(1, len(HEADER))]


def test_the_grid_has_every_state_and_action() -> None:
    assert {(status, action) for status, action, _ in CELLS} == {(s, a) for s in Status for a in Action}
    assert set(TRANSITIONS) == set(Action)


@pytest.mark.parametrize(("status", "action", "expected"), CELLS)
def test_each_cell(status: Status, action: Action, expected: str) -> None:
    if expected != "-":
        assert next_status(status, action) is Status(expected)
        return
    with pytest.raises(InvalidStateTransition) as caught:
        next_status(status, action)
    allowed = [other for state, other, moved in CELLS if state is status and moved != "-"]
    assert caught.value.details["status"] == status
    assert caught.value.details["action"] == action
    assert sorted(caught.value.details["allowed"]) == sorted(allowed)
    assert action not in allowed
    assert ("create another one" in caught.value.message) == (not allowed)


def test_final_states_allow_nothing_and_all_states_are_reached() -> None:
    assert {status for status in Status if not allowed_actions(status)} == {Status.CANCELED, Status.INCOMPLETE_EXPIRED}
    reached, grown = set[Status](), set(INITIAL)
    while grown != reached:
        reached = set(grown)
        grown |= {moves[status] for moves in TRANSITIONS.values() for status in reached if status in moves}
    assert reached == set(Status)
