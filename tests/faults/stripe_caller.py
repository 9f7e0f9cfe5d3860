"""A process of ours that does what a plan says, and repeats with the same keys whatever it does not know the end of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from runtime.errors import RateLimited, Unavailable
from sinks.stripe.client import StripeGateway
from sinks.stripe.subscriptions import Proration
from tests.faults.stripe_plan import End, FirstInvoice, Journey

T = TypeVar("T")
METER: Final = "tokens"
_AT_ONCE: Final = 10


class Caller:
    """Knows its plan and nothing else: after a crash another one begins every journey again from the top."""

    def __init__(self, gateway: StripeGateway, began_at: datetime, ended: set[str]) -> None:
        self._gateway = gateway
        self._began_at = began_at
        self._ended = ended
        self.repeated = 0

    async def make(self, journeys: list[Journey]) -> None:
        """Make all journeys, many side by side."""
        turns = asyncio.Semaphore(_AT_ONCE)

        async def run(journey: Journey) -> None:
            async with turns:
                await self._make(journey)

        async with asyncio.TaskGroup() as group:
            for journey in journeys:
                group.create_task(run(journey))

    async def do(self, key: str, call: Callable[[str], Awaitable[T]]) -> T:
        """Do one thing, again and again until it is known to be done."""
        while True:
            try:
                answer = await call(key)
            except (Unavailable, RateLimited):
                self.repeated += 1
                await asyncio.sleep(0.1)
            else:
                self._ended.add(key)
                return answer

    async def _make(self, journey: Journey) -> None:
        customer, spare = await self._arrive(journey)
        price = await self._price(journey)
        subscription = await self._subscribe(journey, customer, price)
        usage = (self._use(journey, customer, n, value) for n, value in enumerate(journey.usage))
        await asyncio.gather(self._change(journey, subscription), *usage)
        gateway, name = self._gateway, journey.name
        if journey.end is End.AT_PERIOD_END:
            await self.do(
                f"{name}:end", lambda key: gateway.subscriptions.cancel_at_period_end(key, subscription["id"])
            )
        elif journey.end is End.NOW:
            await self.do(f"{name}:end", lambda _: gateway.subscriptions.cancel_now(subscription["id"]))
        await self.do(f"{name}:detach", lambda key: gateway.payment_methods.detach(key, spare))

    async def _arrive(self, journey: Journey) -> tuple[str, str]:
        """Return a customer with a card, and a spare card."""
        gateway, name = self._gateway, journey.name
        made = await self.do(
            f"{name}:customer", lambda key: gateway.customers.create(key, name=name, metadata={"journey": name})
        )
        customer = made["id"]
        methods = gateway.payment_methods
        await self.do(f"{name}:intent", lambda key: methods.start_adding(key, customer))
        card = (await self.do(f"{name}:card", lambda key: methods.attach(key, "pm_card_visa", customer)))["id"]
        await self.do(f"{name}:default", lambda key: methods.set_default(key, card, customer))
        spare = await self.do(f"{name}:spare", lambda key: methods.attach(key, "pm_card_mastercard", customer))
        return customer, spare["id"]

    async def _price(self, journey: Journey) -> str:
        gateway, name = self._gateway, journey.name
        product = (await self.do(f"{name}:product", lambda key: gateway.products.create(key, name=name)))["id"]
        terms: Any = {"currency": "usd", "unit_amount": journey.unit_amount, "recurring": {"interval": "month"}}
        price = await self.do(f"{name}:price", lambda key: gateway.prices.create(key, product=product, **terms))
        await self.do(
            f"{name}:coupon",
            lambda key: gateway.coupons.create(key, id=name, percent_off=journey.percent_off, duration="once"),
        )
        return str(price["id"])

    async def _subscribe(self, journey: Journey, customer: str, price: str) -> dict[str, Any]:
        gateway, name = self._gateway, journey.name
        later = journey.first is not FirstInvoice.BY_CARD
        subscription = await self.do(
            f"{name}:subscription",
            lambda key: gateway.subscriptions.create(
                key,
                customer=customer,
                items=[{"price": price, "quantity": journey.quantity}],
                payment_behavior="default_incomplete" if later else "error_if_incomplete",
                metadata={"journey": name},
            ),
        )
        invoice = subscription["latest_invoice"]
        if journey.first is FirstInvoice.PAID_LATER:
            await self.do(f"{name}:invoice", lambda key: gateway.invoices.pay(key, invoice))
        elif journey.first is FirstInvoice.VOIDED:
            await self.do(f"{name}:invoice", lambda key: gateway.invoices.void(key, invoice))
        return subscription

    async def _change(self, journey: Journey, subscription: dict[str, Any]) -> None:
        if journey.first is FirstInvoice.VOIDED:
            return
        for number, quantity in enumerate(journey.upgrades):
            await self._set_quantity(f"{journey.name}:upgrade:{number}", subscription, quantity, "always_invoice")
        await self._set_quantity(f"{journey.name}:downgrade", subscription, journey.downgrade, "none")

    async def _set_quantity(self, key: str, subscription: dict[str, Any], quantity: int, proration: Proration) -> None:
        item = subscription["items"]["data"][0]
        # The period's first second: the whole price is prorated, whenever it comes to it.
        at = datetime.fromtimestamp(item["current_period_start"], UTC) if proration != "none" else None
        await self.do(
            key,
            lambda key: self._gateway.subscriptions.change_items(
                key,
                subscription["id"],
                [{"id": item["id"], "quantity": quantity}],
                proration=proration,
                proration_at=at,
                payment_behavior="error_if_incomplete",
            ),
        )

    async def _use(self, journey: Journey, customer: str, number: int, value: int) -> None:
        await self.do(
            f"{journey.name}:usage:{number}",
            lambda key: self._gateway.meter_events.send(
                identifier=key, event_name=METER, customer=customer, value=value, at=self._began_at
            ),
        )
