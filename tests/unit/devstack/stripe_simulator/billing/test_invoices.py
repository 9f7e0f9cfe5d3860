"""Invoices by hand, their items, balances, discounts and lists."""

from __future__ import annotations

from typing import Any

import pytest

from devstack.stripe_simulator.failures import StripeFailure
from tests.unit.devstack.stripe_simulator.billing.conftest import Stripe, at


def billed(stripe: Stripe, customer: str, *amounts: int, **extra: Any) -> Any:
    for amount in amounts:
        stripe.post("invoiceitems", customer=customer, amount=amount, currency="usd", description=f"Item {amount}")
    return stripe.post("invoices", customer=customer, pending_invoice_items_behavior="include", **extra)


def test_an_invoice_by_hand(stripe: Stripe) -> None:
    customer = stripe.customer()
    draft = billed(stripe, customer, 700, 300)
    assert (draft["status"], draft["total"], draft["billing_reason"], draft["number"]) == (
        "draft",
        1000,
        "manual",
        None,
    )
    final = stripe.post(f"invoices/{draft['id']}/finalize")
    assert (final["status"], final["amount_due"], final["next_payment_attempt"]) == ("open", 1000, None)
    paid = stripe.post(f"invoices/{draft['id']}/pay")
    assert (paid["status"], paid["amount_paid"], paid["amount_remaining"]) == ("paid", 1000, 0)
    assert stripe.get("invoiceitems", pending=True)["data"] == []
    with pytest.raises(StripeFailure, match="already finalized"):
        stripe.post(f"invoices/{draft['id']}/finalize")


def test_pending_items_stay_out_unless_asked_for(stripe: Stripe) -> None:
    customer = stripe.customer()
    stripe.post("invoiceitems", customer=customer, amount=700, currency="usd")
    assert stripe.post("invoices", customer=customer)["total"] == 0
    assert len(stripe.get("invoiceitems", customer=customer, pending=True)["data"]) == 1


def test_it_advances_by_itself_only_if_told(stripe: Stripe) -> None:
    customer = stripe.customer()
    waiting, advancing = billed(stripe, customer, 700), billed(stripe, customer, 800, auto_advance=True)
    stripe.wall += 3_600
    stripe.tick()
    statuses = [stripe.get(f"invoices/{invoice['id']}")["status"] for invoice in (waiting, advancing)]
    assert statuses == ["draft", "paid"]
    later = stripe.post(f"invoices/{waiting['id']}", auto_advance=True)
    assert later["automatically_finalizes_at"] == stripe.wall + 3_600


def test_items_of_a_draft_change_its_sums(stripe: Stripe) -> None:
    customer = stripe.customer()
    invoice = billed(stripe, customer, 700)["id"]
    price = stripe.price(250, None)
    item = stripe.post(
        "invoiceitems", customer=customer, invoice=invoice, pricing={"price": price}, quantity=2, description=""
    )
    assert stripe.get(f"invoices/{invoice}")["total"] == 1200
    stripe.post(f"invoiceitems/{item['id']}", amount=900)
    assert stripe.get(f"invoices/{invoice}")["total"] == 1600
    stripe.delete(f"invoiceitems/{item['id']}")
    assert stripe.get(f"invoices/{invoice}")["total"] == 700
    stripe.post(f"invoices/{invoice}/finalize")
    kept = stripe.get("invoiceitems", invoice=invoice)["data"][0]["id"]
    for refused in (lambda: stripe.delete(f"invoiceitems/{kept}"), lambda: stripe.delete(f"invoices/{invoice}")):
        with pytest.raises(StripeFailure, match="no longer editable"):
            refused()


def test_a_deleted_draft_lets_its_items_wait_again(stripe: Stripe) -> None:
    customer = stripe.customer()
    invoice = billed(stripe, customer, 700)["id"]
    assert stripe.delete(f"invoices/{invoice}")["deleted"] is True
    assert len(stripe.get("invoiceitems", customer=customer, pending=True)["data"]) == 1


