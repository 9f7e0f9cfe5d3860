"""Which objects each type of event leads to."""

from __future__ import annotations

from typing import Any

import pytest

from streams.stripe_event_routes import places_of


@pytest.mark.parametrize(
    ("kind", "obj", "places"),
    [
        ("checkout.session.completed", {"id": "cs_1"}, [("checkout_session", "cs_1")]),
        ("customer.created", {"id": "cus_1"}, [("customer", "cus_1")]),
        ("customer.deleted", {"id": "cus_1"}, [("customer", "cus_1")]),
        ("customer.subscription.updated", {"id": "sub_1", "customer": "cus_1"}, [("subscription", "sub_1")]),
        (
            "customer.discount.created",
            {"id": "di_1", "customer": "cus_1", "subscription": "sub_1"},
            [("customer", "cus_1"), ("subscription", "sub_1")],
        ),
        ("customer.tax_id.created", {"id": "txi_1", "customer": "cus_1"}, [("customer", "cus_1")]),
        ("subscription_schedule.updated", {"id": "ss_1", "subscription": "sub_1"}, [("subscription", "sub_1")]),
        (
            "subscription_schedule.released",
            {"id": "ss_1", "subscription": None, "released_subscription": "sub_1"},
            [("subscription", "sub_1")],
        ),
        ("subscription_schedule.created", {"id": "ss_1", "subscription": None}, [("subscription_schedule", "ss_1")]),
        ("invoice.paid", {"id": "in_1"}, [("invoice", "in_1")]),
        ("invoice.upcoming", {"subscription": "sub_1"}, [("subscription", "sub_1")]),
        ("invoice_payment.paid", {"id": "inpay_1", "invoice": {"id": "in_1"}}, [("invoice", "in_1")]),
        ("payment_method.detached", {"id": "pm_1"}, [("payment_method", "pm_1")]),
        (
            "setup_intent.succeeded",
            {"id": "seti_1", "payment_method": "pm_1", "customer": "cus_1"},
            [("payment_method", "pm_1"), ("customer", "cus_1")],
        ),
        ("payment_intent.payment_failed", {"id": "pi_1", "customer": "cus_1"}, [("customer", "cus_1")]),
        ("charge.refunded", {"id": "ch_1", "customer": "cus_1"}, [("customer", "cus_1")]),
        ("charge.dispute.created", {"id": "dp_1"}, []),
        ("price.updated", {"id": "price_1"}, []),
        ("product.deleted", {"id": "prod_1"}, []),
        ("radar.early_fraud_warning.created", {"id": "issfr_1", "customer": "cus_1"}, []),
    ],
)
def test_places(kind: str, obj: dict[str, Any], places: list[tuple[str, str]]) -> None:
    assert places_of({"type": kind, "data": {"object": obj}}) == places


def test_a_thin_event_has_no_object() -> None:
    assert places_of({"type": "v1.billing.meter.error_report_triggered", "related_object": {"id": "mtr_1"}}) == []
