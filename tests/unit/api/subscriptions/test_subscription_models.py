"""What a change of a subscription may say together."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from api.catalogue.discount_models import ValidateDiscountCode
from api.http.invalid_requests import field_and_message
from api.subscriptions.checkout_models import StartCheckout
from api.subscriptions.subscription_history import change_as_json
from api.subscriptions.subscription_models import ChangeSubscription, CreateSubscription
from sinks.postgres.subscriptions import ChangeRow
from tests.unit.billing.builders import utc

NOW = "2026-11-29T12:00:00Z"
BODIES: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (CreateSubscription, {"plan": "team"}),
    (ChangeSubscription, {"quantity": 2}),
    (StartCheckout, {"plan": "team", "success_url": "https://example.com"}),
    (ValidateDiscountCode, {"plan": "team", "code": "LAUNCH"}),
]


def refusal(model: type[BaseModel], body: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(body)
    (problem,) = refused.value.errors()
    return field_and_message(problem)


@pytest.mark.parametrize(("model", "body"), BODIES, ids=lambda each: getattr(each, "__name__", ""))
def test_a_count_of_no_interval_is_refused(model: type[BaseModel], body: dict[str, Any]) -> None:
    field, message = refusal(model, {**body, "interval_count": 3})
    assert (field, "send both" in message) == ("interval_count", True)
    assert refusal(model, {**body, "interval": None, "interval_count": 1})[0] == "interval_count"
    assert refusal(model, {**body, "interval": "moon", "interval_count": 3})[0] == "interval"
    for fits in ({}, {"interval": "month"}, {"interval": "month", "interval_count": 3}):
        model.model_validate({**body, **fits})


@pytest.mark.parametrize("sent", [{"proration": "none"}, {"proration": "prorate"}, {"proration_at": NOW}])
def test_proration_belongs_to_immediate_changes(sent: dict[str, Any]) -> None:
    field, message = refusal(ChangeSubscription, {"quantity": 2, "timing": "next_billing_cycle", **sent})
    assert (field, "immediate changes" in message) == (*sent, True)
    ChangeSubscription.model_validate({"quantity": 2, **sent})
    ChangeSubscription.model_validate({"quantity": 2, "timing": "next_billing_cycle", "proration_at": None})


def test_the_history_tells_intervals_as_requests_do() -> None:
    row = ChangeRow(
        1, "plan_changed", {"billing_cycle": "month"}, {"billing_cycle": "3 months"}, "test", None,
        utc("2026-11-29"), utc("2026-11-29"), 0, "usd",
    )  # fmt: skip
    told = change_as_json(row, [])
    assert (told["from"], told["to"]) == (
        {"interval": "month", "interval_count": 1},
        {"interval": "month", "interval_count": 3},
    )
