"""Changes within a period cost what Stripe's documentation says, to the second and without losing a unit."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.discounts import Coupon, Discount, Duration
from billing.money import prorate
from billing.periods import Period
from billing.prices import Price
from billing.proration import InvoiceLine, change_lines, period_after
from billing.rates import PriceKind
from billing.subscribed import Change, Item, SubscriptionState
from runtime.errors import InvalidInput
from tests.unit.billing.builders import METERED, YEARLY, flat, per_seat, price, tiers, utc
from tests.unit.billing.subscriptions import APRIL, CALLS, HALFWAY, TEN, TWENTY, item, licensed, scenes, state


def amounts(lines: tuple[InvoiceLine, ...]) -> list[int]:
    return [line.amount for line in lines]


def five_dollars() -> Discount:
    return Discount(Coupon(code="FIVE", amounts_off={"usd": 500}, duration=Duration.FOREVER), APRIL.start)


def test_stripes_example_of_an_upgrade() -> None:
    """docs.stripe.com/billing/subscriptions/prorations: 10 to 20 USD halfway is -5 and +10."""
    lines = change_lines(state(item(TEN)), Change(items=(item(TWENTY),)), HALFWAY)
    assert amounts(lines) == [-500, 1000]
    assert [line.description for line in lines] == [
        "Unused time on ten after 16 Apr 2026",
        "Remaining time on twenty after 16 Apr 2026",
    ]
    assert all(line.proration and line.period == Period(HALFWAY, APRIL.end) for line in lines)


def test_stripes_example_of_a_credit_for_what_was_debited() -> None:
    """Same page, flexible: upgraded to 20 USD without proration, and back: the 10 USD billed are credited."""
    before = state(item(TWENTY, billed=1000))
    assert amounts(change_lines(before, Change(items=(item(TEN),)), utc("2026-04-21"))) == [-333, 333]


def test_stripes_example_of_a_coupon_over_two_items() -> None:
    """Same page, flexible: a 10 USD item, with its share of 5 USD off, is removed halfway: -4.17 USD."""
    before = state(item(TEN), item(TWENTY, "b"), discounts=(five_dollars(),))
    assert amounts(change_lines(before, Change(items=(item(TWENTY, "b"),)), HALFWAY)) == [-417]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (item(per_seat(1000), quantity=3), item(per_seat(1000), quantity=5), [-1500, 2500]),
        (item(per_seat(1000), quantity=3), item(per_seat(1000), quantity=3), []),
        (item(per_seat(1000), quantity=3), item(per_seat(1000), quantity=0), [-1500, 0]),
        (
            item(price(PriceKind.GRADUATED, tiers((5, 1000), (None, 500))), quantity=4),
            item(price(PriceKind.GRADUATED, tiers((5, 1000), (None, 500))), quantity=7),
            [-2000, 3000],
        ),
        (
            item(price(PriceKind.VOLUME, tiers((5, 1000), (None, 500))), quantity=5),
            item(price(PriceKind.VOLUME, tiers((5, 1000), (None, 500))), quantity=6),
            [-2500, 1500],
        ),
    ],
)
def test_quantities_are_credited_and_debited_whole(before: Item, after: Item, expected: list[int]) -> None:
    assert amounts(change_lines(state(before), Change(items=(after,)), HALFWAY)) == expected


def test_items_are_added_removed_and_left_alone() -> None:
    before = state(item(TEN), item(TWENTY, "b"), item(TEN, "c"))
    after = (item(TEN), item(TEN, "b"), item(per_seat(300), "d", quantity=2))
    lines = change_lines(before, Change(items=after), HALFWAY)
    assert [(line.item_id, line.amount) for line in lines] == [("b", -1000), ("b", 500), ("c", -500), ("d", 300)]


def test_discounts_are_inside_and_a_changed_one_counts_already() -> None:
    half = Discount(Coupon(code="HALF", percent_off=Decimal(50), duration=Duration.FOREVER), APRIL.start)
    before = state(item(TEN), discounts=(half,))
    assert amounts(change_lines(before, Change(items=(item(TWENTY),)), HALFWAY)) == [-250, 500]
    assert amounts(change_lines(before, Change(items=(item(TWENTY),), discounts=()), HALFWAY)) == [-250, 1000]
    ended = replace(half, end=utc("2026-04-10"))
    assert amounts(change_lines(state(item(TEN), discounts=(ended,)), Change(items=()), HALFWAY)) == [-500]


def test_usage_is_not_prorated_but_billed_when_its_item_goes() -> None:
    before = state(item(TEN), item(CALLS, "b", usage=101))
    dearer = price(PriceKind.PER_UNIT, 3, slug="calls", metered=METERED)
    (line,) = change_lines(before, Change(items=(item(TEN),)), HALFWAY)
    assert (line.item_id, line.amount, line.proration, line.period) == ("b", 202, False, Period(APRIL.start, HALFWAY))
    assert amounts(change_lines(before, Change(items=(item(TEN), item(dearer, "b"))), HALFWAY)) == [202]
    assert amounts(change_lines(before, Change(items=before.items), HALFWAY)) == []
    unused = state(item(TEN), item(CALLS, "b"))
    assert change_lines(unused, Change(items=(item(TEN),)), HALFWAY) == ()
    assert change_lines(before, Change(items=(item(TEN),)), APRIL.start) == ()


def test_another_interval_restarts_the_period() -> None:
    yearly = flat(10_000, slug="yearly", cycle=YEARLY)
    before, change = state(item(TEN), item(CALLS, "b", usage=5)), Change(items=(item(yearly),))
    lines = change_lines(before, change, HALFWAY)
    assert [(line.amount, line.proration) for line in lines] == [(-500, True), (10, False), (10_000, False)]
    assert lines[-1].period == period_after(before, change, HALFWAY) == Period(HALFWAY, utc("2027-04-16"))


def test_a_restart_bills_the_new_period_whole() -> None:
    change = Change(items=(item(TEN), item(TWENTY, "b")), restart=True)
    lines = change_lines(state(item(TEN)), change, HALFWAY)
    assert amounts(lines) == [-500, 1000, 2000]
    assert lines[-1].period == Period(HALFWAY, utc("2026-05-16"))


def test_nothing_is_prorated_during_a_trial() -> None:
    before = state(item(TEN), trialing=True)
    assert change_lines(before, Change(items=(item(TWENTY),)), HALFWAY) == ()


def test_ending_a_trial_bills_from_now_on() -> None:
    before = state(item(TEN), item(CALLS, "b", usage=7), trialing=True)
    change = Change(items=before.items, trial_end=HALFWAY)
    assert amounts(change_lines(before, change, HALFWAY)) == [1000]
    assert period_after(before, change, HALFWAY) == Period(HALFWAY, utc("2026-05-16"))


def test_beginning_a_trial_credits_what_is_unused() -> None:
    before = state(item(TEN))
    change = Change(items=before.items, trial_end=utc("2026-04-26"))
    lines = change_lines(before, change, HALFWAY)
    assert amounts(lines) == [-500, 0]
    assert lines[-1].description == "Free trial for ten"
    assert period_after(before, change, HALFWAY) == Period(HALFWAY, utc("2026-04-26"))


def test_a_change_keeps_the_period_otherwise() -> None:
    assert period_after(state(item(TEN)), Change(items=(item(TWENTY),)), HALFWAY) == APRIL
    assert period_after(state(item(TEN)), Change(items=(), restart=True), HALFWAY) == APRIL


@pytest.mark.parametrize("now", [APRIL.start - timedelta(seconds=1), APRIL.end])
def test_a_change_lies_within_the_period(now: datetime) -> None:
    with pytest.raises(InvalidInput, match="outside of the current period"):
        change_lines(state(item(TEN)), Change(items=()), now)


def test_items_share_an_interval_and_have_own_ids() -> None:
    with pytest.raises(InvalidInput, match="several intervals"):
        state(item(TEN), item(flat(1, cycle=YEARLY), "b"))
    with pytest.raises(InvalidInput, match="twice"):
        Change(items=(item(TEN), item(TWENTY)))
    with pytest.raises(InvalidInput, match="write 0 or more"):
        item(per_seat(1), quantity=-1)
    with pytest.raises(InvalidInput, match="2 of a flat price; write 1"):
        item(TEN, quantity=2)
    with pytest.raises(InvalidInput, match=r"usage: .* write 0 or more"):
        item(CALLS, usage=Decimal("1.5"))


@given(scenes())
def test_replacing_items_by_equal_ones_costs_nothing(scene: tuple[SubscriptionState, datetime]) -> None:
    before, now = scene
    renamed = tuple(replace(each, id=f"{each.id}-new") for each in before.items)
    lines = change_lines(before, Change(items=renamed), now)
    assert len(lines) == 2 * len(renamed)
    assert sum(amounts(lines)) == 0


@given(scenes(), licensed)
def test_there_and_back_at_one_instant_costs_nothing(
    scene: tuple[SubscriptionState, datetime], other: tuple[Price, int]
) -> None:
    before, now = scene
    changed = (item(replace(other[0], cycle=before.items[0].price.cycle), quantity=other[1]),)
    there = change_lines(before, Change(items=changed), now)
    back = change_lines(replace(before, items=changed), Change(items=before.items), now)
    assert sum(amounts(there)) + sum(amounts(back)) == 0


@given(scenes())
def test_credits_never_exceed_what_was_billed(scene: tuple[SubscriptionState, datetime]) -> None:
    before, now = scene
    lines = change_lines(before, Change(items=()), now)
    assert all(line.amount <= 0 for line in lines)
    billed = sum(each.amount("usd") for each in before.items)
    assert -sum(amounts(lines)) <= billed
    at_start = change_lines(before, Change(items=()), before.period.start)
    off = sum(each.coupon.amounts_off.get("usd", 0) for each in before.discounts)
    if not any(each.coupon.percent_off for each in before.discounts):
        assert -sum(amounts(at_start)) == max(billed - off, 0)


@given(scenes(), st.integers(0, 10**6))
def test_a_line_is_exact_to_the_second(scene: tuple[SubscriptionState, datetime], billed: int) -> None:
    before, now = scene
    first = replace(before.items[0], billed=billed)
    (line,) = change_lines(replace(before, items=(first,)), Change(items=()), now)
    exact = Fraction(billed * before.period.seconds_left(now), before.period.seconds)
    assert abs(-line.amount - exact) <= Fraction(1, 2)


@given(st.integers(0, 10**8), st.integers(1, 10**8), st.lists(st.integers(0, 10**8), max_size=6))
def test_the_parts_of_a_split_period_add_up(amount: int, seconds: int, cuts: list[int]) -> None:
    edges = [0, *sorted(cut % (seconds + 1) for cut in cuts), seconds]
    parts = [prorate(amount, end - start, seconds) for start, end in pairwise(edges)]
    assert abs(sum(parts) - amount) * 2 <= len(parts)
