"""The history of subscriptions, and what they bring in a month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.monthly import monthly_minor, read_items
from billing.stripe_objects import SubscriptionFacts, read_subscription
from billing.subscription_changes import FIELDS, describe, state

_AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
_START = int(_AT.timestamp())
_MONTH = 30 * 86_400


def _price(name: str = "price_1", amount: str = "1000", interval: str = "month", **changes: Any) -> dict[str, Any]:
    recurring = {"interval": interval, "interval_count": 1, "usage_type": "licensed", "meter": None}
    terms = {"unit_amount_decimal": amount, "billing_scheme": "per_unit", "tiers_mode": None, "currency": "usd"}
    return {"id": name, "product": "prod_1", "recurring": recurring, "transform_quantity": None, **terms, **changes}


def _subscription(*items: tuple[dict[str, Any], int], start: int = _START, **changes: Any) -> SubscriptionFacts:
    data = [
        {"id": f"si_{number}", "price": price, "quantity": quantity, "current_period_start": start,
         "current_period_end": start + _MONTH}
        for number, (price, quantity) in enumerate(items or ((_price(), 1),))
    ]  # fmt: skip
    base = {"id": "sub_1", "customer": "cus_1", "status": "active", "currency": "usd", "created": _START}
    return read_subscription({**base, "cancel_at_period_end": False, "items": {"data": data}, **changes})


def _lines(before: SubscriptionFacts | None, after: SubscriptionFacts) -> list[tuple[str, int]]:
    return [(line.kind, line.mrr_delta_minor) for line in describe(before, after, at=_AT)]


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"status": "incomplete"}, {}, [("activated", 1_000)]),
        ({"status": "trialing"}, {}, [("trial_ended", 1_000)]),
        ({"status": "trialing"}, {"status": "past_due"}, [("past_due", 1_000)]),
        ({}, {"status": "past_due"}, [("past_due", 0)]),
        ({"status": "past_due"}, {}, [("recovered", 0)]),
        ({"status": "past_due"}, {"status": "unpaid"}, [("unpaid", -1_000)]),
        ({"status": "unpaid"}, {}, [("recovered", 1_000)]),
        ({"status": "incomplete"}, {"status": "incomplete_expired"}, [("expired", 0)]),
        ({}, {"status": "canceled", "ended_at": _START, "canceled_at": _START}, [("canceled", -1_000)]),
        ({}, {"cancel_at_period_end": True, "canceled_at": _START}, [("cancel_scheduled", 0)]),
        ({"cancel_at_period_end": True, "canceled_at": _START}, {}, [("cancel_withdrawn", 0)]),
        ({}, {"pause_collection": {"behavior": "void", "resumes_at": None}}, [("paused", -1_000)]),
        ({}, {"pause_collection": {"behavior": "keep_as_draft", "resumes_at": None}}, [("paused", 0)]),
        ({}, {"pause_collection": {"behavior": "mark_uncollectible", "resumes_at": None}}, [("paused", -1_000)]),
        ({"pause_collection": {"behavior": "void", "resumes_at": None}}, {}, [("resumed", 1_000)]),
        ({}, {"status": "paused"}, [("paused", -1_000)]),
        ({"status": "paused"}, {}, [("resumed", 1_000)]),
        ({}, {"start": _START + _MONTH}, [("renewed", 0)]),
        ({}, {"start": _START + 5}, [("updated", 0)]),
        ({}, {"cancellation_details": {"comment": "bye"}}, [("updated", 0)]),
        (
            {"status": "trialing", "trial_end": _START + 9},
            {"status": "trialing", "trial_end": _START + 99},
            [("trial_changed", 0)],
        ),
        ({}, {}, []),
    ],
)
def test_kinds(before: dict[str, Any], after: dict[str, Any], lines: list[tuple[str, int]]) -> None:
    assert _lines(_subscription(**before), _subscription(**after)) == lines


def test_the_first_line_says_all() -> None:
    (line,) = describe(None, _subscription((_price(), 3)), at=_AT + timedelta(days=1))
    assert (line.kind, line.before, line.mrr_delta_minor, line.effective_at) == ("created", None, 3_000, _AT)
    assert line.after["items"] == [{"price": "price_1", "quantity": 3}]


def test_what_is_bought_says_the_difference_when_it_was_paid_before_and_after() -> None:
    dear = _price("price_2", "5000")
    assert _lines(_subscription(), _subscription((_price(), 4))) == [("quantity_changed", 3_000)]
    assert _lines(_subscription(), _subscription((dear, 1))) == [("plan_changed", 4_000)]
    assert _lines(_subscription(), _subscription((dear, 1), status="past_due")) == [
        ("past_due", 0),
        ("plan_changed", 4_000),
    ]
    ended = _subscription((dear, 1), status="canceled", ended_at=_START)
    assert _lines(_subscription(), ended) == [("canceled", -1_000), ("plan_changed", 0)]


def test_a_scheduled_change_comes_is_withdrawn_or_happens() -> None:
    phases = [
        {"start_date": _START, "items": [{"price": "price_1", "quantity": 1}]},
        {"start_date": _START + _MONTH, "items": [{"price": "price_2", "quantity": 2}]},
    ]
    schedule = {"id": "ss_1", "status": "active", "current_phase": {"start_date": _START}, "phases": phases}
    scheduled = _subscription(schedule=schedule)
    (line,) = describe(_subscription(), scheduled, at=_AT)
    assert line.kind == "change_scheduled"
    assert line.effective_at == _AT + timedelta(days=30)
    assert _lines(scheduled, _subscription()) == [("change_withdrawn", 0)]
    done = _subscription((_price("price_2", "500"), 2), start=_START + _MONTH)
    assert [kind for kind, _ in _lines(scheduled, done)] == ["plan_changed", "renewed"]


def test_months_are_exact_and_rounded_once() -> None:
    year = _price("price_y", "10000", "year")
    assert monthly_minor(_subscription((year, 1)).items) == 833
    assert monthly_minor(_subscription((year, 1), (year, 1), (year, 1)).items) == 2_500
    assert monthly_minor(_subscription((_price(amount="0.5"), 1)).items) == 1
    assert monthly_minor(_subscription((_price(interval="week"), 3)).items) == 13_000
    tiers = [{"up_to": 5, "unit_amount_decimal": "100", "flat_amount": 7}, {"up_to": None, "unit_amount": 50}]
    tiered = {"billing_scheme": "tiered", "tiers": tiers, "unit_amount_decimal": None}
    assert monthly_minor(_subscription((_price(tiers_mode="graduated", **tiered), 7)).items) == 607
    assert monthly_minor(_subscription((_price(tiers_mode="volume", **tiered), 7)).items) == 350
    packages = _price(transform_quantity={"divide_by": 10, "round": "up"})
    assert monthly_minor(_subscription((packages, 11)).items) == 2_000
    metered = _price(recurring={"interval": "month", "interval_count": 1, "usage_type": "metered", "meter": "m"})
    assert monthly_minor(_subscription((metered, 1)).items) == 0


def test_another_currency_has_its_own_amounts() -> None:
    price = _price(currency_options={"eur": {"unit_amount_decimal": "900"}})
    (item,) = read_items([{"id": "si", "price": price, "quantity": 2}], "eur")
    assert item.amount == 1_800
    with pytest.raises(ValueError, match="gbp"):
        read_items([{"id": "si", "price": price, "quantity": 2}], "gbp")


_STATUSES = ["trialing", "active", "past_due", "paused", "canceled", "incomplete", "incomplete_expired", "unpaid"]
_MOMENTS = st.none() | st.integers(_START, _START + 3)
_STATES = st.builds(
    lambda prices, **changes: _subscription(*((_price(name), quantity) for name, quantity in prices), **changes),
    st.lists(st.tuples(st.sampled_from(["price_1", "price_2"]), st.integers(0, 3)), min_size=1, max_size=2),
    status=st.sampled_from(_STATUSES),
    start=st.sampled_from([_START, _START + 1, _START + _MONTH]),
    cancel_at_period_end=st.booleans(),
    cancel_at=_MOMENTS,
    canceled_at=_MOMENTS,
    ended_at=_MOMENTS,
    trial_start=_MOMENTS,
    trial_end=_MOMENTS,
    pause_collection=st.none()
    | st.fixed_dictionaries({"behavior": st.sampled_from(["void", "keep_as_draft", "mark_uncollectible"])}),
)


@given(_STATES, _STATES)
def test_the_lines_are_the_difference_each_field_once_and_add_up(
    before: SubscriptionFacts, after: SubscriptionFacts
) -> None:
    lines = describe(before, after, at=_AT)
    old, new = state(before), state(after)
    told = [name for line in lines for name in line.after]
    assert sorted(told) == sorted(name for name in FIELDS if old[name] != new[name])
    for line in lines:
        assert line.before == {name: old[name] for name in line.after}
        assert line.after == {name: new[name] for name in line.after}
        assert line.after or line.kind == "price_changed"
    assert sum(line.mrr_delta_minor for line in lines) == after.mrr_minor - before.mrr_minor


def test_of_a_price_none_can_be_scheduled() -> None:
    phases = [
        {"start_date": _START, "items": [{"price": "price_1", "quantity": 5}]},
        {"start_date": _START + _MONTH, "items": [{"price": "price_1", "quantity": 0}, {"price": "price_metered"}]},
    ]
    schedule = {"id": "ss_1", "status": "active", "current_phase": {"start_date": _START}, "phases": phases}
    scheduled = _subscription(schedule=schedule).scheduled
    assert scheduled is not None
    assert scheduled["items"] == [{"price": "price_1", "quantity": 0}, {"price": "price_metered", "quantity": 1}]


def test_another_amount_of_a_price_that_is_paid_is_a_line_of_its_own() -> None:
    before, after = (
        _subscription((_price(currency="eur", currency_options={"usd": {"unit_amount_decimal": amount}}), 2))
        for amount in ("1000", "1500")
    )
    (line,) = describe(before, after, at=_AT)
    assert (line.kind, line.before, line.after) == ("price_changed", {}, {})
    assert (line.mrr_delta_minor, line.effective_at) == (1_000, _AT)
