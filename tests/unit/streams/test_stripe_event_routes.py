"""Which objects each type of event leads to."""

from __future__ import annotations

from typing import Any

import pytest

from devstack.stripe_simulator.world import public
from streams.stripe_event_routes import places_of
from tests.unit.devstack.stripe_simulator.billing.conftest import Stripe


@pytest.fixture
def stripe() -> Stripe:
    """Return an empty Stripe at 1 January 2026."""
    return Stripe()


@pytest.mark.parametrize(
    ("kind", "obj", "places"),
    [
        ("checkout.session.completed", {"id": "cs_1"}, [("checkout_session", "cs_1")]),
        ("customer.created", {"id": "cus_1"}, [("customer", "cus_1")]),
        ("customer.deleted", {"id": "cus_1"}, [("customer", "cus_1")]),
        ("customer.subscription.updated", {"id": "sub_1", "customer": "cus_1"}, [("subscription", "sub_1")]),
        (
            "customer.discount.created",
            {"id": "di_1", "customer": "cus_1", "subscription": "sub_1", "promotion_code": "promo_1"},
            [("customer", "cus_1"), ("subscription", "sub_1"), ("promotion_code", "promo_1")],
        ),
        (
            "customer.discount.deleted",
            {"id": "di_1", "customer": "cus_1", "subscription": "sub_1", "promotion_code": None},
            [("customer", "cus_1"), ("subscription", "sub_1")],
        ),
        ("promotion_code.updated", {"id": "promo_1"}, [("promotion_code", "promo_1")]),
        ("customer.tax_id.created", {"id": "txi_1", "customer": "cus_1"}, [("customer", "cus_1")]),
        ("subscription_schedule.updated", {"id": "ss_1", "subscription": "sub_1"}, [("subscription", "sub_1")]),
        (
            "subscription_schedule.released",
            {"id": "ss_1", "subscription": None, "released_subscription": "sub_1"},
            [("subscription", "sub_1")],
        ),
        ("subscription_schedule.created", {"id": "ss_1", "subscription": None}, [("subscription_schedule", "ss_1")]),
        ("invoice.paid", {"id": "in_1"}, [("invoice", "in_1")]),
        (
            "invoice.upcoming",
            {"parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_1"}}},
            [("subscription", "sub_1")],
        ),
        ("invoice.upcoming", {"parent": None}, []),
        ("invoice_payment.paid", {"id": "inpay_1", "invoice": {"id": "in_1"}}, [("invoice", "in_1")]),
        ("payment_method.detached", {"id": "pm_1"}, [("payment_method", "pm_1")]),
        (
            "setup_intent.succeeded",
            {"id": "seti_1", "payment_method": "pm_1", "customer": "cus_1"},
            [("payment_method", "pm_1"), ("customer", "cus_1")],
        ),
        ("payment_intent.payment_failed", {"id": "pi_1", "customer": "cus_1"}, [("customer", "cus_1")]),
        (
            "charge.refunded",
            {"id": "ch_1", "customer": "cus_1", "payment_intent": "pi_1"},
            [("payment_intent", "pi_1"), ("customer", "cus_1")],
        ),
        ("charge.dispute.created", {"id": "dp_1", "payment_intent": "pi_1"}, [("payment_intent", "pi_1")]),
        ("charge.dispute.created", {"id": "dp_1", "payment_intent": None}, []),
        ("refund.updated", {"id": "re_1", "payment_intent": "pi_1"}, [("payment_intent", "pi_1")]),
        ("price.updated", {"id": "price_1"}, [("price", "price_1")]),
        ("price.created", {"id": "price_1"}, []),
        ("product.deleted", {"id": "prod_1"}, []),
        ("radar.early_fraud_warning.created", {"id": "issfr_1", "customer": "cus_1"}, None),
    ],
)
def test_places(kind: str, obj: dict[str, Any], places: list[tuple[str, str]] | None) -> None:
    assert places_of({"type": kind, "data": {"object": obj}}) == places


def test_what_the_simulator_tells_leads_to_what_it_is_about(stripe: Stripe) -> None:
    """The shapes are Stripe's own: its document judges every event of the simulator."""
    clock = stripe.clock("2026-01-01")
    customer = stripe.customer(test_clock=clock)
    (card,) = (event["data"]["object"]["id"] for event in stripe.events("payment_method.attached"))
    small, large = stripe.price(1_000), stripe.price(2_000)
    made = stripe.post("subscriptions", customer=customer, items=[{"price": large}])["id"]
    schedule = stripe.post("subscription_schedules", from_subscription=made)
    first = schedule["phases"][0]
    present = {"start_date": first["start_date"], "end_date": first["end_date"], "items": [{"price": large}]}
    coming = {"items": [{"price": small}], "duration": {"interval": "month", "interval_count": 1}}
    stripe.post(f"subscription_schedules/{schedule['id']}", phases=[present, coming])
    stripe.advance(clock, "2026-03-10")
    stripe.delete(f"subscriptions/{made}")
    expected = {
        "customer.created": {("customer", customer)},
        "customer.updated": {("customer", customer)},
        "payment_method.attached": {("payment_method", card)},
        "payment_intent.succeeded": {("payment_method", card), ("customer", customer)},
        "invoice.upcoming": {("subscription", made)},
        "invoice.created": {("invoice", each["id"]) for each in stripe.invoices(made)},
        "invoice.paid": {("invoice", each["id"]) for each in stripe.invoices(made)},
        "invoice_payment.paid": {("invoice", each["id"]) for each in stripe.invoices(made)},
        "customer.subscription.created": {("subscription", made)},
        "customer.subscription.updated": {("subscription", made)},
        "customer.subscription.deleted": {("subscription", made)},
        "subscription_schedule.created": {("subscription", made)},
        "subscription_schedule.updated": {("subscription", made)},
        "subscription_schedule.released": {("subscription", made)},
    }
    for kind, places in expected.items():
        found = [places_of(public(event)) for event in stripe.events(kind)]
        assert all(found), kind
        assert {place for each in found for place in each or ()} == places, kind


def test_a_thin_event_has_no_object() -> None:
    assert places_of({"type": "v1.billing.meter.error_report_triggered", "related_object": {"id": "mtr_1"}}) == []
