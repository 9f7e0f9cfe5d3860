"""A plan document is read whole, or all of its errors are told, each with its place."""

from __future__ import annotations

import copy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from billing import plan_document as documents
from billing.periods import Cycle, Interval
from billing.plan_document import read_plans
from billing.plans import Feature, Limit
from billing.rates import PriceKind
from billing.rating import rate_quantity
from billing.stripe_form import stripe_price
from runtime.errors import SchemaValidation

EXAMPLE = Path(__file__).parents[3] / "docs" / "plans.example.yaml"


def example() -> Any:
    return yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))


def problems(document: object) -> list[str]:
    with pytest.raises(SchemaValidation) as caught:
        read_plans(document)
    listed = [": ".join(filter(None, (each["field"], each["message"]))) for each in caught.value.details["problems"]]
    assert caught.value.message == "\n".join(listed)
    return listed


def test_the_example_is_complete_and_read_exactly() -> None:
    team, yearly = read_plans(example())
    assert {price.kind for price in team.prices} == set(PriceKind)
    assert (team.product_slug, yearly.product_slug, team.trial_days) == ("meterstream-team", "team-yearly", 14)
    assert team.features[0] == Feature("sso", "Single sign-on")
    assert team.features[2].limit == Limit("storage_gb", Decimal("500.5"), hard=False)
    base, seats, calls, storage, exports, users = team.prices
    assert base.currencies == ("usd", "eur", "jpy")
    assert (base.rate("usd").unit_amount, base.rate("jpy").unit_amount) == (4900, 7200)
    assert calls.rate("usd").unit_amount == Decimal("0.04")
    assert (calls.rate("usd").minimum, calls.rate("jpy").maximum) == (500, 130_000)
    assert rate_quantity(seats, "usd", 5).amount == 2400
    assert rate_quantity(storage, "usd", 1100).amount == 200 + 900 * 8 + 100 * 5
    assert rate_quantity(exports, "usd", 60).amount == 2400
    assert rate_quantity(users, "usd", 101).amount == 600
    assert yearly.prices_for(Cycle(Interval.YEAR), "usd") == yearly.prices
    assert yearly.prices_for(Cycle(Interval.YEAR), "eur") == ()
    for price in (*team.prices, *yearly.prices):
        assert stripe_price(price).lookup_key == price.slug


def test_the_example_shows_every_field() -> None:
    def keys(value: Any) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*(keys(each) for each in value.values()))
        return set().union(*(keys(each) for each in value)) if isinstance(value, list) else set()

    models: list[type[BaseModel]] = [
        documents.TierDocument,
        documents.RateDocument,
        documents.MeterDocument,
        documents.PriceDocument,
        documents.LimitDocument,
        documents.FeatureDocument,
        documents.PlanDocument,
        documents.PlansDocument,
    ]
    assert {name for model in models for name in model.model_fields} <= keys(example())


def test_all_errors_are_told_at_once() -> None:
    document = example()
    team = document["plans"][0]
    team["trial_days"] = "14"
    team["prices"][0]["currencies"]["xyz"] = team["prices"][0]["currencies"].pop("eur")
    team["prices"][0]["interval_count"] = 37
    team["prices"][1]["kind"] = "per_chair"
    team["prices"][3]["currencies"]["usd"]["tiers"][2]["up_to"] = 900
    team["prices"][4]["meter"]["aggregation"] = "AVG"
    team["prices"][5]["packagesize"] = team["prices"][5].pop("package_size")
    document["plans"][1]["slug"] = "team"
    document["plans"][1]["prices"][0]["currencies"]["usd"]["amount"] = 490.5
    assert problems(document) == [
        "plans[0].prices[0].interval_count: 37 is out of range; write 1 to 36 for month",
        "plans[0].prices[0].currencies.xyz: is no currency that Stripe charges in; "
        "write an ISO code such as usd, eur or jpy",
        "plans[0].prices[1].kind: input should be 'flat', 'per_seat', 'per_unit', 'graduated', 'volume' or 'package'",
        "plans[0].prices[3].currencies.usd.tiers[2].up_to: units above 900 have no price; "
        "leave up_to out of the last tier",
        "plans[0].prices[4].meter.aggregation: AVG cannot be reported to Stripe; "
        "use one of SUM, COUNT, MAX, UNIQUE_COUNT",
        "plans[0].prices[5].packagesize: is no field of the document; leave it out",
        "plans[0].prices[5].package_size: None is out of range; write 2 to 1000000000000000",
        "plans[0].trial_days: input should be a valid integer",
        "plans[1].prices[0].currencies.usd.amount: '490.5' is no plain decimal number; "
        "it was read as a float, which is not exact: quote it",
        "plans[1].slug: team comes twice; write another one",
    ]


