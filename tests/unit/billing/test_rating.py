"""Quantities become exact amounts: Stripe's documented examples, then laws that hold for every price."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.money import round_half_up
from billing.prices import Price
from billing.rates import PriceKind, Rate
from billing.rating import rate_quantity
from runtime.errors import InvalidInput
from tests.unit.billing.builders import flat, per_seat, price, prices, tiers

FONTS = tiers((5, 700), (10, 650), (None, 600))
WITH_FLAT = tiers((5, 500, 1000), (10, 400, 2000), (15, 300, 3000), (20, 200, 4000), (None, 100, 5000))
"""Both are from docs.stripe.com/subscriptions/pricing-models/tiered-pricing."""

quantities = st.integers(0, 200) | st.decimals(0, 200, places=9, allow_nan=False)
MONOTONE = [kind for kind in PriceKind if kind is not PriceKind.VOLUME]


def amount(of: Price, quantity: int | str) -> int:
    return rate_quantity(of, "usd", Decimal(quantity)).amount


@pytest.mark.parametrize(("fonts", "cents"), [(1, 700), (5, 3500), (6, 3900), (20, 12000), (25, 15000)])
def test_stripes_volume_example(fonts: int, cents: int) -> None:
    assert amount(price(PriceKind.VOLUME, FONTS), fonts) == cents


@pytest.mark.parametrize(("fonts", "cents"), [(1, 700), (5, 3500), (6, 4150), (20, 12750), (25, 15750)])
def test_stripes_graduated_example(fonts: int, cents: int) -> None:
    assert amount(price(PriceKind.GRADUATED, FONTS), fonts) == cents


def test_stripes_flat_rate_examples() -> None:
    volume, graduated = price(PriceKind.VOLUME, WITH_FLAT), price(PriceKind.GRADUATED, WITH_FLAT)
    assert amount(volume, 12) == 6600
    assert amount(graduated, 12) == 11100
    assert amount(volume, 0) == amount(graduated, 0) == 1000  # "Stripe always bills the first flat rate tier"


def test_lines_say_what_each_tier_costs() -> None:
    lines = rate_quantity(price(PriceKind.GRADUATED, WITH_FLAT), "usd", 12).lines
    assert [(line.description, line.quantity, line.unit_amount, line.flat_amount, line.amount) for line in lines] == [
        ("Units 1 to 5", 5, 500, 1000, 3500),
        ("Units 6 to 10", 5, 400, 2000, 4000),
        ("Units 11 to 15", 2, 300, 3000, 3600),
    ]
    (line,) = rate_quantity(price(PriceKind.VOLUME, FONTS), "usd", 25).lines
    assert line.description == "Units 11 and above"


@pytest.mark.parametrize(
    ("of", "quantity", "cents"),
    [
        (flat(4900), 1, 4900),
        (flat(4900), 7, 4900),
        (per_seat(1000), 7, 7000),
        (per_seat(1000, included_quantity=3), 3, 0),
        (per_seat(1000, included_quantity=3), 5, 2000),
        (price(PriceKind.PER_UNIT, "0.04"), 12, 0),
        (price(PriceKind.PER_UNIT, "0.04"), 13, 1),
        (price(PriceKind.PER_UNIT, "0.5"), 1, 1),
        (price(PriceKind.PER_UNIT, 10), "2.55", 26),
        (price(PriceKind.PACKAGE, 500, package_size=100), 0, 0),
        (price(PriceKind.PACKAGE, 500, package_size=100), 1, 500),
        (price(PriceKind.PACKAGE, 500, package_size=100), 100, 500),
        (price(PriceKind.PACKAGE, 500, package_size=100), "100.001", 1000),
        (price(PriceKind.PACKAGE, 500, package_size=100), 101, 1000),
        (price(PriceKind.PER_UNIT, Rate(Decimal(10), minimum=500)), 0, 500),
        (price(PriceKind.PER_UNIT, Rate(Decimal(10), minimum=500)), 51, 510),
        (price(PriceKind.PER_UNIT, Rate(Decimal(10), maximum=500)), 51, 500),
        (price(PriceKind.GRADUATED, tiers((5, 500, 1000), (None, 1)), included_quantity=10), 10, 1000),
        (price(PriceKind.GRADUATED, tiers((5, 500, 1000), (None, 1)), included_quantity=10), 16, 3501),
    ],
)
def test_each_kind_of_price(of: Price, quantity: int | str, cents: int) -> None:
    assert amount(of, quantity) == cents


def test_bounds_are_told_in_the_lines() -> None:
    least = rate_quantity(price(PriceKind.PER_UNIT, Rate(Decimal(10), minimum=500)), "usd", 20)
    assert [(line.description, line.amount) for line in least.lines] == [("Units", 200), ("To the minimum", 300)]
    most = rate_quantity(price(PriceKind.PER_UNIT, Rate(Decimal(10), maximum=150)), "usd", 20)
    assert [(line.description, line.amount) for line in most.lines] == [("Units, to the maximum", 150)]
    free = rate_quantity(per_seat(10, included_quantity=30), "usd", 20)
    assert [(line.description, line.quantity, line.amount) for line in free.lines] == [("Included", 20, 0)]


@given(prices(), quantities)
def test_lines_sum_exactly_and_none_is_negative(of: Price, quantity: int | Decimal) -> None:
    rated = rate_quantity(of, "usd", quantity)
    assert rated.lines
    assert all(line.amount >= 0 and line.quantity >= 0 for line in rated.lines)
    exact = sum((Fraction(line.amount) for line in rated.lines), Fraction(0))
    assert abs(rated.amount - exact) <= Fraction(1, 2)
    for line in rated.lines:
        full = Fraction(line.unit_amount) * Fraction(line.quantity) + line.flat_amount
        assert Fraction(line.amount) == full or "maximum" in line.description


@given(prices(), quantities)
def test_units_are_neither_lost_nor_counted_twice(of: Price, quantity: int | Decimal) -> None:
    lines = [line for line in rate_quantity(of, "usd", quantity).lines if line.description != "To the minimum"]
    counted = sum(line.quantity for line in lines)
    if of.kind is PriceKind.FLAT:
        assert counted == 1
    elif of.kind is PriceKind.PACKAGE:
        assert of.package_size is not None
        assert (counted - 1) * of.package_size < max(quantity, Decimal("0.000000001")) or counted == 0
        assert counted * of.package_size >= quantity
    else:
        assert counted == quantity


@given(prices(kinds=MONOTONE), quantities, quantities)
def test_more_never_costs_less(of: Price, first: int | Decimal, second: int | Decimal) -> None:
    less, more = sorted((Decimal(first), Decimal(second)))
    assert rate_quantity(of, "usd", less).amount <= rate_quantity(of, "usd", more).amount


@given(prices(), quantities)
def test_bounds_hold(of: Price, quantity: int | Decimal) -> None:
    rate, cents = of.rate("usd"), rate_quantity(of, "usd", quantity).amount
    assert cents >= (rate.minimum or 0)
    assert rate.maximum is None or cents <= rate.maximum


@given(st.decimals(0, 100, places=12, allow_nan=False), st.decimals(0, 10**15, places=18, allow_nan=False))
def test_the_largest_numbers_are_exact(unit: Decimal, quantity: Decimal) -> None:
    (line,) = rate_quantity(price(PriceKind.PER_UNIT, Rate(unit)), "usd", quantity).lines
    assert Fraction(line.amount) == Fraction(unit) * Fraction(quantity)
    assert rate_quantity(price(PriceKind.PER_UNIT, Rate(unit)), "usd", quantity).amount == round_half_up(line.amount)


@pytest.mark.parametrize("quantity", [-1, Decimal("-0.1"), Decimal("NaN"), Decimal("Infinity")])
def test_what_is_no_quantity_is_refused(quantity: int | Decimal) -> None:
    with pytest.raises(InvalidInput, match="write 0 or more"):
        rate_quantity(per_seat(1), "usd", quantity)
