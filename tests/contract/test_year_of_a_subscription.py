"""A year of one subscription, through the gateway and on a test clock, is what Stripe's documentation says."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from sinks.stripe.calls import Json
from sinks.stripe.client import StripeGateway
from tests.contract.business import DECLINED, Business, listed
from tests.contract.year_of_a_subscription import PAID_IN_ALL, YEAR, Bill, State
from tests.stripe_simulator import CheckedSimulator

pytestmark = pytest.mark.integration


class Subscriber:
    """A customer who does what the table says."""

    def __init__(self, simulator: CheckedSimulator, gateway: StripeGateway, business: Business) -> None:
        self._simulator = simulator
        self._gateway = gateway
        self._business = business
        self._plans: dict[str, str] = {}
        self._now = YEAR[0].at
        self._clock = self._customer = self._subscription = ""
        self._known_events: set[str] = set()
        self._known_bills: dict[str, Bill] = {}
        self._actions = {
            "subscribe with 14 days of trial": self._subscribe,
            "upgrade to Pro, invoiced at once": self._upgrade,
            "change to a card that will be declined": lambda: self._change_card("bad", DECLINED),
            "change to a card that pays": lambda: self._change_card("good", "pm_card_mastercard"),
            "pay the open invoice": self._pay,
            "schedule the downgrade to Basic for the period's end": self._schedule_downgrade,
            "pause collection, voiding invoices": lambda: gateway.subscriptions.pause("pause", self._subscription),
            "resume collection": lambda: gateway.subscriptions.resume("resume", self._subscription),
            "cancel at the period's end": lambda: gateway.subscriptions.cancel_at_period_end(
                "cancel", self._subscription
            ),
        }

    async def prepare(self) -> None:
        """Add the prices and the customer; what happens on the way is not of the year."""
        product = (await self._gateway.products.create("product", name="Meterstream"))["id"]
        for plan, amount in (("Basic", 1000), ("Pro", 3000)):
            price = await self._gateway.prices.create(
                plan, product=product, currency="usd", recurring={"interval": "month"}, unit_amount=amount
            )
            self._plans[price["id"]] = plan
        self._clock = self._business.clock(_instant(self._now))
        self._customer = await self._business.customer(clock=self._clock)
        self.new_events()

    async def live_to(self, at: str, action: str) -> None:
        """Let time pass and do something."""
        if _instant(at) > _instant(self._now):
            await self._business.advance(self._clock, _instant(at))
        self._now = at
        if action != "wait":
            await self._actions[action]()

    async def state(self) -> State:
        """Return the subscription as it is."""
        found = await self._gateway.subscriptions.get(self._subscription)
        (item,) = found["items"]["data"]
        return State(
            status=found["status"],
            plan=self._plans[item["price"]["id"]],
            start=_written(item["current_period_start"]),
            end=_written(item["current_period_end"]),
            cancel_at=found["cancel_at"] and _written(found["cancel_at"]),
            paused=found["pause_collection"] and found["pause_collection"]["behavior"],
            scheduled=found["schedule"] is not None,
        )

    async def new_bills(self) -> tuple[Bill, ...]:
        """Return the invoices that came or changed since the last call, oldest first."""
        found = await listed(self._gateway.invoices.each(subscription=self._subscription))
        bills = {invoice["id"]: await self._bill(invoice) for invoice in reversed(found)}
        fresh = tuple(bill for name, bill in bills.items() if self._known_bills.get(name) != bill)
        self._known_bills = bills
        return fresh

    def new_events(self) -> Counter[str]:
        """Return the types of the events since the last call."""
        events = [event for event in self._simulator.objects("event") if event["id"] not in self._known_events]
        self._known_events |= {event["id"] for event in events}
        return Counter(event["type"] for event in events if not event["type"].startswith("test_helpers."))

    def paid_in_all(self) -> int:
        """Return what was paid on all invoices."""
        return sum(bill.paid for bill in self._known_bills.values())

    async def _bill(self, invoice: Json) -> Bill:
        following = invoice["next_payment_attempt"]
        return Bill(
            reason=invoice["billing_reason"],
            status=invoice["status"],
            lines=tuple(sorted([line["amount"] async for line in self._gateway.invoices.lines(invoice["id"])])),
            total=invoice["total"],
            paid=invoice["amount_paid"],
            attempts=invoice["attempt_count"],
            next_attempt=following and _written(following),
        )

    async def _subscribe(self) -> None:
        made = await self._gateway.subscriptions.create(
            "subscribe", customer=self._customer, items=[{"price": self._price("Basic")}], trial_period_days=14
        )
        self._subscription = made["id"]

    async def _upgrade(self) -> None:
        (item,) = await listed(self._gateway.subscription_items.each(subscription=self._subscription))
        await self._gateway.subscriptions.change_items(
            "upgrade", self._subscription, [{"id": item["id"], "price": self._price("Pro")}], proration="always_invoice"
        )

    async def _change_card(self, key: str, card: str) -> None:
        method = await self._gateway.payment_methods.attach(key, card, self._customer)
        await self._gateway.payment_methods.set_default(f"{key}:default", method["id"], self._customer)

    async def _pay(self) -> None:
        (invoice,) = await listed(self._gateway.invoices.each(subscription=self._subscription, status="open"))
        await self._gateway.invoices.pay("pay", invoice["id"])

    async def _schedule_downgrade(self) -> None:
        schedule = await self._gateway.subscription_schedules.create_from("schedule", self._subscription)
        now = schedule["phases"][0]
        month: Any = {"interval": "month", "interval_count": 1}
        await self._gateway.subscription_schedules.update(
            "downgrade",
            schedule["id"],
            end_behavior="release",
            phases=[
                {
                    "start_date": now["start_date"],
                    "end_date": now["end_date"],
                    "items": [{"price": self._price("Pro"), "quantity": 1}],
                },
                {"items": [{"price": self._price("Basic"), "quantity": 1}], "duration": month},
            ],
        )

    def _price(self, plan: str) -> str:
        return next(price for price, name in self._plans.items() if name == plan)


async def test_a_year_goes_as_stripe_documents(simulator: CheckedSimulator) -> None:
    async with StripeGateway(simulator.settings) as gateway:
        with simulator.client() as api:
            subscriber = Subscriber(simulator, gateway, Business(gateway, api))
            await subscriber.prepare()
            for row in YEAR:
                await subscriber.live_to(row.at, row.action)
                seen = (await subscriber.state(), await subscriber.new_bills(), subscriber.new_events())
                told = f"{row.at}, {row.action}; see {', '.join(row.sources)}"
                assert seen == (row.state, row.bills, Counter(row.events)), told
            assert subscriber.paid_in_all() == PAID_IN_ALL
    simulator.check_all()
    assert simulator.problems == []


def _instant(at: str) -> datetime:
    return datetime.fromisoformat(at).replace(tzinfo=UTC)


def _written(seconds: int) -> str:
    """Write an instant as the table does: without the hour at midnight."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S").removesuffix("T00:00:00")
