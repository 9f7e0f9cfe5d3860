"""The difference between plans and what Stripe holds: nothing where nothing differs, a new version where terms do."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from billing.periods import Cycle, Interval
from billing.plans import Plan
from billing.prices import MeteredBy, Price
from billing.rates import PriceKind, Rate, Tier
from billing.stripe_form import stripe_price
from metering.meters import Aggregation
from sinks.stripe.plan_changes import (
    Held,
    HeldPrice,
    HeldProduct,
    plan_changes,
    price_name,
    product_id,
    product_metadata,
    wanted_terms,
)
from sinks.stripe.price_terms import UNREADABLE, creation_params, digest, held_terms, intended_terms

pytestmark = pytest.mark.unit

_MONTH = Cycle(Interval.MONTH)
_RATES = {"usd": Rate(Decimal(4900)), "jpy": Rate(Decimal(7200))}
_BASE = Price(slug="base", kind=PriceKind.FLAT, cycle=_MONTH, rates=_RATES)
_TOKENS = Price(
    slug="tokens",
    kind=PriceKind.GRADUATED,
    cycle=_MONTH,
    metered=MeteredBy("tokens", Aggregation.SUM),
    rates={"usd": Rate(tiers=(Tier(1000, Decimal("0.0000001"), 100), Tier(None, Decimal("0.5"))))},
)
_PACKAGE = Price(
    slug="users",
    kind=PriceKind.PACKAGE,
    package_size=100,
    cycle=Cycle(Interval.YEAR),
    rates={"usd": Rate(Decimal(300))},
)
_PLAN = Plan(slug="team", name="Team", description="For teams", prices=(_BASE, _PACKAGE), metadata={"a": "b"})
_METERED = Plan(slug="ai", name="AI", prices=(_TOKENS,))


def held(plan: Plan = _PLAN, *versions: HeldPrice, **product: Any) -> Held:
    """Return what Stripe holds once a plan is published, with further versions of prices."""
    found = HeldProduct(
        product_id(plan.product_slug), plan.product_slug, plan.name, plan.description, True, product_metadata(plan)
    )
    meters = {price.metered.meter: "mtr_1" for price in plan.prices if price.metered}
    prices = [version(plan, price, 1) for price in plan.prices]
    return Held(meters, {plan.product_slug: replace(found, **product)}, [*prices, *versions])


def version(plan: Plan, price: Price, number: int, **changes: Any) -> HeldPrice:
    """Return a version of a price as Stripe holds it."""
    intended = stripe_price(price)
    terms = wanted_terms(plan, intended)
    name = price_name(plan, price)
    return replace(HeldPrice(f"{name}:v{number}", name, number, True, intended.nickname, terms), **changes)


def lines(plans: list[Plan], found: Held, **options: bool) -> list[str]:
    """Return the changes as a person reads them."""
    return [f"{each.action} {each.thing} {each.name}" for each in plan_changes(plans, found, **options)]


def changed(**changes: Any) -> Plan:
    """Return the plan with other terms of its first price."""
    return replace(_PLAN, prices=(replace(_BASE, **changes), _PACKAGE))


def test_everything_is_made_in_an_order_that_works() -> None:
    assert lines([_PLAN, _METERED], Held({}, {}, [])) == [
        "create meter tokens",
        "create product team",
        "create product ai",
        "create price team:base",
        "create price team:users",
        "create price ai:tokens",
    ]


def test_nothing_differs_after_publishing() -> None:
    assert plan_changes([_PLAN], held()) == []
    assert plan_changes([_METERED], held(_METERED)) == []


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"rates": {"usd": Rate(Decimal(5900)), "jpy": Rate(Decimal(7200))}}, "v2 usd: 49.00 → 59.00"),
        ({"rates": {"usd": Rate(Decimal(4900))}}, "v2 jpy: 7200 → –"),
        ({"rates": {"usd": Rate(Decimal(4900)), "jpy": Rate(Decimal(7200)), "eur": Rate(Decimal(1))}}, "v2 eur: 0.01"),
        ({"rates": {"jpy": Rate(Decimal(7200)), "usd": Rate(Decimal(4900))}}, "v2 default currency: usd → jpy"),
        ({"cycle": Cycle(Interval.MONTH, 3)}, "v2 period: month → 3 months"),
    ],
)
def test_other_terms_are_a_new_version_and_the_old_one_is_archived(changes: dict[str, Any], detail: str) -> None:
    found = plan_changes([changed(**changes)], held())
    assert [(each.action, each.name, each.detail) for each in found] == [
        ("new version", "team:base", detail),
        ("archive", "team:base", "v1; subscriptions keep it"),
    ]
    assert found[0].version == 2
    assert found[1].id == "team:base:v1"


def test_what_was_interrupted_after_the_new_version_goes_on_with_archiving() -> None:
    newer = changed(rates={"usd": Rate(Decimal(5900))})
    found = plan_changes([newer], held(_PLAN, version(newer, newer.prices[0], 2)))
    assert [(each.action, each.id) for each in found] == [("archive", "team:base:v1")]


def test_terms_of_an_older_version_are_a_newer_one_again() -> None:
    newer = changed(rates={"usd": Rate(Decimal(5900))})
    between = held(_PLAN, version(newer, newer.prices[0], 2))
    between = replace(between, prices=[replace(each, active=each.id != "team:base:v1") for each in between.prices])
    found = plan_changes([_PLAN], between)
    assert [(each.action, each.version, each.id) for each in found] == [
        ("new version", 3, None),
        ("archive", 0, "team:base:v2"),
    ]


def test_names_and_metadata_change_in_place() -> None:
    (change,) = plan_changes([replace(_PLAN, name="Teams", description="", metadata={"a": "c"})], held())
    assert change.detail == "name: Team → Teams; description: For teams → –; a: b → c"
    (change,) = plan_changes([changed(name="Base fee")], held())
    assert (change.action, change.detail, change.id) == ("update", "name: base → Base fee", "team:base:v1")
    # What people set at Stripe beside ours is left alone.
    assert plan_changes([_PLAN], held(_PLAN, metadata={**product_metadata(_PLAN), "ledger": "7"})) == []


def test_a_plan_on_another_product_gets_new_prices_there() -> None:
    moved = replace(_PLAN, product="bundle")
    assert lines([moved], held()) == [
        "create product bundle",
        *[f"{action} price team:{slug}" for slug in ("base", "users") for action in ("new version", "archive")],
        "not in the file product team",
    ]


def test_plans_may_share_a_product_which_the_first_names() -> None:
    yearly = Plan(slug="yearly", name="Yearly", product="team", prices=(_PACKAGE,))
    assert lines([_PLAN, yearly], held()) == ["create price yearly:users"]


def test_what_is_not_in_the_file_is_told_and_archived_only_when_asked() -> None:
    other = replace(_PLAN, slug="other", prices=(_BASE,))
    rest = replace(_PLAN, prices=(_BASE,))
    both = held()
    both = replace(both, products={**both.products, **held(other).products}, prices=[*both.prices, *held(other).prices])
    names = ("price team:users", "price other:base", "product other")
    assert lines([rest], both) == [f"not in the file {name}" for name in names]
    assert not any(each.writes for each in plan_changes([rest], both))
    assert lines([rest], both, archive_missing=True) == [f"archive {name}" for name in names]
    archived = replace(
        both,
        products={slug: replace(each, active=slug == "team") for slug, each in both.products.items()},
        prices=[replace(each, active=each.name == "team:base") for each in both.prices],
    )
    assert lines([rest], archived, archive_missing=True) == []
    assert lines([rest, other], archived) == ["update product other", "new version price other:base"]


@pytest.mark.parametrize("price", [_BASE, _TOKENS, _PACKAGE], ids=lambda price: str(price.slug))
def test_terms_read_back_from_stripe_are_those_that_were_sent(price: Price) -> None:
    intended = stripe_price(price)
    sent: Any = creation_params(intended, product="prod_1", meter="mtr_1" if intended.meter else None)
    assert held_terms(as_stripe_holds(sent), {"mtr_1": "tokens"}) == intended_terms(intended)
    other = held_terms({**as_stripe_holds(sent), "currency": "eur"}, {"mtr_1": "tokens"})
    assert other != intended_terms(intended)


def test_a_price_on_a_meter_that_is_not_active_has_other_terms() -> None:
    sent: Any = creation_params(stripe_price(_TOKENS), product="prod_1", meter="mtr_old")
    assert held_terms(as_stripe_holds(sent), {"mtr_1": "tokens"})["quantity"] == "metered by mtr_old"


def test_where_stripe_shows_no_amounts_what_the_price_was_made_with_decides() -> None:
    (found, *others) = held().prices
    hidden = replace(found, terms={**found.terms, "jpy": UNREADABLE}, remembered=digest(found.terms))
    assert plan_changes([_PLAN], replace(held(), prices=[hidden, *others])) == []
    other = changed(rates={**_RATES, "jpy": Rate(Decimal(7300))})
    (change, _) = plan_changes([other], replace(held(), prices=[hidden, *others]))
    assert change.detail == "v2 jpy: not shown by Stripe → 7300"
    sent: Any = creation_params(stripe_price(_BASE), product="p", meter=None)
    bare = {**as_stripe_holds(sent), "currency_options": {"jpy": {"unit_amount_decimal": None}}}
    assert held_terms(bare, {})["jpy"] == UNREADABLE


def test_amounts_are_sent_without_exponents() -> None:
    sent: Any = creation_params(stripe_price(_TOKENS), product="prod_1", meter="mtr_1")
    assert sent["tiers"][0] == {"up_to": 1000, "unit_amount_decimal": "0.0000001", "flat_amount": 100}
    assert sent["tiers"][1] == {"up_to": "inf", "unit_amount_decimal": "0.5"}
    assert creation_params(stripe_price(_BASE), product="p", meter=None)["unit_amount_decimal"] == "4900"


def as_stripe_holds(sent: dict[str, Any]) -> dict[str, Any]:
    """Return a price as Stripe's answer has it: whole amounts twice, nulls, and every currency as an option."""
    held_price = {"tiers_mode": None, "transform_quantity": None, "unit_amount_decimal": None, **sent, **_held(sent)}
    options = {
        code: {"unit_amount_decimal": None, **_held(each)} for code, each in sent.get("currency_options", {}).items()
    }
    own = {name: held_price.get(name) for name in ("unit_amount_decimal", "tiers") if held_price.get(name)}
    return {**held_price, "currency_options": {sent["currency"]: {"unit_amount_decimal": None, **own}, **options}}


def _held(amounts: dict[str, Any]) -> dict[str, Any]:
    if "tiers" not in amounts:
        return amounts
    tiers = [
        {"flat_amount": None, **tier, "up_to": None if tier["up_to"] == "inf" else tier["up_to"]}
        for tier in amounts["tiers"]
    ]
    return {"tiers": tiers, "unit_amount_decimal": None}
