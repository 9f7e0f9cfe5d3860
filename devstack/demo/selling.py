"""The demo's scene of selling: one customer's life with a subscription, over the API, with Stripe's events coming back.

What happens at the simulator reaches Postgres by webhook, Kafka and the billing worker alone; after each step both say
what they hold, and in the end every subscription and invoice is compared.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import httpx

from devstack.demo.comparison import Comparison
from devstack.demo.simulated_time import SimulatedTime, simulated_time
from runtime.clock import utc_now
from runtime.errors import Unavailable
from runtime.settings import StripeSettings
from sinks.http_api.client import ApiClient
from sinks.stripe.calls import Json
from sinks.stripe.client import StripeGateway

Say = Callable[[str], None]
_PATIENCE_S: Final = 60.0
_DRAFT: Final = timedelta(hours=2)
"""A renewal's invoice is a draft for an hour."""
_STARTER: Final = 2_000
_PRO: Final = 5_000
_WHERE: Final = "Selling, both"
"""In Postgres and at Stripe."""
_BACK: Final = "https://shop.example/welcome"


@dataclass(frozen=True, slots=True)
class Sold:
    """Whether Postgres and Stripe agree."""

    subscriptions_match: bool
    invoices_match: bool


async def sell(comparison: Comparison, api: ApiClient, stripe: StripeSettings, say: Say) -> Sold:
    """Live through it, compare after each step. Raises: Unavailable where Postgres does not follow in time."""
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(StripeGateway(stripe))
        clock = await stack.enter_async_context(simulated_time(stripe, utc_now().replace(microsecond=0)))
        scene = await _begin(comparison, api, gateway, clock, say)
        await scene.live()
        return await scene.compare_all()


async def _begin(
    comparison: Comparison, api: ApiClient, gateway: StripeGateway, clock: SimulatedTime, say: Say
) -> _Scene:
    """Offer two plans, sign a customer up, and let them pay on the checkout page."""
    for slug, amount in (("starter", _STARTER), ("pro", _PRO)):
        usd = {"usd": {"amount": f"{amount / 100:.2f}"}}
        price = {"slug": f"{slug}-base", "kind": "flat", "interval": "month", "currencies": usd}
        await api.post("/plans", {"slug": slug, "name": slug.title(), "prices": [price], "activate": True})
    customer = await api.post("/customers", {"name": "Ada", "email": "ada@example.com"})
    await clock.adopt(customer["stripe_customer_id"])
    checkout = await api.post(
        "/checkout", {"plan": "starter", "customer_id": customer["id"], "success_url": _BACK, "cancel_url": _BACK}
    )
    async with httpx.AsyncClient(trust_env=False) as page:
        await page.post(checkout["url"], data={"test_card": "4242424242424242"})
    deadline = time.monotonic() + _PATIENCE_S
    while not (found := await _subscriptions(api, customer["id"])):
        if time.monotonic() > deadline:
            raise Unavailable("The subscription that was bought did not reach Postgres: see the logs of `billing`.")
        await asyncio.sleep(0.1)
    return _Scene(comparison, api, gateway, clock, say, customer, found[0])


async def _subscriptions(api: ApiClient, customer: str) -> list[Json]:
    found = await api.get("/subscriptions", [("customer_id", customer)])
    return list(found["data"])


