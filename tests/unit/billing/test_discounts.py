"""Coupons are redeemed by their rules and take off exactly what they say."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.discounts import Coupon, Discount, Duration, redeem, reduce_amounts, unspent
from runtime.errors import BusinessLogicError, InvalidInput
from tests.unit.billing.builders import utc

NOW = utc("2026-01-31")
SECOND = timedelta(seconds=1)


def percent(off: str, **options: Any) -> Coupon:
    defaults: dict[str, Any] = {"code": f"P{off}", "percent_off": Decimal(off), "duration": Duration.FOREVER}
    return Coupon(**(defaults | options))


def amount(off: int, **options: Any) -> Coupon:
    defaults: dict[str, Any] = {"code": f"A{off}", "amounts_off": {"usd": off}, "duration": Duration.FOREVER}
    return Coupon(**(defaults | options))


def shares(coupons: list[Coupon], *amounts: int | tuple[str, int]) -> list[tuple[int, ...]]:
    lines = [each if isinstance(each, tuple) else ("team", each) for each in amounts]
    discounts = [Discount(coupon, NOW) for coupon in coupons]
    return [each.shares for each in reduce_amounts(discounts, lines, currency="usd", at=NOW)]


def test_a_percentage_is_taken_of_every_line() -> None:
    assert shares([percent("12.5")], 1000, 5, 0) == [(125, 1, 0)]
    assert shares([percent("100")], 999) == [(999,)]


def test_an_amount_is_shared_by_what_lines_cost_and_capped() -> None:
    assert shares([amount(500)], 1000, 2000) == [(166, 334)]  # docs.stripe.com/billing/subscriptions/prorations
    assert shares([amount(100)], 1, 1, 1) == [(1, 1, 1)]
    assert shares([amount(2)], 1, 1, 1) == [(0, 1, 1)]
    assert shares([amount(5000)], 1000, 2000) == [(1000, 2000)]
    assert shares([amount(500)], 0, 0) == [(0, 0)]


def test_discounts_stack_in_order_on_what_is_left() -> None:
    assert shares([percent("20"), amount(500)], 3000) == [(600,), (500,)]
    assert shares([amount(500), percent("20")], 3000) == [(500,), (500,)]
    assert shares([percent("50"), percent("50")], 1000) == [(500,), (250,)]
    assert shares([amount(800), amount(800)], 1000) == [(800,), (200,)]


def test_a_coupon_for_plans_leaves_other_lines_alone() -> None:
    solo = frozenset({"solo"})
    assert shares([percent("10", plans=solo)], ("team", 1000), ("solo", 1000)) == [(0, 100)]
    assert shares([amount(1500, plans=solo)], ("team", 1000), ("solo", 1000)) == [(0, 1000)]


def test_an_amount_in_another_currency_takes_off_nothing() -> None:
    assert shares([amount(1, amounts_off={"eur": 500})], 1000) == [(0,)]


@given(
    st.lists(st.integers(1, 100).map(lambda off: percent(str(off))) | st.integers(1, 5000).map(amount), max_size=4),
    st.lists(st.integers(0, 10_000), min_size=1, max_size=5),
)
def test_no_line_falls_below_zero(coupons: list[Coupon], amounts: list[int]) -> None:
    taken = shares(coupons, *amounts)
    for index, full in enumerate(amounts):
        assert 0 <= sum(each[index] for each in taken) <= full
        assert all(each[index] >= 0 for each in taken)


@given(st.integers(1, 10_000), st.lists(st.integers(0, 10_000), min_size=1, max_size=6))
def test_an_amount_loses_no_unit(off: int, amounts: list[int]) -> None:
    (taken,) = shares([amount(off)], *amounts)
    assert sum(taken) == min(off, sum(amounts))


def test_a_discount_lasts_as_its_coupon_says() -> None:
    months = redeem(
        percent("10", duration=Duration.REPEATING, months=3), now=NOW, currency="usd", plans=(), redemptions=0
    )
    assert (months.start, months.end) == (NOW, utc("2026-04-30"))
    assert [months.active_at(at) for at in (NOW - SECOND, NOW, utc("2026-04-29"), utc("2026-04-30"))] == [
        False,
        True,
        True,
        False,
    ]
    for duration in (Duration.ONCE, Duration.FOREVER):
        ending = redeem(percent("10", duration=duration), now=NOW, currency="usd", plans=(), redemptions=0)
        assert ending.end is None
        assert unspent([ending]) == (() if duration is Duration.ONCE else (ending,))
    assert reduce_amounts([months], [("team", 100)], currency="usd", at=utc("2026-04-30")) == ()


@pytest.mark.parametrize(
    ("coupon", "code"),
    [
        (percent("10", redeem_by=NOW), "DISCOUNT_CODE_EXPIRED"),
        (percent("10", max_redemptions=5), "DISCOUNT_CODE_EXHAUSTED"),
        (percent("10", plans=frozenset({"solo"})), "DISCOUNT_CODE_NOT_FOR_PLAN"),
        (amount(10, amounts_off={"eur": 10}), "DISCOUNT_CODE_NOT_FOR_CURRENCY"),
    ],
)
def test_what_may_not_be_redeemed_says_why(coupon: Coupon, code: str) -> None:
    with pytest.raises(BusinessLogicError, match=coupon.code) as caught:
        redeem(coupon, now=NOW, currency="usd", plans=["team"], redemptions=5)
    assert caught.value.code == code


def test_limits_are_the_last_moment_and_the_last_redemption() -> None:
    coupon = percent("10", redeem_by=NOW + SECOND, max_redemptions=6, plans=frozenset({"team"}))
    assert redeem(coupon, now=NOW, currency="usd", plans=["team", "solo"], redemptions=5).coupon is coupon


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("percent_off", {}),
        ("percent_off", {"percent_off": Decimal(10), "amounts_off": {"usd": 1}}),
        ("percent_off", {"percent_off": Decimal(0)}),
        ("percent_off", {"percent_off": Decimal("100.1")}),
        ("amounts_off", {"amounts_off": {"xxx": 1}}),
        ("amounts_off.usd", {"amounts_off": {"usd": -1}}),
        ("months", {"percent_off": Decimal(10), "months": 3}),
        ("months", {"percent_off": Decimal(10), "duration": Duration.REPEATING}),
        ("months", {"percent_off": Decimal(10), "duration": Duration.REPEATING, "months": 0}),
        ("max_redemptions", {"percent_off": Decimal(10), "max_redemptions": 0}),
        ("redeem_by", {"percent_off": Decimal(10), "redeem_by": NOW.replace(tzinfo=None)}),
    ],
)
def test_a_coupon_that_means_nothing_is_refused(field: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        Coupon(code="X", **options)
    assert caught.value.details["field"] == field
