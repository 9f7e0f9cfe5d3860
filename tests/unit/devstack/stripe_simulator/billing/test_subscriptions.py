"""Subscriptions: creation, refusals, lists, discounts and what they are for how long."""

from __future__ import annotations

from typing import Any

import pytest

from devstack.stripe_simulator.failures import StripeFailure
from tests.unit.devstack.stripe_simulator.billing.conftest import Stripe, at


def test_a_plain_one(stripe: Stripe) -> None:
    customer, price = stripe.customer(), stripe.price()
    made = stripe.post("subscriptions", customer=customer, items=[{"price": price, "quantity": 2}], metadata={"a": "b"})
    assert (made["status"], made["billing_mode"]["type"], made["currency"]) == ("active", "flexible", "usd")
    item = made["items"]["data"][0]
    assert (item["current_period_start"], item["current_period_end"]) == (at("2026-01-01"), at("2026-02-01"))
    invoice = stripe.get(f"invoices/{made['latest_invoice']}")
    assert invoice["parent"]["subscription_details"] == {"metadata": {"a": "b"}, "subscription": made["id"]}
    line = invoice["lines"]["data"][0]
    assert (line["amount"], line["description"]) == (2000, "2 × Gold (at $10.00 / month)")
    assert line["pricing"]["price_details"]["price"] == price
    assert line["parent"]["subscription_item_details"]["subscription_item"] == item["id"]
    created, updated = stripe.events("customer.subscription")
    assert (created["data"]["object"]["status"], updated["data"]["object"]["status"]) == ("incomplete", "active")
    assert updated["data"]["previous_attributes"] == {"status": "incomplete"}


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({}, "items"),
        ({"items": [{"price": "price_none"}]}, "No such price"),
        ({"items": [{"quantity": 1}]}, "price"),
        ({"items": "one_time"}, "one_time"),
        ({"items": "archived"}, "inactive"),
        ({"items": "metered"}, "quantity for metered"),
        ({"items": "good", "currency": "eur"}, "doesn't match the expected currency"),
        ({"items": "good", "trial_end": 5}, "trial_end"),
        ({"items": "good", "trial_end": at("2026-02-01"), "trial_period_days": 3}, "trial_period_days"),
        ({"items": "good", "default_payment_method": "pm_x"}, "does not have a payment method"),
        ({"items": "good", "collection_method": "send_invoice"}, "collection_method"),
        ({"items": "good", "discounts": [{"coupon": "NONE"}]}, "No such coupon"),
        ({"items": "good", "unheard": "of"}, "unknown parameter"),
    ],
)
def test_refusals(stripe: Stripe, sent: dict[str, Any], message: str) -> None:
    made = {
        "good": [{"price": stripe.price()}],
        "one_time": [{"price": stripe.price(interval=None)}],
        "metered": [
            {
                "price": stripe.price(recurring={"meter": stripe.meter(), "usage_type": "metered"}),
                "quantity": 2,
            }
        ],
        "archived": [{"price": stripe.price()}],
    }
    stripe.post(f"prices/{made['archived'][0]['price']}", active=False)
    if isinstance(sent.get("items"), str):
        sent = sent | {"items": made[sent["items"]]}
    with pytest.raises(StripeFailure, match=message):
        stripe.post("subscriptions", customer=stripe.customer(), **sent)
    assert stripe.world.find("subscription") == stripe.world.find("invoice") == []


def test_another_currency_of_the_price(stripe: Stripe) -> None:
    price = stripe.price(1000, currency_options={"eur": {"unit_amount": 900}})
    made = stripe.post(
        "subscriptions", customer=stripe.customer(), items=[{"price": price}], currency="eur", expand=["latest_invoice"]
    )
    assert (made["latest_invoice"]["currency"], made["latest_invoice"]["total"]) == ("eur", 900)


