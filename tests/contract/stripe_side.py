"""The simulator's half of a random customer's story: the same calls as the gateway's, without sockets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from billing.discounts import Coupon
from billing.prices import Price
from billing.stripe_form import stripe_price
from billing.subscribed import Item
from devstack.stripe_simulator.billing import lifecycle
from devstack.stripe_simulator.failures import StripeFailure
from sinks.stripe.price_terms import creation_params
from tests.contract.bill import Bill, nothing, their_bill
from tests.unit.devstack.stripe_simulator.billing.conftest import Stripe

Form = dict[str, Any]
_DRAFT_S = 3_600


class StripeSide:
    """One customer with one subscription, on a test clock."""

    def __init__(self, start: datetime, balance: int) -> None:
        self._stripe = Stripe()
        self._stripe.wall = second(start)
        clock = self._stripe.post("test_helpers/test_clocks", frozen_time=second(start))
        self._clock = clock["id"]
        self._customer = self._stripe.customer(test_clock=self._clock, balance=balance)
        self._products: dict[str, str] = {}
        self._meters: dict[str, str] = {}
        self._prices: dict[str, str] = {}
        self._items: dict[str, str] = {}
        """Our names of items by the ids of all prices that they ever had."""
        self._events = 0
        self._subscription = ""

    def publish(self, price: Price, plan: str, item: str) -> None:
        """Create a price as the gateway does, for an item."""
        if plan not in self._products:
            self._products[plan] = self._stripe.post("products", name=plan)["id"]
        meter = price.metered.meter if price.metered else None
        if meter and meter not in self._meters:
            made = self._stripe.meter(event_name=meter)
            self._meters[meter] = made
        params = creation_params(
            stripe_price(price), product=self._products[plan], meter=self._meters[meter] if meter else None
        )
        self._prices[price.slug] = self._stripe.post("prices", **params)["id"]
        self._items[self._prices[price.slug]] = item

    def create_coupon(self, coupon: Coupon) -> None:
        """Create a coupon."""
        form: Form = {"id": coupon.code, "duration": coupon.duration.value}
        if coupon.months:
            form["duration_in_months"] = coupon.months
        if coupon.percent_off is not None:
            form["percent_off"] = coupon.percent_off
        else:
            (currency, amount), *others = coupon.amounts_off.items()
            form |= {"amount_off": amount, "currency": currency}
            if others:
                form["currency_options"] = {name: {"amount_off": off} for name, off in others}
        if coupon.plans:
            form["applies_to"] = {"products": [self._products[plan] for plan in sorted(coupon.plans)]}
        self._stripe.post("coupons", **form)

    def preview_creation(self, items: Sequence[Item], terms: Form) -> Bill:
        """Preview the first invoice."""
        terms = dict(terms)
        top = {name: terms.pop(name) for name in ("discounts", "currency") if name in terms}
        details = {"items": [self._entry(item) for item in items], **terms}
        return self._preview(customer=self._customer, subscription_details=details, **top)

    def subscribe(self, items: Sequence[Item], terms: Form) -> Bill:
        """Create the subscription; return its first invoice."""
        entries = [self._entry(item) for item in items]
        made = self._stripe.post("subscriptions", customer=self._customer, items=entries, **terms)
        self._subscription = made["id"]
        return self._latest_bill(made["latest_invoice"])

    def preview_renewal(self) -> Bill:
        """Preview the next renewal."""
        return self._preview(subscription=self._subscription)

    def preview_change(self, items: Sequence[Item], terms: Form) -> Bill:
        """Preview what a change brings."""
        details = {"items": self._entries(items), **terms}
        discounts = {"discounts": details.pop("discounts")} if "discounts" in details else {}
        return self._preview(subscription=self._subscription, subscription_details=details, **discounts)

    def change(self, items: Sequence[Item], terms: Form) -> Bill:
        """Change the subscription; return the invoice that it brings at once, or the bill of none."""
        before = self._now()["latest_invoice"]
        changed = self._stripe.post(f"subscriptions/{self._subscription}", items=self._entries(items), **terms)
        latest = changed["latest_invoice"]
        return self._latest_bill(None if latest == before else latest)

    def use(self, meter: str, value: int) -> None:
        """Report usage now, and let Stripe count it."""
        self._events += 1
        payload = {"stripe_customer_id": self._customer, "value": str(value)}
        self._stripe.post(
            "billing/meter_events",
            event_name=meter,
            identifier=f"usage-{self._events}",
            payload=payload,
            timestamp=self.frozen_time(),
        )
        self._stripe.wall += 2
        self._stripe.tick()

    def advance(self, to: datetime, extra_s: int = 0) -> None:
        """Move the test clock."""
        with self._stripe.world.call():
            lifecycle.advance(self._stripe.world, second(to) + extra_s, self._clock)

    def renew(self, at: datetime) -> Bill:
        """Let a period end and its invoice be finalized; return it."""
        before = self._now()["latest_invoice"]
        self.advance(at, _DRAFT_S + 1)
        latest = self._now()["latest_invoice"]
        return self._latest_bill(None if latest == before else latest)

    def balance(self) -> int:
        """Return the customer's balance."""
        return int(self._stripe.get(f"customers/{self._customer}")["balance"])

    def status(self) -> str:
        """Return the subscription's status."""
        return str(self._now()["status"])

    def frozen_time(self) -> int:
        """Return the test clock's time."""
        return int(self._stripe.get(f"test_helpers/test_clocks/{self._clock}")["frozen_time"])

    def _now(self) -> Form:
        found: Form = self._stripe.get(f"subscriptions/{self._subscription}")
        return found

    def _entry(self, item: Item) -> Form:
        entry: Form = {"price": self._prices[item.price.slug]}
        return entry | ({"quantity": item.quantity} if item.licensed else {})

    def _entries(self, items: Sequence[Item]) -> list[Form]:
        """Return `items` of an update: kept, changed, added and removed ones."""
        present = {self._items[each["price"]["id"]]: each["id"] for each in self._now()["items"]["data"]}
        wanted = [({"id": present[item.id]} if item.id in present else {}) | self._entry(item) for item in items]
        names = {item.id for item in items}
        return wanted + [{"id": known, "deleted": True} for name, known in present.items() if name not in names]

    def _preview(self, **form: Any) -> Bill:
        try:
            found = self._stripe.post("invoices/create_preview", **form)
        except StripeFailure as failure:
            if failure.code != "invoice_upcoming_none":
                raise
            return nothing(self.balance())
        assert not found["lines"]["has_more"], "a preview shows its first ten lines only"
        return their_bill(found, found["lines"]["data"], self._items)

    def _latest_bill(self, identifier: str | None) -> Bill:
        if identifier is None:
            return nothing(self.balance())
        found = self._stripe.get(f"invoices/{identifier}")
        assert found["status"] == "paid", found["status"]
        lines: list[Mapping[str, Any]] = self._stripe.get(f"invoices/{identifier}/lines", limit=100)["data"]
        return their_bill(found, lines, self._items)


def second(instant: datetime) -> int:
    """Return an instant as Stripe takes it."""
    return int(instant.timestamp())
