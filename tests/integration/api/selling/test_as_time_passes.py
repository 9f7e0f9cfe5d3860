"""What becomes of subscriptions and invoices as time passes: on a simulator whose clock these tests alone move."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.engines import TestStack
from tests.integration.api.selling.running import selling_service
from tests.integration.api.selling.shop import Shop, error_of
from tests.integration.api.selling.subscribers import (
    HANGS_S,
    SEATS,
    SOLO,
    act,
    at_stripe,
    change,
    customer_with,
    keyed,
    look,
    pay_with,
    repeated,
    subscribe,
    use,
)
from tests.integration.api.service import Service
from tests.integration.stripe.simulator_process import SimulatorProcess, simulator_process

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stripe_process() -> Iterator[SimulatorProcess]:
    """A simulator whose clock is these tests'."""
    with tempfile.TemporaryDirectory() as folder, simulator_process(Path(folder)) as running:
        yield running


@pytest.fixture(scope="module")
def service(stack: TestStack, stripe_process: SimulatorProcess) -> Iterator[Service]:
    """The API with that simulator."""
    with selling_service(stack, stripe_process) as running:
        yield running


def pass_period(shop: Shop, subscription: dict[str, Any]) -> None:
    """Go on to two hours after the first period of a subscription that has just begun."""
    began, ends = (datetime.fromisoformat(subscription[f"current_period_{name}"]) for name in ("start", "end"))
    seconds = int((ends - began).total_seconds()) + 7_200
    shop.stripe.control.post("/_simulator/advance", json={"seconds": seconds}).raise_for_status()