@pytest.mark.parametrize(
    ("terms", "totals"),
    [
        ({"duration": "once"}, [750, 1000, 1000, 1000]),
        ({"duration": "repeating", "duration_in_months": 2}, [750, 750, 1000, 1000]),
        ({"duration": "forever"}, [750, 750, 750, 750]),
    ],
)
def test_how_long_a_coupon_lasts(stripe: Stripe, terms: dict[str, Any], totals: list[int]) -> None:
    clock = stripe.clock("2026-01-31")
    coupon = stripe.post("coupons", percent_off=25, **terms)["id"]
    made = stripe.post(
        "subscriptions",
        customer=stripe.customer(test_clock=clock),
        items=[{"price": stripe.price()}],
        discounts=[{"coupon": coupon}],
        expand=["latest_invoice.discounts"],
    )
    assert made["latest_invoice"]["discounts"][0]["source"]["coupon"] == coupon
    stripe.advance(clock, "2026-05-01")
    assert [invoice["total"] for invoice in stripe.invoices(made["id"])] == totals
    left = stripe.get(f"subscriptions/{made['id']}")["discounts"]
    assert bool(left) == (terms["duration"] == "forever")


def test_a_coupon_for_one_invoice_waits_for_one_that_costs_something(stripe: Stripe) -> None:
    clock = stripe.clock("2026-01-01")
    coupon = stripe.post("coupons", percent_off=25, duration="once")["id"]
    made = stripe.post(
        "subscriptions",
        customer=stripe.customer(test_clock=clock),
        items=[{"price": stripe.price()}],
        discounts=[{"coupon": coupon}],
        trial_period_days=7,
    )
    stripe.advance(clock, "2026-02-09")
    assert [invoice["total"] for invoice in stripe.invoices(made["id"])] == [0, 750, 1000]


def test_promotion_codes_are_counted(stripe: Stripe) -> None:
    coupon = stripe.post("coupons", amount_off=300, currency="usd", duration="forever")["id"]
    code = stripe.post("promotion_codes", promotion={"type": "coupon", "coupon": coupon}, code="SPRING")["id"]
    made = stripe.post(
        "subscriptions",
        customer=stripe.customer(),
        items=[{"price": stripe.price()}],
        discounts=[{"promotion_code": code}],
        expand=["latest_invoice"],
    )
    assert made["latest_invoice"]["total"] == 700
    assert stripe.get(f"promotion_codes/{code}")["times_redeemed"] == 1
    removed = stripe.post(f"subscriptions/{made['id']}", discounts="")
    assert removed["discounts"] == []
    assert stripe.event_types("customer.discount") == ["customer.discount.created", "customer.discount.deleted"]


def test_a_coupon_for_some_products(stripe: Stripe) -> None:
    cheap, dear = stripe.price(1000), stripe.price(5000)
    product = stripe.get(f"prices/{dear}")["product"]
    coupon = stripe.post("coupons", percent_off=10, duration="forever", applies_to={"products": [product]})["id"]
    made = stripe.post(
        "subscriptions",
        customer=stripe.customer(),
        items=[{"price": cheap}, {"price": dear}],
        discounts=[{"coupon": coupon}],
        expand=["latest_invoice"],
    )
    assert made["latest_invoice"]["total"] == 5500


def test_lists(stripe: Stripe) -> None:
    customer, gold, silver = stripe.customer(), stripe.price(), stripe.price(500)
    first, second = (
        stripe.post("subscriptions", customer=customer, items=[{"price": one}])["id"] for one in (gold, silver)
    )
    stripe.post("subscriptions", customer=stripe.customer(), items=[{"price": gold}], trial_period_days=3)
    stripe.delete(f"subscriptions/{first}")

    def found(**sent: Any) -> int:
        return len(stripe.get("subscriptions", **sent)["data"])

    assert [found(), found(status="all"), found(status="canceled"), found(status="ended")] == [2, 3, 1, 1]
    assert [found(status="trialing"), found(customer=customer), found(price=silver)] == [1, 1, 1]
    assert stripe.get("subscriptions", customer=customer)["data"][0]["id"] == second
    items = stripe.get("subscription_items", subscription=second)["data"]
    assert [item["price"]["id"] for item in items] == [silver]
