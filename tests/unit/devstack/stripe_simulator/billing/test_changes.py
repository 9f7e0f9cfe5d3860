"""Changes of a subscription: prorations to the second, billed now, later or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from devstack.stripe_simulator.failures import StripeFailure
from tests.unit.devstack.stripe_simulator.billing.conftest import Stripe, at, day


class April:
    """The subscription of the documentation's examples: 10.00 a month, from 1 April (30 days)."""

    def __init__(self, stripe: Stripe, **extra: Any) -> None:
        self.stripe = stripe
        self.clock = stripe.clock("2026-04-01")
        self.customer = stripe.customer(test_clock=self.clock)
        self.ten, self.twenty = stripe.price(1000, name="Ten"), stripe.price(2000, name="Twenty")
        extra.setdefault("items", [{"price": self.ten}])
        made = stripe.post("subscriptions", customer=self.customer, **extra)
        self.id, self.item = made["id"], made["items"]["data"][0]["id"]

    def change(self, when: str, price: str | None = None, quantity: int | None = None, **extra: Any) -> Any:
        self.stripe.advance(self.clock, when)
        entry = {"id": self.item} | ({"price": price} if price else {}) | ({"quantity": quantity} if quantity else {})
        return self.stripe.post(f"subscriptions/{self.id}", items=[entry], **extra)

    def amounts(self, invoice: int = -1) -> list[int]:
        return [line["amount"] for line in self.stripe.invoices(self.id)[invoice]["lines"]["data"]]

    def pending(self) -> list[tuple[int, str]]:
        found = self.stripe.get("invoiceitems", customer=self.customer, pending=True)["data"]
        return [(item["amount"], item["description"]) for item in reversed(found)]


def test_half_a_period_of_an_upgrade(stripe: Stripe) -> None:
    """docs.stripe.com/billing/subscriptions/prorations: −5.00 and +10.00, on the next invoice."""
    april = April(stripe)
    april.change("2026-04-16", april.twenty)
    assert april.pending() == [
        (-500, "Unused time on Ten after 16 Apr 2026"),
        (1000, "Remaining time on Twenty after 16 Apr 2026"),
    ]
    stripe.advance(april.clock, "2026-05-01")
    assert april.amounts() == [1000, -500, 2000]
    assert april.pending() == []


def test_flexible_mode_credits_what_was_billed(stripe: Stripe) -> None:
    """The documentation's "Calculation logic with no prorations": the credit and the debit cancel out."""
    april = April(stripe)
    april.change("2026-04-11", april.twenty, proration_behavior="none")
    assert april.pending() == []
    april.change("2026-04-21", april.ten, proration_behavior="always_invoice")
    assert sorted(april.amounts()) == [-333, 333]
    assert stripe.invoices(april.id)[-1]["status"] == "paid"


def test_classic_mode_credits_the_present_price(stripe: Stripe) -> None:
    """The same steps in classic mode: −6.67 and +3.33."""
    april = April(stripe, billing_mode={"type": "classic"})
    april.change("2026-04-11", april.twenty, proration_behavior="none")
    april.change("2026-04-21", april.ten, proration_behavior="always_invoice")
    assert sorted(april.amounts()) == [-667, 333]
    assert stripe.invoices(april.id)[-1]["total"] == -334
    assert stripe.get(f"customers/{april.customer}")["balance"] == -334


def test_a_coupon_counts_in_the_credit_of_its_item(stripe: Stripe) -> None:
    """The documentation's "Coupons applied to multiple subscription items": 10 and 20 less 5, half gone: −4.17."""
    coupon = stripe.post("coupons", amount_off=500, currency="usd", duration="forever")["id"]
    items = [{"price": stripe.price(1000)}, {"price": stripe.price(2000)}]
    april = April(stripe, items=items, discounts=[{"coupon": coupon}])
    lines = stripe.invoices(april.id)[0]["lines"]["data"]
    assert [line["discount_amounts"][0]["amount"] for line in lines] == [166, 334]
    stripe.advance(april.clock, "2026-04-16")
    stripe.delete(f"subscription_items/{april.item}", proration_behavior="always_invoice")
    assert april.amounts() == [-417]


