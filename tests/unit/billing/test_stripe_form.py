"""What Stripe is told costs the same as what we say, for every whole quantity."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.periods import Cycle, Interval
from billing.prices import Price
from billing.rates import PriceKind, Rate
from billing.rating import rate_quantity
from billing.stripe_form import StripePrice, stripe_price
from tests.unit.billing.builders import METERED, flat, per_seat, price, prices, tiers


def stripe_amount(form: StripePrice, quantity: int) -> int:
    """Compute an amount as Stripe's documentation describes it, from what Stripe would be told only."""
    exact = Fraction(0)
    if form.transform_divide_by:
        quantity = -(-quantity // form.transform_divide_by)
    if form.billing_scheme == "per_unit":
        assert form.amounts.unit_amount is not None
        exact = Fraction(form.amounts.unit_amount) * quantity
    elif form.tiers_mode == "volume":
        tier = next(each for each in form.amounts.tiers if each.up_to is None or quantity <= each.up_to)
        exact = Fraction(tier.unit_amount) * quantity + tier.flat_amount
    else:
        below = 0
        for index, tier in enumerate(form.amounts.tiers):
            top = quantity if tier.up_to is None else min(quantity, tier.up_to)
            if index == 0 or top > below:
                exact += Fraction(tier.unit_amount) * (top - below) + tier.flat_amount
            below = max(below, tier.up_to or below)
    shown = Decimal(exact.numerator * 10**12 // exact.denominator).scaleb(-12)
    return int(shown.quantize(Decimal(1), ROUND_HALF_UP))


@given(prices(), st.integers(0, 300))
def test_stripe_charges_what_we_rate(of: Price, quantity: int) -> None:
    units = 1 if of.kind is PriceKind.FLAT else quantity
    assert stripe_amount(stripe_price(of), units) == rate_quantity(of, "usd", units).amount


@given(prices())
def test_what_stripe_is_told_is_valid_there(of: Price) -> None:
    form = stripe_price(of)
    bounds = [tier.up_to for tier in form.amounts.tiers]
    assert (form.billing_scheme == "tiered") == (form.tiers_mode is not None) == bool(bounds)
    assert (form.amounts.unit_amount is None) == bool(bounds)
    assert not (form.transform_divide_by and bounds)
    if bounds:
        assert bounds[-1] is None
        closed = [bound for bound in bounds[:-1] if bound is not None]
        assert len(closed) == len(bounds) - 1
        assert closed == sorted(set(closed))
        assert min(closed, default=1) >= 1
    for tier in form.amounts.tiers:
        assert tier.unit_amount >= 0
        assert tier.unit_amount == round(tier.unit_amount, 12)
        assert tier.flat_amount >= 0


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (per_seat(1000, included_quantity=3), tiers((3, 0), (None, 1000))),
        (price(PriceKind.PER_UNIT, Rate(Decimal(10), minimum=500)), tiers((50, 0, 500), (None, 10))),
        (price(PriceKind.PER_UNIT, Rate(Decimal(10), minimum=495)), tiers((49, 0, 495), (50, 5), (None, 10))),
        (price(PriceKind.PER_UNIT, Rate(Decimal(10), maximum=500)), tiers((50, 10), (None, 0))),
        (price(PriceKind.PER_UNIT, Rate(Decimal(10), maximum=505)), tiers((50, 10), (51, 5), (None, 0))),
        (
            price(PriceKind.PER_UNIT, Rate(Decimal(10), minimum=100, maximum=500), included_quantity=5),
            tiers((15, 0, 100), (55, 10), (None, 0)),
        ),
        (price(PriceKind.PER_UNIT, Rate(Decimal(0), minimum=500)), tiers((None, 0, 500))),
        (price(PriceKind.PER_UNIT, Rate(Decimal(700), minimum=500)), tiers((1, 200, 500), (None, 700))),
        (price(PriceKind.GRADUATED, Rate(tiers=tiers((None, 5, 900)), maximum=500)), tiers((None, 0, 500))),
    ],
)
def test_included_units_and_bounds_become_tiers(of: Price, expected: object) -> None:
    form = stripe_price(of)
    assert form.amounts.tiers == expected
    assert form.tiers_mode == "graduated"


def test_a_package_is_a_transformed_quantity() -> None:
    form = stripe_price(price(PriceKind.PACKAGE, 500, package_size=100, metered=METERED))
    assert (form.transform_divide_by, form.billing_scheme, form.amounts.unit_amount) == (100, "per_unit", 500)
    assert (form.usage_type, form.meter) == ("metered", "api_calls")


def test_every_currency_has_its_own_amounts() -> None:
    rates = {"usd": Rate(Decimal(10), minimum=100), "jpy": Rate(Decimal(15))}
    form = stripe_price(price(PriceKind.PER_UNIT, 1, rates=rates, cycle=Cycle(Interval.MONTH, 3), name="Calls"))
    assert (form.currency, form.amounts.tiers) == ("usd", tiers((10, 0, 100), (None, 10)))
    assert form.currency_options["jpy"].tiers == tiers((None, 15))  # the scheme is one for all currencies
    assert (form.interval, form.interval_count, form.lookup_key, form.nickname) == ("month", 3, "test", "Calls")
    assert stripe_price(flat(5)).currency_options == {}