def test_a_wrong_shape_hides_no_other_error_and_makes_none() -> None:
    document = example()
    team = document["plans"][0]
    team |= {"name": 5, "slug": "Team!", "trial_days": 731, "features": "all"}
    team["prices"][0] |= {"slug": "Base", "interval_count": "two"}
    team["prices"][3] |= {"slug": "Storage", "kind": "tiered", "interval": "moon", "interval_count": 37}
    slug = "is no slug; write 1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit"
    assert problems(document) == [
        "plans[0].prices[0].interval_count: input should be a valid integer",
        f"plans[0].prices[0].slug: 'Base' {slug}",
        "plans[0].prices[3].kind: input should be 'flat', 'per_seat', 'per_unit', 'graduated', 'volume' or 'package'",
        "plans[0].prices[3].interval: input should be 'day', 'week', 'month' or 'year'",
        f"plans[0].prices[3].slug: 'Storage' {slug}",
        "plans[0].name: input should be a valid string",
        "plans[0].features: input should be a valid tuple",
        f"plans[0].slug: 'Team!' {slug}",
        "plans[0].trial_days: 731 is out of range; write 0 to 730",
    ]


WRONG: list[tuple[list[str | int], Any, str]] = [
    (["name"], "  ", "plans[0].name: is missing; write what customers read"),
    (["slug"], "Team!", "plans[0].slug: 'Team!' is no slug"),
    (["prices"], [], "plans[0].prices: are missing"),
    (["version"], 0, "plans[0].version: 0 is out of range"),
    (["trial_days"], 731, "plans[0].trial_days: 731 is out of range; write 0 to 730"),
    (["features", 1, "limit", "quantity"], "-1", "plans[0].features[1].limit.quantity: -1 is no quantity"),
    (["features", 1, "limit", "mode"], "firm", "plans[0].features[1].limit.mode: input should be 'hard' or 'soft'"),
    (["features", 1, "limit", "meter"], "API", "plans[0].features[1].limit.meter: 'API' is no slug"),
    (["features", 1, "slug"], "sso", "plans[0].features[1].slug: sso comes twice"),
    (["prices", 1, "slug"], "team-base", "plans[0].prices[1].slug: team-base comes twice"),
    (["metadata", "a[b]"], "c", "plans[0].metadata.a[b]: is no key for Stripe"),
    (["metadata", "audience"], "x" * 501, "plans[0].metadata.audience: is too long"),
    (["prices", 0, "currencies", "usd", "amount"], "49.005", "plans[0].prices[0].currencies.usd.amount: has a fraction "
     "of a minor unit; write a multiple of 0.01"),
    (["prices", 0, "currencies", "jpy", "amount"], "72.5", "plans[0].prices[0].currencies.jpy.amount: has a fraction "
     "of a minor unit; write a multiple of 1"),
    (["prices", 0, "currencies", "usd", "amount"], "-1", "plans[0].prices[0].currencies.usd.amount: -100 minor units "
     "are negative"),
    (["prices", 3, "currencies", "usd", "tiers", 1, "up_to"], 100, "plans[0].prices[3].currencies.usd.tiers[1].up_to: "
     "100 overlaps the tier before; write more than 100"),
    (["prices", 3, "currencies", "usd", "tiers", 1, "flat_amount"], "0.001", "plans[0].prices[3].currencies.usd."
     "tiers[1].flat_amount: has a fraction of a minor unit"),
    (["prices", 4, "currencies", "usd", "minimum"], "5", "plans[0].prices[4].currencies.usd.minimum: Stripe cannot "
     "express it for volume prices; use graduated, per_seat, per_unit, or leave it out"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "expected"), WRONG, ids=[expected[9:40] for _, _, expected in WRONG])
def test_one_error_gives_one_problem(path: list[str | int], value: Any, expected: str) -> None:
    document = copy.deepcopy(example())
    at = document["plans"][0]
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    (problem,) = problems(document)
    assert problem.startswith(expected)


def test_a_price_belongs_to_one_plan() -> None:
    document = example()
    document["plans"][1]["prices"][0]["slug"] = "team-base"
    assert problems(document) == [
        "plans[1].prices[0].slug: team-base is a price of plans[0] already; write another one"
    ]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (None, "input should be"),
        ([], "input should be"),
        ({}, "plans: is missing"),
        ({"plans": []}, "plans: tuple should have at least 1 item"),
        ({"plans": ["team"]}, "plans[0]: input should be"),
        ({"plans": [{"slug": "a", "name": "A"}]}, "plans[0].prices: is missing"),
        ({"plans": [{"slug": "a", "name": "A", "prices": [None]}]}, "plans[0].prices[0]: input should be"),
    ],
)
def test_another_shape_is_refused(document: object, expected: str) -> None:
    assert problems(document)[0].startswith(expected)
