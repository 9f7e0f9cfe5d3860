"""The simulator's billing half against Stripe's own document: every answer, object and event of a story fits it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from devstack.stripe_simulator.world import public
from tests.contract.stripe_document import check_answer, check_event, check_object, check_request
from tests.unit.devstack.stripe_simulator.billing.conftest import Stripe, at

MONTH = {"interval": "month", "interval_count": 1}


def plain(value: Any) -> Any:
    """Return what a client reads: through JSON, without private keys."""
    return json.loads(json.dumps(public(value)))


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Return a form's fields."""
    if isinstance(value, Mapping):
        parts = [flat(item, f"{name}[{key}]" if name else key) for key, item in value.items()]
        return [field for part in parts for field in part]
    if isinstance(value, list):
        return [field for place, item in enumerate(value) for field in flat(item, f"{name}[{place}]")]
    return [(name, str(value).lower() if isinstance(value, bool) else str(value))]


class JudgedStripe(Stripe):
    """Holds each request and answer against the document."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []

    def call(self, method: str, path: str, sent: Mapping[str, Any]) -> Any:
        """Make a call and judge it."""
        self.problems += [f"{method} {path}: {problem}" for problem in check_request(method, path, flat(sent))]
        answer = super().call(method, path, sent)
        self.problems += [f"{method} {path}: {problem}" for problem in check_answer(method, path, 200, plain(answer))]
        return answer

    def judge_the_world(self) -> None:
        """Judge every object and every event that there is."""
        for kind in self.world.kinds():
            if kind.startswith("_"):
                continue
            judge = check_event if kind in ("event", "v2.core.event") else check_object
            for obj in self.world.find(kind):
                self.problems += [f"{kind}: {problem}" for problem in judge(plain(obj))]


@pytest.fixture
def judged() -> JudgedStripe:
    """Return an empty Stripe that is watched."""
    return JudgedStripe()


def test_a_subscription_with_usage_discount_change_and_schedule(judged: JudgedStripe) -> None:
    clock = judged.clock("2026-01-31")
    customer = judged.customer(test_clock=clock)
    gold, silver = judged.price(1000), judged.price(2000, name="Silver")
    meter = judged.meter()
    tiers = [{"up_to": 10, "flat_amount": 100}, {"up_to": "inf", "unit_amount_decimal": "0.25"}]
    tokens = judged.price(
        None,
        name="Tokens",
        billing_scheme="tiered",
        tiers_mode="graduated",
        tiers=tiers,
        recurring={"meter": meter, "usage_type": "metered"},
    )
    coupon = judged.post("coupons", percent_off=10, duration="once")["id"]
    made = judged.post(
        "subscriptions",
        customer=customer,
        items=[{"price": gold, "quantity": 2}, {"price": tokens}],
        discounts=[{"coupon": coupon}],
        expand=["latest_invoice.payments", "latest_invoice.confirmation_secret", "discounts"],
    )
    for place, value in enumerate((7, "x", "1" * 20)):
        payload = {"stripe_customer_id": customer, "value": value}
        judged.post("billing/meter_events", event_name="tokens", payload=payload, identifier=f"event-{place}")
    judged.post("billing/meter_events", event_name="none", payload={"stripe_customer_id": customer, "value": 1})
    cancel = {"identifier": "event-2"}
    judged.post("billing/meter_event_adjustments", event_name="tokens", type="cancel", cancel=cancel)
    judged.advance(clock, "2026-02-10")
    times = {"start_time": at("2026-01-31"), "end_time": at("2026-03-01")}
    judged.get(f"billing/meters/{meter}/event_summaries", customer=customer, **times)
    item = made["items"]["data"][0]["id"]
    change = {"items": [{"id": item, "price": silver}]}
    judged.post("invoices/create_preview", subscription=made["id"], subscription_details=change)
    judged.post("invoices/create_preview", customer=customer, subscription_details={"items": [{"price": gold}]})
    judged.post(f"subscriptions/{made['id']}", **change, proration_behavior="always_invoice", expand=["latest_invoice"])
    judged.get(f"subscription_items/{item}")
    schedule = judged.post("subscription_schedules", from_subscription=made["id"])
    first = schedule["phases"][0]
    present = {name: first[name] for name in ("start_date", "end_date")} | {
        "items": [{"price": silver, "quantity": 1}, {"price": tokens}]
    }
    phases = [present, {"items": [{"price": gold}], "duration": MONTH}]
    judged.post(f"subscription_schedules/{schedule['id']}", phases=phases, end_behavior="cancel")
    judged.post("invoices/create_preview", schedule=schedule["id"])
    judged.advance(clock, "2026-04-15")
    assert judged.get(f"subscriptions/{made['id']}")["status"] == "canceled"
    judged.judge_the_world()
    assert judged.problems == []


def test_trials_failures_authentication_and_ends(judged: JudgedStripe) -> None:
    clock = judged.clock("2026-01-01")
    customer, price = judged.customer(card=None, test_clock=clock), judged.price()
    items = [{"price": price}]
    behavior = {"end_behavior": {"missing_payment_method": "pause"}}
    trial = judged.post("subscriptions", customer=customer, items=items, trial_period_days=10, trial_settings=behavior)[
        "id"
    ]
    judged.advance(clock, "2026-01-12")
    judged.set_card(customer, "visa")
    judged.post(f"subscriptions/{trial}/resume", billing_cycle_anchor={"type": "now"})
    judged.post(f"subscriptions/{trial}", pause_collection={"behavior": "void"})
    judged.advance(clock, "2026-02-13")
    judged.post(f"subscriptions/{trial}", pause_collection="", cancel_at_period_end=True)
    judged.advance(clock, "2026-03-13")
    judged.set_card(customer, "chargeCustomerFail")
    judged.post("subscriptions", customer=customer, items=items)
    judged.advance(clock, "2026-03-15")
    judged.set_card(customer, "visa")
    failing = judged.post("subscriptions", customer=customer, items=items)["id"]
    judged.set_card(customer, "chargeCustomerFail")
    judged.advance(clock, "2026-05-20")
    assert judged.get(f"subscriptions/{failing}")["status"] == "canceled"
    judged.set_card(customer, "threeDSecure2Required")
    judged.post("subscriptions", customer=customer, items=items, expand=["latest_invoice.payments"])
    judged.set_card(customer, "visa")
    waiting = judged.post(
        "subscriptions",
        customer=customer,
        items=items,
        payment_behavior="default_incomplete",
        expand=["latest_invoice.payments.data.payment.payment_intent"],
    )
    intent = waiting["latest_invoice"]["payments"]["data"][0]["payment"]["payment_intent"]["id"]
    judged.post(f"payment_intents/{intent}/confirm")
    judged.delete(f"subscriptions/{waiting['id']}", invoice_now=True, prorate=True)
    judged.judge_the_world()
    assert judged.problems == []


def test_invoices_by_hand_and_lists(judged: JudgedStripe) -> None:
    customer = judged.customer()
    for verb in ("pay", "void", "mark_uncollectible"):
        item = judged.post("invoiceitems", customer=customer, amount=500, currency="usd")["id"]
        judged.get(f"invoiceitems/{item}")
        invoice = judged.post("invoices", customer=customer, pending_invoice_items_behavior="include")["id"]
        judged.post(f"invoices/{invoice}", description="By hand")
        judged.post(f"invoices/{invoice}/finalize", auto_advance=False)
        judged.post(f"invoices/{invoice}/{verb}")
        judged.get(f"invoices/{invoice}/lines")
    judged.delete(f"invoices/{judged.post('invoices', customer=customer)['id']}")
    judged.post(f"billing/meters/{judged.meter()}/deactivate")
    for path in ("invoices", "invoiceitems", "invoice_payments", "payment_intents", "subscriptions"):
        judged.get(path)
    for path in ("billing/meters", "subscription_schedules", "test_helpers/test_clocks"):
        judged.get(path)
    judged.judge_the_world()
    assert judged.problems == []