def test_discounts_that_come_with_a_change_count_in_it(stripe: Stripe) -> None:
    april, coupon = April(stripe), stripe.post("coupons", percent_off=50, duration="forever")["id"]
    discounts = [{"coupon": coupon}]
    april.change("2026-04-16", april.twenty, proration_behavior="always_invoice", discounts=discounts)
    assert sorted(april.amounts()) == [-500, 500]


def test_quantities(stripe: Stripe) -> None:
    april = April(stripe)
    april.change("2026-04-16", quantity=3, proration_behavior="always_invoice")
    assert sorted(april.amounts()) == [-500, 1500]
    assert stripe.get(f"subscription_items/{april.item}")["quantity"] == 3
    april.change("2026-04-17", april.twenty, proration_behavior="none")
    assert stripe.get(f"subscription_items/{april.item}")["quantity"] == 1


def test_a_proration_date_is_kept_to_the_second(stripe: Stripe) -> None:
    april = April(stripe)
    april.change("2026-04-20", april.twenty, proration_date=at("2026-04-16"), proration_behavior="always_invoice")
    assert sorted(april.amounts()) == [-500, 1000]
    with pytest.raises(StripeFailure, match="outside of the current subscription period"):
        april.change("2026-04-21", april.ten, proration_date=at("2026-03-31"))


def test_added_and_removed_items(stripe: Stripe) -> None:
    april = April(stripe)
    stripe.advance(april.clock, "2026-04-16")
    added = stripe.post("subscription_items", subscription=april.id, price=april.twenty)
    assert day(added["current_period_end"]) == "2026-05-01"
    assert april.pending() == [(1000, "Remaining time on Twenty after 16 Apr 2026")]
    stripe.delete(f"subscription_items/{april.item}")
    assert april.pending()[1:] == [(-500, "Unused time on Ten after 16 Apr 2026")]
    with pytest.raises(StripeFailure, match="at least one"):
        stripe.delete(f"subscription_items/{added['id']}")
    with pytest.raises(StripeFailure, match="No such subscription_item"):
        stripe.get(f"subscription_items/{april.item}")


def test_a_new_anchor_bills_a_whole_period_at_once(stripe: Stripe) -> None:
    april = April(stripe)
    stripe.advance(april.clock, "2026-04-16")
    yearly = stripe.price(12000, "year", name="Year")
    changed = stripe.post(
        f"subscriptions/{april.id}",
        items=[{"id": april.item, "price": yearly}],
        billing_cycle_anchor={"type": "now"},
    )
    assert april.amounts() == [-500, 12000]
    item = changed["items"]["data"][0]
    assert (day(item["current_period_start"]), day(item["current_period_end"])) == ("2026-04-16", "2027-04-16")
    assert changed["billing_cycle_anchor"] == at("2026-04-16")


def test_flexible_mode_keeps_the_anchor_where_the_interval_changes(stripe: Stripe) -> None:
    """docs.stripe.com/billing/subscriptions/billing-mode/compare: "never automatically reset"."""
    april = April(stripe)
    changed = april.change("2026-04-16", stripe.price(36500, "year", name="Year"))
    item = changed["items"]["data"][0]
    assert changed["billing_cycle_anchor"] == at("2026-04-01")
    assert (day(item["current_period_start"]), day(item["current_period_end"])) == ("2026-04-01", "2027-04-01")
    assert april.pending() == [
        (-500, "Unused time on Ten after 16 Apr 2026"),
        (35000, "Remaining time on Year after 16 Apr 2026"),
    ]


def test_classic_mode_bills_another_interval_at_once(stripe: Stripe) -> None:
    april = April(stripe, billing_mode={"type": "classic"})
    changed = april.change("2026-04-16", stripe.price(36500, "year"))
    assert changed["billing_cycle_anchor"] == at("2026-04-16")
    assert april.amounts() == [-500, 36500]


def test_changes_in_a_trial_cost_nothing(stripe: Stripe) -> None:
    april = April(stripe, trial_period_days=10)
    april.change("2026-04-05", april.twenty)
    assert april.pending() == []
    stripe.advance(april.clock, "2026-04-12")
    assert [invoice["total"] for invoice in stripe.invoices(april.id)] == [0, 2000]


