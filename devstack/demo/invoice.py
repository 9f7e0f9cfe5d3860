"""The demo's last scene: metered usage becomes an invoice of the Stripe simulator, which must say what we computed.

The simulator shares no code with `billing/`: two implementations of the same rules check each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml

from billing.invoices import Invoice, Reason, preview_invoice
from billing.periods import Period
from billing.plan_document import read_plans
from billing.plans import Plan
from billing.subscribed import Item, SubscriptionState
from devstack.demo.comparison import Comparison
from devstack.demo.simulated_time import SimulatedTime, simulated_time
from runtime.settings import StripeSettings
from sinks.stripe.calls import Json
from sinks.stripe.client import StripeGateway
from sinks.stripe.publishing import PublishReport, compare_plans, publish_plans

PLANS_FILE: Final = Path(__file__).parents[2] / "docs" / "plans.example.yaml"
_PRICES: Final = ("team-base", "team-api-calls")
_METER: Final = "api_calls"
_CURRENCY: Final = "usd"
# A period that is short by a day, from the last day of a month.
_BEGAN_AT: Final = datetime(2026, 8, 31, 12, tzinfo=UTC)
_ENDED_AT: Final = datetime(2026, 9, 30, 12, tzinfo=UTC)
_DRAFT: Final = timedelta(hours=2)


async def check_invoice(comparison: Comparison, stripe: StripeSettings, *, owner: str, usage: int) -> int:
    """Sell the example plan to one customer, report their usage, let a month pass, compare the invoice; its total."""
    # Under names of this run: the plans of whoever uses the same simulator stay as they are.
    plans = [
        replace(plan, slug=f"{owner}-{plan.slug}", product="")
        for plan in read_plans(yaml.safe_load(PLANS_FILE.read_text(encoding="utf-8")))
    ]
    plan = plans[0]
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(StripeGateway(stripe))
        published = await publish_plans(gateway, plans)
        stack.push_async_callback(_withdraw, gateway, published)
        left = sum(change.writes for change in await compare_plans(gateway, plans))
        comparison.number("Stripe", "left to publish", 0, left)
        clock = await stack.enter_async_context(simulated_time(stripe, _BEGAN_AT))
        prices = [published.prices[f"{plan.slug}:{slug}"] for slug in _PRICES]
        found = await _billed(gateway, clock, prices, owner=owner, usage=usage)
    expected = _previewed(plan, usage)
    comparison.number("Stripe invoice", f"usage of {usage:,} {_METER}, cents", _usage_amount(expected), found.usage)
    comparison.number("Stripe invoice", "total, cents", expected.total, found.total)
    comparison.number("Stripe invoice", "left to pay", 0, found.remaining)
    return found.total


@dataclass(frozen=True, slots=True)
class _Billed:
    usage: int
    total: int
    remaining: int


async def _billed(
    gateway: StripeGateway, clock: SimulatedTime, prices: Sequence[str], *, owner: str, usage: int
) -> _Billed:
    """Go through the month; return what the renewal's invoice says."""
    customer = (await gateway.customers.create(f"{owner}:customer", name="Demo", test_clock=clock.id))["id"]
    card = await gateway.payment_methods.attach(f"{owner}:card", "pm_card_visa", customer)
    await gateway.payment_methods.set_default(f"{owner}:default", card["id"], customer)
    subscription = await gateway.subscriptions.create(
        f"{owner}:subscribe", customer=customer, items=[{"price": price} for price in prices]
    )
    await clock.advance(_BEGAN_AT + timedelta(days=1))
    await gateway.meter_events.send(
        identifier=f"{owner}:usage",
        event_name=_METER,
        customer=customer,
        value=usage,
        at=_BEGAN_AT + timedelta(hours=1),
    )
    await clock.advance(_ENDED_AT + _DRAFT)
    renewal = await anext(gateway.invoices.each(subscription=subscription["id"]))
    lines = [line async for line in gateway.invoices.lines(renewal["id"])]
    metered = sum(line["amount"] for line in lines if _price_of(line) == prices[1])
    return _Billed(metered, renewal["total"], renewal["amount_remaining"])


def _previewed(plan: Plan, usage: int) -> Invoice:
    """Compute the same invoice ourselves."""
    prices = {price.slug: price for price in plan.prices}
    items = tuple(Item(id=slug, price=prices[slug], plan=plan.slug) for slug in _PRICES)
    metered = (items[0], replace(items[1], usage=usage))
    period = Period(_BEGAN_AT, _ENDED_AT)
    state = SubscriptionState(currency=_CURRENCY, items=metered, period=period, anchor=_BEGAN_AT)
    return preview_invoice(state, Reason.CYCLE)


def _usage_amount(invoice: Invoice) -> int:
    return sum(line.amount for line in invoice.lines if line.item_id == _PRICES[1])


def _price_of(line: Json) -> Any:
    return line["pricing"]["price_details"]["price"]


async def _withdraw(gateway: StripeGateway, published: PublishReport) -> None:
    """Sell it no more, so that nobody's `plans publish` has to tell of it."""
    for price in published.prices.values():
        await gateway.prices.archive(f"demo:{price}", price)
    for product in published.products.values():
        await gateway.products.archive(f"demo:{product}", product)