@pytest.mark.parametrize(
    ("balance", "amount", "due", "after"),
    [
        (-300, 1000, 700, 0),
        (-1500, 1000, 0, -500),
        (200, 1000, 1200, 0),
        (0, -400, 0, -400),
        (0, 30, 0, 30),
        (30, 25, 55, 0),
    ],
)
def test_the_customers_balance(stripe: Stripe, balance: int, amount: int, due: int, after: int) -> None:
    customer = stripe.customer(balance=balance)
    invoice = billed(stripe, customer, amount)["id"]
    final = stripe.post(f"invoices/{invoice}/finalize")
    assert (final["starting_balance"], final["amount_due"], final["ending_balance"]) == (balance, due, after)
    assert final["status"] == ("open" if due else "paid")
    assert stripe.get(f"customers/{customer}")["balance"] == after


def test_discounts_by_hand(stripe: Stripe) -> None:
    customer = stripe.customer()
    half = stripe.post("coupons", percent_off=50, duration="once")["id"]
    little = stripe.post("coupons", amount_off=100, currency="usd", duration="once")["id"]
    invoice = billed(stripe, customer, 700, 301, discounts=[{"coupon": half}, {"coupon": little}])
    assert [entry["amount"] for entry in invoice["total_discount_amounts"]] == [501, 100]
    assert (invoice["subtotal"], invoice["total"]) == (1001, 400)
    fixed = [line["discount_amounts"] for line in invoice["lines"]["data"]]
    assert sum(entry["amount"] for entries in fixed for entry in entries) == 601


def test_an_amount_takes_no_more_than_there_is(stripe: Stripe) -> None:
    huge = stripe.post("coupons", amount_off=5000, currency="usd", duration="once")["id"]
    invoice = billed(stripe, stripe.customer(), 700, discounts=[{"coupon": huge}])
    assert (invoice["total"], invoice["total_discount_amounts"][0]["amount"]) == (0, 700)


def test_lists(stripe: Stripe) -> None:
    customer = stripe.customer()
    for _ in range(3):
        stripe.post("invoiceitems", customer=customer, amount=500, currency="usd")
    many = billed(stripe, customer, *range(100, 109))
    assert (len(many["lines"]["data"]), many["lines"]["has_more"]) == (10, True)
    everything = stripe.get(f"invoices/{many['id']}/lines", limit=100)
    assert (len(everything["data"]), everything["has_more"]) == (12, False)
    other = billed(stripe, stripe.customer(), 100)["id"]
    stripe.post(f"invoices/{many['id']}/finalize")
    assert [invoice["id"] for invoice in stripe.get("invoices", status="open")["data"]] == [many["id"]]
    assert [invoice["id"] for invoice in stripe.get("invoices", limit=1)["data"]] == [other]
    [payment] = stripe.get("invoice_payments", invoice=many["id"], status="open")["data"]
    intent = payment["payment"]["payment_intent"]
    assert stripe.get(f"payment_intents/{intent}")["amount"] == many["total"]
    assert stripe.get("payment_intents", customer=customer)["data"][0]["id"] == intent


def test_only_open_invoices_are_voided_or_given_up(stripe: Stripe) -> None:
    invoice = billed(stripe, stripe.customer(), 700)["id"]
    with pytest.raises(StripeFailure, match="only void an open"):
        stripe.post(f"invoices/{invoice}/void")
    assert stripe.post(f"invoices/{invoice}/mark_uncollectible")["status"] == "uncollectible"
    assert stripe.post(f"invoices/{invoice}/void")["status"] == "void"
    with pytest.raises(StripeFailure, match="only pay an open"):
        stripe.post(f"invoices/{invoice}/pay")


def test_items_without_a_subscription_go_on_the_next_renewal(stripe: Stripe) -> None:
    customer = stripe.customer()
    subscription = stripe.post("subscriptions", customer=customer, items=[{"price": stripe.price()}])["id"]
    stripe.post("invoiceitems", customer=customer, amount=250, currency="usd", period={"start": 1, "end": 2})
    stripe.wall = at("2026-02-02")
    stripe.tick()
    assert [line["amount"] for line in stripe.invoices(subscription)[-1]["lines"]["data"]] == [250, 1000]
