"""What is bought of a plan."""

from __future__ import annotations

from typing import Any

import pytest

from billing.offers import MAX_BOUGHT, bought_prices, default_cycle, kept_quantity
from billing.periods import Cycle, Interval
from billing.plan_document import read_plans
from runtime.errors import BusinessLogicError

MONTH, YEAR = Cycle(Interval.MONTH), Cycle(Interval.YEAR)
(PLAN,) = read_plans(
    {
        "plans": [
            {
                "slug": "team",
                "name": "Team",
                "prices": [
                    {
                        "slug": "base",
                        "kind": "flat",
                        "interval": "month",
                        "currencies": {"usd": {"amount": "49.00"}, "eur": {"amount": "45.00"}},
                    },
                    {
                        "slug": "seats",
                        "kind": "per_seat",
                        "interval": "month",
                        "currencies": {"usd": {"amount": "12.00"}, "eur": {"amount": "11.00"}},
                    },
                    {
                        "slug": "calls",
                        "kind": "per_unit",
                        "interval": "month",
                        "meter": {"slug": "calls", "aggregation": "SUM"},
                        "currencies": {"usd": {"amount": "0.01"}, "eur": {"amount": "0.009"}},
                    },
                    {"slug": "yearly", "kind": "flat", "interval": "year", "currencies": {"usd": {"amount": "490"}}},
                    {
                        "slug": "yearly-calls",
                        "kind": "per_unit",
                        "interval": "year",
                        "meter": {"slug": "calls", "aggregation": "SUM"},
                        "currencies": {"usd": {"amount": "0"}},
                    },
                ],
            }
        ]
    }
)


def test_flat_prices_are_bought_once_seats_as_often_as_asked_and_usage_by_no_quantity() -> None:
    bought = bought_prices(PLAN, MONTH, "usd", 5)
    assert [(each.price.slug, each.quantity) for each in bought] == [("base", 1), ("seats", 5), ("calls", None)]
    in_euros = [(each.price.slug, each.quantity) for each in bought_prices(PLAN, MONTH, "eur", 1)]
    assert in_euros == [("base", 1), ("seats", 1), ("calls", None)]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"quantity": 0}, "QUANTITY_OUT_OF_RANGE"),
        ({"quantity": -1}, "QUANTITY_OUT_OF_RANGE"),
        ({"quantity": MAX_BOUGHT + 1}, "QUANTITY_OUT_OF_RANGE"),
        ({"quantity": 2, "cycle": YEAR}, "QUANTITY_NOT_OFFERED"),
        ({"cycle": Cycle(Interval.WEEK)}, "INTERVAL_NOT_OFFERED"),
        ({"cycle": Cycle(Interval.MONTH, 3)}, "INTERVAL_NOT_OFFERED"),
        ({"currency": "jpy"}, "CURRENCY_NOT_OFFERED"),
        ({"currency": "eur", "cycle": YEAR}, "CURRENCY_NOT_OFFERED"),
    ],
)
def test_what_is_not_sold_is_refused_with_what_is(asked: dict[str, Any], code: str) -> None:
    wanted = {"cycle": MONTH, "currency": "usd", "quantity": 1} | asked
    with pytest.raises(BusinessLogicError) as refused:
        bought_prices(PLAN, **wanted)
    assert refused.value.code == code
    assert refused.value.details["field"] in ("quantity", "interval", "currency")


def test_a_change_keeps_the_interval_unless_the_plan_has_only_another() -> None:
    assert default_cycle(PLAN, "usd", MONTH) == MONTH
    assert default_cycle(PLAN, "usd", YEAR) == YEAR
    assert default_cycle(PLAN, "eur", YEAR) == MONTH


def test_a_change_keeps_the_quantity_where_the_plan_has_any() -> None:
    assert kept_quantity(PLAN, MONTH, "usd", 5) == 5
    assert kept_quantity(PLAN, YEAR, "usd", 5) == 1
