"""What customers do at Stripe in a chaos test: one operation after the other, by a seed."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg

from billing.periods import Cycle, Interval
from runtime.errors import BusinessLogicError, ConflictError, InvalidInput, NotFoundError
from sinks.stripe.client import StripeGateway
from sinks.stripe.item_changes import WantedItem
from tests.integration.sinks.selling import Shop

_CARDS = ("pm_card_visa", "pm_card_mastercard", "pm_card_chargeCustomerFail")
_PRICES = ("weekly", "monthly", "yearly", "team")
# Stripe lists events of 30 days; all that was lost must still be listed in the end.
_ADVANCE_S = 86_400
_MOST_DAYS = 25
# So long a subscription may be on its way to us.
_WORD_S = 3.0
# By Stripe or by our API; or one of our stores is being restarted.
_REFUSED = (
    InvalidInput, ConflictError, NotFoundError, BusinessLogicError, httpx.HTTPError, psycopg.OperationalError,
)  # fmt: skip
_ACTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("pause", {"behavior": "void"}),
    ("pause", {"behavior": "keep_as_draft"}),
    ("resume", {}),
    ("cancel", {}),
    ("reactivate", {}),
)


@dataclass
class Storm:
    """Does `operations` things to customers that exist, some side by side."""

    shop: Shop
    control: httpx.Client
    customers: list[str]
    seed: int
    api: httpx.AsyncClient
    """Ours: with the key of the organization."""
    done: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    through_api: int = 0
    _days: int = 0
    _subscriptions: list[dict[str, Any]] = field(default_factory=list)
    _methods: list[str] = field(default_factory=list)

    async def run(self, operations: int, *, at_once: int = 4) -> None:
        """Do them all; what Stripe refuses, such as a change of something that has ended, does not count."""
        dice = random.Random(self.seed)
        every = max(1, operations // _MOST_DAYS)
        numbers = iter(range(1, operations * 20))

        async def go_on() -> None:
            while self.done < operations:
                number = next(numbers)
                if number % every == 0 and self._days < _MOST_DAYS:
                    self._days += 1
                    await asyncio.to_thread(self._advance)
                try:
                    await self._operation(dice)(f"storm:{number}", dice)
                except _REFUSED as exc:
                    self.refused[repr(exc)[:200]] += 1
                else:
                    self.done += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(go_on())

    def _advance(self) -> None:
        self.control.post("/_simulator/advance", json={"seconds": _ADVANCE_S}).raise_for_status()

    def _operation(self, dice: random.Random) -> Callable[[str, random.Random], Awaitable[None]]:
        beginnings = [self._subscribe, self._attach, self._rename]
        changes = [
            self._set_quantity, self._set_price, self._pause, self._resume, self._end_later, self._keep,
            self._end_now, self._detach, self._draft, self._schedule, self._leave, *[self._through_api] * 3,
        ]  # fmt: skip
        return dice.choice(beginnings * 2 + changes if self._subscriptions else beginnings)

    @property
    def _stripe(self) -> StripeGateway:
        return self.shop.stripe

    async def _subscribe(self, key: str, dice: random.Random) -> None:
        items: Any = [{"price": self.shop.prices[dice.choice(_PRICES)], "quantity": dice.randint(1, 9)}]
        more: Any = {"trial_period_days": 3} if dice.random() < 0.2 else {}
        made = await self._stripe.subscriptions.create(key, customer=dice.choice(self.customers), items=items, **more)
        self._subscriptions.append(made)

    async def _attach(self, key: str, dice: random.Random) -> None:
        customer = dice.choice(self.customers)
        method = await self._stripe.payment_methods.attach(key, dice.choice(_CARDS), customer)
        self._methods.append(method["id"])
        if dice.random() < 0.5:
            await self._stripe.payment_methods.set_default(key + ":default", method["id"], customer)

    async def _detach(self, key: str, dice: random.Random) -> None:
        if self._methods:
            await self._stripe.payment_methods.detach(key, self._methods.pop(dice.randrange(len(self._methods))))

    async def _rename(self, key: str, dice: random.Random) -> None:
        await self._stripe.customers.update(key, dice.choice(self.customers), name=f"Name {key}")

    async def _set_quantity(self, key: str, dice: random.Random) -> None:
        await self._change(key, dice, quantity=dice.randint(1, 9))

    async def _set_price(self, key: str, dice: random.Random) -> None:
        await self._change(key, dice, price=self.shop.prices[dice.choice(_PRICES)])

    async def _change(self, key: str, dice: random.Random, **item: Any) -> None:
        chosen = dice.choice(self._subscriptions)
        items: Any = [{"id": chosen["items"]["data"][0]["id"], **item}]
        proration: Any = dice.choice(("create_prorations", "always_invoice", "none"))
        await self._stripe.subscriptions.change_items(key, chosen["id"], items, proration=proration)

    async def _pause(self, key: str, dice: random.Random) -> None:
        behavior: Any = dice.choice(("void", "keep_as_draft", "mark_uncollectible"))
        await self._stripe.subscriptions.pause(key, self._any(dice), behavior=behavior)

    async def _resume(self, key: str, dice: random.Random) -> None:
        await self._stripe.subscriptions.resume(key, self._any(dice))

    async def _end_later(self, key: str, dice: random.Random) -> None:
        await self._stripe.subscriptions.cancel_at_period_end(key, self._any(dice))

    async def _keep(self, key: str, dice: random.Random) -> None:
        await self._stripe.subscriptions.reactivate(key, self._any(dice))

    async def _end_now(self, key: str, dice: random.Random) -> None:
        if dice.random() < 0.3:
            await self._stripe.subscriptions.cancel_now(self._any(dice), prorate=dice.random() < 0.5)

    async def _schedule(self, key: str, dice: random.Random) -> None:
        """Let a subscription have another price from its next period on, or what it has now after all."""
        items = [WantedItem(self.shop.prices[dice.choice(_PRICES)], dice.randint(0, 9))]
        chosen = self._any(dice)
        subscription = await self._stripe.subscriptions.get(chosen)
        schedule = await self._stripe.subscription_schedules.create_from(key, chosen)
        if schedule["current_phase"] is None:
            raise ConflictError("It has ended.")
        await self._stripe.subscription_schedules.set_next(
            key + ":next", schedule, subscription, items, Cycle(Interval.MONTH)
        )
        if dice.random() < 0.3:
            await self._stripe.subscription_schedules.release(key + ":release", schedule["id"])

    async def _leave(self, _: str, dice: random.Random) -> None:
        """Delete a customer, now and then."""
        customer = dice.choice(self.customers)
        if dice.random() >= 0.1:
            return
        # Of one that is deleted Stripe does not say whose it was; the API notes that when it makes one.
        if not await asyncio.to_thread(
            self.shop.rows, "select 1 from customers where stripe_customer_id = %s", [customer]
        ):
            raise NotFoundError("No event has told of them yet.")
        await self._stripe.customers.delete(customer)

    async def _through_api(self, key: str, dice: random.Random) -> None:
        """Change a subscription as our own clients do: API and worker then write the same row."""
        (action, body), chosen = dice.choice(_ACTIONS), self._any(dice)
        find = "select id::text from subscriptions where stripe_subscription_id = %s"
        deadline = time.monotonic() + _WORD_S
        while not (found := await asyncio.to_thread(self.shop.rows, find, [chosen])):
            if time.monotonic() > deadline:
                raise NotFoundError("No event has told of it yet.")
            await asyncio.sleep(0.2)
        path, headers = f"/api/v1/subscriptions/{found[0]['id']}/{action}", {"Idempotency-Key": key}
        answer = await self.api.post(path, json=body, headers=headers)
        assert answer.status_code != 500, answer.text
        if answer.status_code != 200:
            raise ConflictError(answer.text)
        self.through_api += 1

    async def _draft(self, key: str, dice: random.Random) -> None:
        """Make an invoice by hand, and throw half of them away."""
        form, throw_away = {"customer": dice.choice(self.customers)}, dice.random() < 0.5

        def make() -> None:
            made = self.control.post("/v1/invoices", data=form).raise_for_status().json()
            if throw_away:
                self.control.delete(f"/v1/invoices/{made['id']}").raise_for_status()

        await asyncio.to_thread(make)

    def _any(self, dice: random.Random) -> str:
        chosen: str = dice.choice(self._subscriptions)["id"]
        return chosen