@dataclass(slots=True)
class _Scene:
    comparison: Comparison
    api: ApiClient
    gateway: StripeGateway
    clock: SimulatedTime
    say: Say
    customer: Json
    subscription: Json

    async def live(self) -> None:
        """Upgrade, fail, recover, leave."""
        path = f"/subscriptions/{self.subscription['id']}"
        await self._arrive("checkout, paid", "active", _STARTER)
        renewal = datetime.fromisoformat(self.subscription["current_period_end"])
        await self.clock.advance(renewal - timedelta(days=10))
        await self.api.patch(path, {"plan": "pro", "timing": "immediate", "proration": "invoice_now"})
        await self._arrive("upgrade, prorated", "active", _PRO)
        await self._pay_with("pm_card_chargeCustomerFail")
        await self.clock.advance(renewal + _DRAFT)
        await self._arrive("renewal, card fails", "past_due", _PRO)
        await self._pay_with("pm_card_visa")
        owed = await self.api.get("/invoices", [("customer_id", self.customer["id"]), ("status", "open")])
        for invoice in owed["data"]:
            await self.api.post(f"/invoices/{invoice['id']}/pay", {})
        await self._arrive("another card, paid", "active", _PRO)
        await self.api.post(f"{path}/cancel", {"at": "period_end", "reason": "too_expensive"})
        await self._arrive("leaving at period end", "active, ends", _PRO)
        await self.clock.advance(datetime.fromisoformat(self.subscription["current_period_end"]) + _DRAFT)
        await self._arrive("period over", "canceled", 0)

    async def _pay_with(self, card: str) -> None:
        body = {"customer_id": self.customer["id"], "payment_method": card, "default": True}
        await self.api.post("/payment-methods", body)

    async def _arrive(self, what: str, status: str, mrr: int) -> None:
        """Wait until Postgres says so; note what Postgres and Stripe say then."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            self.subscription = await self.api.get(f"/subscriptions/{self.subscription['id']}")
            ours = _standing(self.subscription)
            if (ours, self.subscription["mrr_minor"]) == (status, mrr) or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.1)
        theirs = _standing(await self.gateway.subscriptions.get(self.subscription["stripe_subscription_id"]))
        self.say(f"  {what}: Postgres says {ours}, Stripe says {theirs}")
        both = ours if ours == theirs else f"Postgres {ours}, Stripe {theirs}"
        self.comparison.text(_WHERE, what, status, both)
        self.comparison.number(_WHERE, "  MRR, cents", mrr, self.subscription["mrr_minor"])

    async def compare_all(self) -> Sold:
        """Compare every subscription and invoice of the customer, once the last events have come."""
        stripe_id = self.customer["stripe_customer_id"]
        subscriptions = {
            each["id"]: _subscription_facts(each)
            async for each in self.gateway.subscriptions.each(customer=stripe_id, status="all")
        }
        invoices = {each["id"]: _invoice_facts(each) async for each in self.gateway.invoices.each(customer=stripe_id)}
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            ours = await _subscriptions(self.api, self.customer["id"])
            billed = (await self.api.get("/invoices", [("customer_id", self.customer["id"])]))["data"]
            held = {each["stripe_subscription_id"]: _our_subscription(each) for each in ours}
            held_invoices = {each["stripe_invoice_id"]: _our_invoice(each) for each in billed}
            if (held, held_invoices) == (subscriptions, invoices) or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.2)
        self.comparison.table(_WHERE, "subscriptions", subscriptions, held)
        self.comparison.table(_WHERE, "invoices", invoices, held_invoices)
        return Sold(held == subscriptions, held_invoices == invoices)


def _standing(subscription: Json) -> str:
    ends = subscription["cancel_at_period_end"] and subscription["status"] != "canceled"
    return f"{subscription['status']}{', ends' if ends else ''}"


def _subscription_facts(each: Json) -> tuple[Any, ...]:
    item = each["items"]["data"][0]
    return _standing(each), item["current_period_end"], item["price"]["unit_amount"]


def _our_subscription(each: Json) -> tuple[Any, ...]:
    amount = {"starter": _STARTER, "pro": _PRO}.get((each["plan"] or {}).get("slug", ""))
    return _standing(each), int(datetime.fromisoformat(each["current_period_end"]).timestamp()), amount


def _invoice_facts(each: Json) -> tuple[Any, ...]:
    return each["status"], each["total"], each["amount_paid"], each["amount_remaining"]


def _our_invoice(each: Json) -> tuple[Any, ...]:
    return each["status"], each["total_minor"], each["amount_paid_minor"], each["amount_remaining_minor"]
