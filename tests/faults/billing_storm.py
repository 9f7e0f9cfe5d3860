"""What customers do at Stripe in a chaos test: one operation after the other, by a seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from runtime.errors import BusinessLogicError, ConflictError, InvalidInput, NotFoundError
from sinks.stripe.client import StripeGateway
from tests.integration.sinks.selling import Shop

_CARDS = ("pm_card_visa", "pm_card_mastercard", "pm_card_chargeCustomerFail")
_PRICES = ("weekly", "monthly", "yearly", "team")
# Stripe lists events of 30 days; all that was lost must still be listed in the end.
_ADVANCE_S = 86_400
_MOST_DAYS = 25


@dataclass
class Storm:
    """Does `operations` things to customers that exist, some side by side."""

    shop: Shop
    control: httpx.Client
    customers: list[str]
    seed: int
    done: int = 0
    refused: int = 0
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
                except (InvalidInput, ConflictError, NotFoundError, BusinessLogicError):
                    self.refused += 1
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
            self._end_now, self._detach, self._draft,
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
