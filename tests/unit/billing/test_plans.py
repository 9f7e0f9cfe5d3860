"""Which changes of a plan need new prices, and which only update the product."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from billing.plans import Feature, Limit, Plan, PlanDifference, plan_difference
from billing.prices import Price
from billing.rates import PriceKind, Rate
from runtime.errors import InvalidInput
from tests.unit.billing.builders import METERED, YEARLY, flat, per_seat, price

BASE = flat(4900, slug="base", name="Base")
SEATS = per_seat(1200, slug="seats")
PLAN = Plan(slug="team", name="Team", prices=(BASE, SEATS), trial_days=14, features=(Feature("sso"),))


def test_a_new_plan_is_all_new() -> None:
    difference = plan_difference(None, PLAN)
    assert difference.added == PLAN.prices
    assert difference.product_fields
    assert difference.needs_new_version


def test_the_same_plan_differs_in_nothing() -> None:
    same = Plan(slug="team", name="Team", prices=(SEATS, BASE), trial_days=14, features=(Feature("sso"),), version=7)
    assert plan_difference(PLAN, same) == PlanDifference()
    assert not plan_difference(PLAN, same)


@pytest.mark.parametrize(
    "changed",
    [{"name": "Crew"}, {"description": "New"}, {"metadata": {"a": "b"}}],
    ids=lambda change: next(iter(change)),
)
def test_texts_update_the_product_only(changed: dict[str, Any]) -> None:
    difference = plan_difference(PLAN, replace(PLAN, **changed))
    assert difference == PlanDifference(product_fields=tuple(changed))
    assert difference
    assert not difference.needs_new_version


@pytest.mark.parametrize(
    "changed", [{"trial_days": 0}, {"features": (Feature("sso", limit=Limit("logins", Decimal(5))),)}]
)
def test_what_a_plan_gives_is_a_new_version_without_new_prices(changed: dict[str, Any]) -> None:
    difference = plan_difference(PLAN, replace(PLAN, **changed))
    assert difference == PlanDifference(own_fields=tuple(changed))
    assert difference.needs_new_version


@pytest.mark.parametrize(
    "terms",
    [
        {"rates": {"usd": Rate(Decimal(5000))}},
        {"cycle": YEARLY},
        {"rates": {"usd": Rate(Decimal(4900)), "eur": Rate(Decimal(4500))}},
    ],
)
def test_other_terms_replace_a_price(terms: dict[str, Any]) -> None:
    dearer, yearly = replace(BASE, **terms), replace(SEATS, cycle=YEARLY)
    before, after = replace(PLAN, prices=(BASE, yearly)), replace(PLAN, prices=(dearer, yearly))
    assert plan_difference(before, after) == PlanDifference(replaced=(dearer,))


def test_another_default_currency_replaces_a_price() -> None:
    rates = {"usd": Rate(Decimal(10)), "eur": Rate(Decimal(9))}
    one, other = flat(1, rates=rates), flat(1, rates=dict(reversed(rates.items())))
    difference = plan_difference(replace(PLAN, prices=(one,)), replace(PLAN, prices=(other,)))
    assert difference.replaced == (other,)


def test_another_name_renames_a_price() -> None:
    renamed = replace(BASE, name="Base fee")
    assert plan_difference(PLAN, replace(PLAN, prices=(renamed, SEATS))) == PlanDifference(renamed=(renamed,))


def test_prices_come_and_go() -> None:
    yearly = flat(49_000, slug="yearly", cycle=YEARLY)
    difference = plan_difference(PLAN, replace(PLAN, prices=(BASE, yearly)))
    assert difference == PlanDifference(added=(yearly,), removed=(SEATS,))


def test_another_product_needs_all_prices_anew() -> None:
    difference = plan_difference(PLAN, replace(PLAN, product="other"))
    assert difference.product_fields == ("product",)
    assert difference.replaced == PLAN.prices


def test_different_plans_are_not_compared() -> None:
    with pytest.raises(InvalidInput, match="another plan"):
        plan_difference(PLAN, replace(PLAN, slug="solo"))


def test_a_plan_tells_all_its_problems() -> None:
    with pytest.raises(InvalidInput) as caught:
        Plan(slug="", name="", prices=(), product="A", trial_days=-1, metadata={"k" * 41: ""})
    fields = [field for field, _ in caught.value.details["problems"]]
    assert fields == ["slug", "product", "name", "prices", "trial_days", f"metadata.{'k' * 41}"]


METERED_CALLS = price(PriceKind.PER_UNIT, "0.01", slug="calls", metered=METERED)


def wrong_with(*prices: Price) -> list[tuple[str, str]]:
    """Return what is wrong with a plan of these prices."""
    with pytest.raises(InvalidInput) as refused:
        Plan(slug="team", name="Team", prices=prices)
    found: list[tuple[str, str]] = refused.value.details["problems"]
    return found


def test_a_price_that_a_currency_of_its_interval_lacks_is_told() -> None:
    both = {"usd": Rate(Decimal(4900)), "eur": Rate(Decimal(4500))}
    base = flat(0, slug="base", rates=both)
    (problem,) = wrong_with(base, SEATS)
    assert problem[0] == "prices[1].currencies"
    assert "lacks eur, in which other prices of the month are sold" in problem[1]
    yearly = flat(49_000, slug="yearly", cycle=YEARLY)
    assert Plan(slug="team", name="Team", prices=(base, yearly)), "a year may be sold in fewer currencies"


def test_usage_has_a_price_by_every_interval() -> None:
    yearly = flat(49_000, slug="yearly", cycle=YEARLY)
    (problem,) = wrong_with(BASE, METERED_CALLS, yearly)
    assert problem[0] == "prices"
    assert "bill the meter api_calls, but not by the year, where usage would be free" in problem[1]
    free = replace(METERED_CALLS, slug="yearly-calls", cycle=YEARLY, rates={"usd": Rate(Decimal(0))})
    assert Plan(slug="team", name="Team", prices=(BASE, METERED_CALLS, yearly, free))