def owing(shop: Shop) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a subscription whose renewal failed, and that invoice."""
    shop.sell(**SEATS)
    made = subscribe(shop, "seats", quantity=2)
    pay_with(shop, made["customer_id"], "pm_card_chargeCustomerFail")
    pass_period(shop, made)
    due = look(shop, made)
    assert due["status"] == "past_due"
    params = {"subscription_id": made["id"], "status": "open"}
    (invoice,) = shop.client.get("/api/v1/invoices", params=params).json()["data"]
    return made, invoice


def pay(shop: Shop, invoice: dict[str, Any], **body: Any) -> httpx.Response:
    """Ask for a payment."""
    return shop.client.post(f"/api/v1/invoices/{invoice['id']}/pay", json=body)


def test_an_open_invoice_is_paid_and_its_subscription_recovers(shop: Shop) -> None:
    made, invoice = owing(shop)
    assert (invoice["total_minor"], invoice["amount_remaining_minor"]) == (2400, 2400)
    refused = pay(shop, invoice)
    assert error_of(refused) == (422, "PAYMENT_FAILED")
    assert refused.json()["error"]["details"]["decline_code"] == "generic_decline"
    assert shop.client.get(f"/api/v1/invoices/{invoice['id']}").json()["status"] == "open"
    good = pay_with(shop, made["customer_id"], "pm_card_visa")
    headers = keyed()
    path = f"/api/v1/invoices/{invoice['id']}/pay"
    paid = shop.client.post(path, json={"payment_method_id": good}, headers=headers)
    assert paid.status_code == 200, paid.text
    assert (paid.json()["status"], paid.json()["amount_paid_minor"]) == ("paid", 2400)
    assert paid.json()["amount_remaining_minor"] == 0
    assert shop.client.get(f"/api/v1/subscriptions/{made['id']}").json()["status"] == "active"
    assert shop.client.post(path, json={"payment_method_id": good}, headers=headers).json() == paid.json()
    assert error_of(pay(shop, invoice)) == (422, "ALREADY_PAID")
    newest = shop.client.get(f"/api/v1/subscriptions/{made['id']}/changes").json()["data"][0]
    assert (newest["kind"], newest["reason"]) == ("recovered", "An invoice was paid")
    actions = shop.service.sql("select action from audit_log where target_id = %s", invoice["id"])
    assert actions == [("invoice.pay",)]


def test_what_the_bank_wants_confirmed_is_paid_on_the_invoices_page(shop: Shop) -> None:
    made, invoice = owing(shop)
    pay_with(shop, made["customer_id"], "pm_card_authenticationRequired")
    refused = pay(shop, invoice)
    assert error_of(refused) == (422, "AUTHENTICATION_REQUIRED")
    assert refused.json()["error"]["details"]["hosted_invoice_url"] == invoice["hosted_invoice_url"]
    assert invoice["hosted_invoice_url"] in refused.json()["error"]["message"]


def test_what_was_paid_meanwhile_is_not_paid_again(shop: Shop) -> None:
    made, invoice = owing(shop)
    pay_with(shop, made["customer_id"], "pm_card_visa")
    shop.stripe.control.post(f"/v1/invoices/{invoice['stripe_invoice_id']}/pay").raise_for_status()
    assert shop.client.get(f"/api/v1/invoices/{invoice['id']}").json()["status"] == "open"
    assert error_of(pay(shop, invoice)) == (422, "ALREADY_PAID")
    assert shop.client.get(f"/api/v1/invoices/{invoice['id']}").json()["status"] == "paid"


def test_anothers_payment_method_pays_nothing(shop: Shop) -> None:
    _, invoice = owing(shop)
    other = subscribe(shop, "seats")
    method = pay_with(shop, other["customer_id"], "pm_card_visa")
    for named in (method, str(uuid.uuid4())):
        assert error_of(pay(shop, invoice, payment_method_id=named)) == (404, "PAYMENT_METHOD_NOT_FOUND")
    assert error_of(pay(shop, {"id": str(uuid.uuid4())})) == (404, "INVOICE_NOT_FOUND")


def test_without_stripe_nothing_is_paid(shop: Shop) -> None:
    made, invoice = owing(shop)
    pay_with(shop, made["customer_id"], "pm_card_visa")
    shop.stripe_down()
    refused = pay(shop, invoice)
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    shop.stripe_up()
    assert pay(shop, invoice).json()["status"] == "paid"


def test_the_scheduled_change_takes_place(shop: Shop) -> None:
    shop.sell(**SOLO)
    shop.sell(**SEATS)
    made = subscribe(shop, "seats", quantity=9)
    change(shop, made, plan="solo", interval="month", timing="next_billing_cycle").raise_for_status()
    pass_period(shop, made)
    now = look(shop, made)
    assert (now["plan"]["slug"], now["quantity"], now["mrr_minor"]) == ("solo", 1, 2000)
    assert (now["scheduled_change"], now["current_period_start"]) == (None, made["current_period_end"])
    history = shop.client.get(f"/api/v1/subscriptions/{made['id']}/changes").json()["data"]
    assert sum(line["mrr_delta_minor"] for line in history) == 2000


def test_a_change_with_the_next_period_keeps_the_discount(shop: Shop) -> None:
    shop.sell(**SEATS)
    shop.client.post(
        "/api/v1/discount-codes", json={"code": "LOYAL20", "percent_off": "20", "duration": "forever"}
    ).raise_for_status()
    made = subscribe(shop, "seats", quantity=5, discount_code="LOYAL20")
    later = {"quantity": 3, "timing": "next_billing_cycle"}
    shown = shop.client.post(f"/api/v1/subscriptions/{made['id']}/preview", json=later).json()
    assert (shown["discount_minor"], shown["total_minor"]) == (720, 2880)
    change(shop, made, **later).raise_for_status()
    (discount,) = at_stripe(shop, made)["discounts"]
    coming = shop.client.get(f"/api/v1/subscriptions/{made['id']}/upcoming-invoice").json()
    assert (coming["discount_minor"], coming["total_minor"]) == (720, 2880)
    pass_period(shop, made)
    assert look(shop, made)["quantity"] == 3
    billed = shop.client.get("/api/v1/invoices", params={"subscription_id": made["id"]}).json()["data"][0]
    for name in ("subtotal_minor", "discount_minor", "total_minor"):
        assert billed[name] == shown[name], name
    assert at_stripe(shop, made)["discounts"] == [discount]


def test_a_cancellation_now_bills_what_was_used_and_gives_nothing_back(shop: Shop) -> None:
    shop.sell(trial_days=0)
    made = subscribe(shop, "team", quantity=2)
    change(shop, made, quantity=4).raise_for_status()
    use(shop, made, 1_000_000)
    shop.stripe.control.post("/_simulator/advance", json={"seconds": 3_600}).raise_for_status()
    ended = act(shop, made, "cancel", {"at": "now"})
    assert ended["status"] == "canceled"
    invoices = shop.client.get("/api/v1/invoices", params={"subscription_id": made["id"]}).json()["data"]
    (final,) = [each for each in invoices if each["billing_reason"] != "subscription_create"]
    lines = shop.client.get(f"/api/v1/invoices/{final['id']}/lines").json()["data"]
    usage = [line["amount_minor"] for line in lines if not line["proration"]]
    prorated = [line["amount_minor"] for line in lines if line["proration"]]
    assert (usage, final["status"]) == ([40_000], "paid")
    # Of two more seats for the period that they were bought in; what is left of it is not given back.
    assert sorted(amount > 0 for amount in prorated) == [False, True]
    assert 2_300 < sum(prorated) <= 2_400


def test_what_paused_for_want_of_a_payment_method_runs_again(shop: Shop) -> None:
    shop.sell(**{**SOLO, "trial_days": 1})
    made = subscribe(shop, "solo", customer=customer_with(shop, None))
    settings = {"trial_settings[end_behavior][missing_payment_method]": "pause"}
    at = f"/v1/subscriptions/{made['stripe_subscription_id']}"
    shop.stripe.control.post(at, data=settings).raise_for_status()
    pass_period(shop, made)
    assert look(shop, made)["status"] == "paused"
    path = f"/api/v1/subscriptions/{made['id']}/resume"
    assert error_of(shop.client.post(path, json={})) == (422, "PAYMENT_METHOD_REQUIRED")
    pay_with(shop, made["customer_id"], "pm_card_visa")
    headers, billed = keyed(), len(shop.stripe.objects("invoice"))
    shop.stripe.break_things({"kind": "hang_after", "path": f"{at}/resume", "method": "POST", "seconds": HANGS_S})
    assert shop.client.post(path, json={}, headers=headers).status_code == 503
    shop.stripe_up()
    assert look(shop, made)["status"] == "active"
    done = repeated(lambda: shop.client.post(path, json={}, headers=headers))
    assert (done.status_code, done.json()["status"]) == (200, "active")
    assert len(shop.stripe.objects("invoice")) == billed + 1
