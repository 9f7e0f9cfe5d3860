from __future__ import annotations

from typing import Any

from billing.periods import Cycle, Interval
from sinks.stripe.item_changes import WantedItem
from sinks.stripe.subscription_schedules import next_phases

MONTH = Cycle(Interval.MONTH)
PLAIN: dict[str, Any] = {
    "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
    "collection_method": "charge_automatically",
    "days_until_due": None,
    "default_payment_method": None,
    "default_tax_rates": [],
    "description": None,
    "discounts": [],
    "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
    "items": {"data": [{"price": {"id": "price_seat"}, "tax_rates": [], "discounts": []}]},
}
SCHEDULE: dict[str, Any] = {
    "current_phase": {"start_date": 10, "end_date": 20},
    "phases": [
        {"start_date": 0, "end_date": 10, "items": [{"price": "price_old"}], "trial_end": None},
        {"start_date": 10, "end_date": 20, "items": [{"price": "price_seat", "quantity": 3}], "trial_end": None},
    ],
}


def phases(**terms: Any) -> list[Any]:
    """Return both phases of a subscription with these terms that shall have five seats."""
    return list(next_phases(SCHEDULE, {**PLAIN, **terms}, [WantedItem("price_seat", 5)], MONTH))


def test_the_present_phase_is_repeated_and_the_next_one_follows() -> None:
    present, coming = phases()
    assert present == {
        "collection_method": "charge_automatically",
        "items": [{"price": "price_seat", "quantity": 3}],
        "start_date": 10,
        "end_date": 20,
        "proration_behavior": "none",
    }
    assert coming == {
        "collection_method": "charge_automatically",
        "items": [{"price": "price_seat", "quantity": 5}],
        "duration": {"interval": "month", "interval_count": 1},
        "proration_behavior": "none",
    }


def test_both_phases_list_what_the_subscription_has() -> None:
    both = phases(
        automatic_tax={"disabled_reason": None, "enabled": True, "liability": {"type": "self"}},
        collection_method="send_invoice",
        days_until_due=14,
        default_payment_method="pm_1",
        default_tax_rates=[{"id": "txr_1", "percentage": 19}],
        description="Acme's team",
        discounts=["di_1", {"id": "di_2"}],
    )
    for phase in both:
        assert phase["automatic_tax"] == {"enabled": True, "liability": {"type": "self"}}
        assert (phase["collection_method"], phase["invoice_settings"]) == ("send_invoice", {"days_until_due": 14})
        assert phase["default_payment_method"] == "pm_1"
        assert phase["default_tax_rates"] == ["txr_1"]
        assert phase["description"] == "Acme's team"
        assert phase["discounts"] == [{"discount": "di_1"}, {"discount": "di_2"}]


def test_an_item_that_stays_keeps_what_is_its_own() -> None:
    item = {"price": {"id": "price_seat"}, "tax_rates": [{"id": "txr_2"}], "discounts": ["di_3"]}
    for phase in phases(items={"data": [item]}):
        assert phase["items"][0]["tax_rates"] == ["txr_2"]
        assert phase["items"][0]["discounts"] == [{"discount": "di_3"}]
    fresh = next_phases(SCHEDULE, {**PLAIN, "items": {"data": [item]}}, [WantedItem("price_calls", None)], MONTH)
    assert fresh[1]["items"] == [{"price": "price_calls"}]
