from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from billing.periods import Cycle, Interval
from billing.plans import Plan
from billing.prices import Price
from billing.rates import PriceKind, Rate
from sinks.stripe.tenant_plans import tenant_plan

PRICE = Price(slug="base", kind=PriceKind.FLAT, cycle=Cycle(Interval.MONTH), rates={"usd": Rate(Decimal(4900))})
PLAN = Plan(slug="b-c", name="Team", prices=(PRICE,))


def test_no_two_organizations_have_one_name() -> None:
    one = tenant_plan(PLAN, organization_id="1", organization="a")
    other = tenant_plan(replace(PLAN, slug="c"), organization_id="2", organization="a-b")
    assert one.slug.startswith("a-b-c-")
    assert other.slug.startswith("a-b-c-")
    assert one.slug != other.slug


def test_names_stay_the_same_and_plans_of_a_product_share_it() -> None:
    first = tenant_plan(replace(PLAN, product="suite"), organization_id="1", organization="a")
    second = tenant_plan(replace(PLAN, slug="max", product="suite"), organization_id="1", organization="a")
    assert first == tenant_plan(replace(PLAN, product="suite"), organization_id="1", organization="a")
    assert first.product_slug == second.product_slug != first.slug
    assert tenant_plan(PLAN, organization_id="1", organization="a").product == ""


@pytest.mark.parametrize("cut", [0, 20])
def test_the_longest_names_fit(cut: int) -> None:
    """Plan checks its own slug."""
    longest = replace(PLAN, slug="p" * 63, product="q" * 63)
    plan = tenant_plan(longest, organization_id="1", organization="o" * (63 - cut))
    assert max(len(plan.slug), len(plan.product)) <= 63
