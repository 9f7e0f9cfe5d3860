"""Prices that cannot be charged exactly, here or at Stripe, are refused with the field and what would be right."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from billing.periods import Cycle, Interval
from billing.prices import MeteredBy, Price
from billing.rates import PriceKind, Rate, Tier
from metering.meters import Aggregation
from runtime.errors import InvalidInput
from tests.unit.billing.builders import flat, per_seat, price, tiers

GRADUATED, VOLUME, PACKAGE, PER_UNIT = PriceKind.GRADUATED, PriceKind.VOLUME, PriceKind.PACKAGE, PriceKind.PER_UNIT

WRONG: list[tuple[str, str, Callable[[], Price]]] = [
    (
        "currencies.usd.tiers[1].up_to",
        "overlaps .* more than 10",
        lambda: price(GRADUATED, tiers((10, 1), (10, 2), (None, 3))),
    ),
    ("currencies.usd.tiers[1].up_to", "overlaps", lambda: price(VOLUME, tiers((10, 1), (5, 2), (None, 3)))),
    ("currencies.usd.tiers[0].up_to", "more than 0", lambda: price(GRADUATED, tiers((0, 1), (None, 3)))),
    ("currencies.usd.tiers[0].up_to", "never reached", lambda: price(GRADUATED, tiers((None, 1), (None, 3)))),
    ("currencies.usd.tiers[1].up_to", "no price; leave up_to out", lambda: price(GRADUATED, tiers((10, 1), (20, 3)))),
    ("currencies.usd.tiers[0].unit_amount", "negative", lambda: price(GRADUATED, tiers((None, -1)))),
    ("currencies.usd.tiers[0].flat_amount", "negative", lambda: price(GRADUATED, tiers((None, 1, -1)))),
    ("currencies.usd.tiers", "missing", lambda: price(GRADUATED, ())),
    (
        "currencies.usd.amount",
        "write unit_amount in each tier",
        lambda: price(VOLUME, Rate(Decimal(1), tiers((None, 1)))),
    ),
    ("currencies.usd.tiers", "belong to graduated", lambda: price(PER_UNIT, tiers((None, 1)))),
    ("currencies.usd.amount", "missing", lambda: price(PER_UNIT, Rate())),
    ("currencies.usd.amount", "negative", lambda: flat(-1)),
    ("currencies.usd.amount", "fraction of a minor unit", lambda: price(PriceKind.FLAT, "9.5")),
    ("currencies.usd.amount", "fraction of a minor unit", lambda: price(PriceKind.PER_SEAT, "9.5")),
    ("currencies.usd.amount", "more than 12 decimals", lambda: price(PER_UNIT, "0.0000000000001")),
    ("currencies.usd.amount", "is no number", lambda: price(PER_UNIT, "NaN")),
    ("currencies.usd.amount", "too many", lambda: price(PER_UNIT, "1e16")),
    (
        "currencies.usd.minimum",
        "cannot express it for package",
        lambda: price(PACKAGE, Rate(Decimal(1), minimum=5), package_size=10),
    ),
    (
        "currencies.usd.maximum",
        "cannot express it for volume",
        lambda: price(VOLUME, Rate(tiers=tiers((None, 1)), maximum=5)),
    ),
    (
        "currencies.usd.minimum",
        "cannot express it for flat",
        lambda: price(PriceKind.FLAT, Rate(Decimal(1), minimum=5)),
    ),
    (
        "currencies.usd.maximum",
        "below the minimum; write 7 or more",
        lambda: price(PER_UNIT, Rate(Decimal(1), minimum=7, maximum=6)),
    ),
    ("currencies.usd.minimum", "negative", lambda: price(PER_UNIT, Rate(Decimal(1), minimum=-1))),
    (
        "included_quantity",
        "cannot express it for package",
        lambda: price(PACKAGE, 1, package_size=10, included_quantity=5),
    ),
    ("included_quantity", "cannot express it for volume", lambda: price(VOLUME, tiers((None, 1)), included_quantity=5)),
    ("included_quantity", "out of range", lambda: per_seat(1, included_quantity=-1)),
    ("package_size", "out of range; write 2", lambda: price(PACKAGE, 1)),
    ("package_size", "out of range", lambda: price(PACKAGE, 1, package_size=1)),
    ("package_size", "belongs to package", lambda: flat(1, package_size=10)),
    ("meter", "flat prices are not metered", lambda: flat(1, metered=MeteredBy("a", Aggregation.SUM))),
    ("meter.slug", "no slug", lambda: price(PER_UNIT, 1, metered=MeteredBy("A b", Aggregation.SUM))),
    (
        "meter.aggregation",
        "use one of SUM, COUNT, MAX, UNIQUE_COUNT",
        lambda: price(PER_UNIT, 1, metered=MeteredBy("a", Aggregation.AVG)),
    ),
    ("slug", "no slug", lambda: flat(1, slug="Pro Monthly")),
    ("currencies.xxx", "no currency", lambda: flat(1, rates={"xxx": Rate(Decimal(1))})),
    ("currencies.USD", "lower case", lambda: flat(1, rates={"USD": Rate(Decimal(1))})),
    ("currencies", "missing", lambda: flat(1, rates={})),
]


@pytest.mark.parametrize(("field", "text", "make"), WRONG, ids=[f"{field}-{text[:20]}" for field, text, _ in WRONG])
def test_what_is_wrong_is_named(field: str, text: str, make: Callable[[], Price]) -> None:
    with pytest.raises(InvalidInput, match=text) as caught:
        make()
    assert caught.value.details["field"] == field


def test_all_problems_of_a_price_are_listed() -> None:
    with pytest.raises(InvalidInput) as caught:
        flat(-1, slug="", package_size=3, rates={"usd": Rate(Decimal(-1)), "eur": Rate()})
    fields = [field for field, _ in caught.value.details["problems"]]
    assert fields == ["slug", "package_size", "currencies.usd.amount", "currencies.eur.amount"]


@pytest.mark.parametrize("aggregation", [Aggregation.SUM, Aggregation.COUNT, Aggregation.MAX, Aggregation.UNIQUE_COUNT])
def test_what_stripe_can_be_told_may_be_priced(aggregation: Aggregation) -> None:
    metered = MeteredBy("api_calls", aggregation)
    assert price(PER_UNIT, "0.04", metered=metered).metered == metered


def test_a_price_names_the_currencies_it_has() -> None:
    both = flat(1, rates={"eur": Rate(Decimal(9)), "usd": Rate(Decimal(10))})
    assert both.currencies == ("eur", "usd")
    assert both.rate("usd").unit_amount == 10
    with pytest.raises(InvalidInput, match="no price in jpy; use eur, usd"):
        both.rate("jpy")


@pytest.mark.parametrize(
    ("interval", "most"), [(Interval.DAY, 1095), (Interval.WEEK, 156), (Interval.MONTH, 36), (Interval.YEAR, 3)]
)
def test_three_years_are_the_longest_cycle(interval: Interval, most: int) -> None:
    assert Cycle(interval, most).count == most
    for count in (0, -1, most + 1, True):
        if count is not True:
            with pytest.raises(InvalidInput, match=f"write 1 to {most}"):
                Cycle(interval, count)
    with pytest.raises(InvalidInput):
        Cycle(interval, True)


def test_prices_with_the_same_terms_are_equal() -> None:
    one, same, more = (price(GRADUATED, (Tier(None, Decimal(text)),)) for text in ("1.0", "1", "1.01"))
    assert one == same
    assert hash(one) == hash(same)
    assert one != more
