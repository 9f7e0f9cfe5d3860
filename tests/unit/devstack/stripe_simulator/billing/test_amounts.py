"""Amounts against the examples in Stripe's documentation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.stripe_simulator.billing.amounts import amount_of, prorated
from devstack.stripe_simulator.failures import Obj


def per_unit(unit: str, transform: Obj | None = None) -> Obj:
    options = {"usd": {"unit_amount_decimal": unit}}
    return {"billing_scheme": "per_unit", "transform_quantity": transform, "_currency_options": options}


def tiered(mode: str, *tiers: tuple[int | None, Any, Any]) -> Obj:
    rows = [{"up_to": upper, "unit_amount_decimal": unit, "flat_amount_decimal": flat} for upper, unit, flat in tiers]
    return {"billing_scheme": "tiered", "tiers_mode": mode, "_currency_options": {"usd": {"tiers": rows}}}


FONTS = ((5, "700", None), (10, "650", None), (None, "600", None))
FLAT = ((5, "500", "1000"), (10, "400", "2000"), (15, "300", "3000"), (20, "200", "4000"), (None, "100", "5000"))


@pytest.mark.parametrize(("quantity", "amount"), [(1, 700), (5, 3500), (6, 3900), (20, 12000), (25, 15000)])
def test_volume_as_documented(quantity: int, amount: int) -> None:
    assert amount_of(tiered("volume", *FONTS), "usd", quantity) == amount


@pytest.mark.parametrize(("quantity", "amount"), [(1, 700), (5, 3500), (6, 4150), (20, 12750), (25, 15750)])
def test_graduated_as_documented(quantity: int, amount: int) -> None:
    assert amount_of(tiered("graduated", *FONTS), "usd", quantity) == amount


@pytest.mark.parametrize(("mode", "amount"), [("volume", 6600), ("graduated", 11100)])
def test_flat_rates_as_documented(mode: str, amount: int) -> None:
    assert amount_of(tiered(mode, *FLAT), "usd", 12) == amount


@pytest.mark.parametrize("mode", ["volume", "graduated"])
def test_the_first_flat_rate_is_billed_for_nothing(mode: str) -> None:
    assert amount_of(tiered(mode, *FLAT), "usd", 0) == 1000


def test_a_tier_without_units_adds_no_flat_rate() -> None:
    assert amount_of(tiered("graduated", *FLAT), "usd", 5) == 3500
    assert amount_of(tiered("graduated", *FLAT), "usd", 6) == 3500 + 400 + 2000


@pytest.mark.parametrize(
    ("unit", "quantity", "amount"),
    [("0.05", 10, 1), ("0.05", 9, 0), ("0.5", 1, 1), ("33.333", 3, 100), ("-0.5", 1, -1)],
)
def test_a_line_is_rounded_once_half_away_from_zero(unit: str, quantity: int, amount: int) -> None:
    assert amount_of(per_unit(unit), "usd", quantity) == amount


@pytest.mark.parametrize(("how", "quantity", "amount"), [("up", 101, 400), ("up", 100, 200), ("down", 199, 200)])
def test_packages(how: str, quantity: int, amount: int) -> None:
    assert amount_of(per_unit("200", {"divide_by": 100, "round": how}), "usd", quantity) == amount


def test_graduated_fractions_are_summed_before_rounding() -> None:
    price = tiered("graduated", (1, "0.4", None), (2, "0.4", None), (None, "0.4", None))
    assert amount_of(price, "usd", 3) == 1


def test_the_documented_proration() -> None:
    """docs.stripe.com/billing/subscriptions/prorations, "Preview a proration": −1.66 of 10.00 and 5.41 of 32.52."""
    start, at, end = 1596749288, 1598982148, 1599427688
    assert prorated(1000, start, end, at) == 166
    # The documentation prints 541 for 3,252 × 445,540 s ⁄ 2,678,400 s = 540.96.
    assert prorated(3252, start, end, at) == 541


@given(amount=st.integers(0, 10**9), length=st.integers(1, 10**8), part=st.floats(0, 1))
def test_a_prorated_part_and_its_rest_make_the_whole(amount: int, length: int, part: float) -> None:
    at = int(length * part)
    remaining, used = prorated(amount, 0, length, at), prorated(amount, 0, length, length - at)
    assert amount <= remaining + used <= amount + 1  # both halves are rounded up
    assert prorated(-amount, 0, length, at) == -remaining