def test_a_trial_that_ends_now_is_billed_now(stripe: Stripe) -> None:
    april = April(stripe, trial_period_days=10)
    stripe.advance(april.clock, "2026-04-05")
    ended = stripe.post(f"subscriptions/{april.id}", trial_end="now")
    assert (ended["status"], ended["trial_end"]) == ("active", at("2026-04-05"))
    assert [invoice["total"] for invoice in stripe.invoices(april.id)] == [0, 1000]
    assert day(ended["items"]["data"][0]["current_period_end"]) == "2026-05-05"


def test_a_trial_on_a_running_subscription_gives_the_rest_back(stripe: Stripe) -> None:
    april = April(stripe)
    stripe.advance(april.clock, "2026-04-16")
    changed = stripe.post(f"subscriptions/{april.id}", trial_end=at("2026-06-01"))
    assert (changed["status"], changed["billing_cycle_anchor"]) == ("trialing", at("2026-06-01"))
    assert april.amounts() == [-500, 0]
    stripe.advance(april.clock, "2026-06-02")
    last = stripe.invoices(april.id)[-1]
    assert (last["total"], last["starting_balance"], last["amount_due"]) == (1000, -500, 500)


def test_a_metered_price_that_changes_bills_what_it_counted(stripe: Stripe) -> None:
    """docs.stripe.com/billing/subscriptions/billing-mode/compare: 1.00 at the old price and 0.75 at the new."""
    recurring = {"meter": stripe.meter(), "usage_type": "metered"}
    packages = {"divide_by": 100, "round": "up"}
    old = stripe.price(10, recurring=recurring, transform_quantity=packages)
    new = stripe.price(15, recurring=recurring, transform_quantity=packages)
    april = April(stripe, items=[{"price": old}])
    for when, value in (("2026-04-05", 1000), ("2026-04-20", 500)):
        stripe.advance(april.clock, "2026-04-15" if value == 500 else when)
        if value == 500:
            april.change("2026-04-15", new)
            stripe.advance(april.clock, when)
        payload = {"stripe_customer_id": april.customer, "value": value}
        stripe.post("billing/meter_events", event_name="tokens", payload=payload)
    stripe.advance(april.clock, "2026-05-02")
    assert april.amounts() == [100, 75]


def test_usage_between_a_proration_date_and_its_change_is_billed_at_the_new_price(stripe: Stripe) -> None:
    recurring = {"meter": stripe.meter(), "usage_type": "metered"}
    old, new = stripe.price(1, recurring=recurring), stripe.price(2, recurring=recurring)
    april = April(stripe, items=[{"price": old}])
    stripe.advance(april.clock, "2026-04-20")
    payload = {"stripe_customer_id": april.customer, "value": 100}
    stripe.post("billing/meter_events", event_name="tokens", payload=payload)
    april.change("2026-04-21", new, proration_date=at("2026-04-16"))
    stripe.advance(april.clock, "2026-05-02")
    assert april.amounts() == [200]


def test_an_upgrade_that_can_not_be_paid_is_past_due(stripe: Stripe) -> None:
    """docs.stripe.com/billing/subscriptions/change-price: "the subscription transitions to `past_due`"."""
    april = April(stripe)
    stripe.set_card(april.customer, "chargeCustomerFail")
    with pytest.raises(StripeFailure) as failure:
        april.change(
            "2026-04-16", april.twenty, proration_behavior="always_invoice", payment_behavior="error_if_incomplete"
        )
    assert failure.value.status == 402
    assert stripe.get(f"subscriptions/{april.id}")["items"]["data"][0]["price"]["id"] == april.ten
    changed = april.change("2026-04-16", april.twenty, proration_behavior="always_invoice")
    assert changed["status"] == "past_due"
    assert changed["items"]["data"][0]["price"]["id"] == april.twenty


def test_an_update_says_what_it_was_before(stripe: Stripe) -> None:
    april = April(stripe)
    stripe.post(f"subscriptions/{april.id}", metadata={"tier": "gold"})
    april.change("2026-04-16", quantity=2, proration_behavior="none")
    plain, items = [event["data"]["previous_attributes"] for event in stripe.events("customer.subscription.updated")][
        -2:
    ]
    assert plain == {"metadata": {"tier": None}}
    assert items["items"]["data"][0]["quantity"] == 1
