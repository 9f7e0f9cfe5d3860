"""A business in tests: a gateway, what it made so far, and the time of a simulator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx

from sinks.stripe.calls import Json
from sinks.stripe.client import StripeGateway

CARD = "pm_card_visa"
DECLINED = "pm_card_chargeCustomerFail"
BEGAN_AT = datetime(2027, 1, 31, 12, tzinfo=UTC)


async def listed(objects: AsyncIterator[Json]) -> list[Json]:
    """Return all of a list."""
    return [each async for each in objects]


class Business:
    """A gateway, what it made so far, and test clocks, which only the simulator's own API has."""

    def __init__(self, gateway: StripeGateway, api: httpx.Client) -> None:
        self.gateway = gateway
        self._api = api
        self.prices: dict[str, str] = {}
        self._customers = 0

    def clock(self, at: datetime = BEGAN_AT) -> str:
        """Begin a time of its own."""
        return str(self._post("/v1/test_helpers/test_clocks", frozen_time=int(at.timestamp()))["id"])

    async def advance(self, clock: str, to: datetime) -> None:
        """Let a test clock go on, and return when everything that is due is done."""
        self._post(f"/v1/test_helpers/test_clocks/{clock}/advance", frozen_time=int(to.timestamp()))
        async with asyncio.timeout(30):
            while self._api.get(f"/v1/test_helpers/test_clocks/{clock}").json()["status"] != "ready":
                await asyncio.sleep(0.1)

    async def thin_event(self) -> str:
        """Wait for a thin event and return its id: only its receiver would know it, or the simulator's own API."""
        async with asyncio.timeout(30):
            while not (found := self._api.get("/_simulator/objects/v2.core.event").json()["data"]):
                await asyncio.sleep(0.1)
        return str(found[0]["id"])

    async def customer(self, *, clock: str | None = None, card: str | None = CARD) -> str:
        """Add a customer, with a card that is charged by default."""
        self._customers += 1
        on_clock: Any = {} if clock is None else {"test_clock": clock}
        key = f"customer:{self._customers}"
        customer = await self.gateway.customers.create(key, name="Ada", email="ada@example.com", **on_clock)
        if card is not None:
            method = await self.gateway.payment_methods.attach(f"{key}:card", card, customer["id"])
            await self.gateway.payment_methods.set_default(f"{key}:default", method["id"], customer["id"])
        return str(customer["id"])

    def take_back(self, payment_intent: str, *, refund_minor: int) -> None:
        """Refund a part of a payment on Stripe's side, and have the bank dispute the rest."""
        self._post("/v1/refunds", payment_intent=payment_intent, amount=refund_minor)
        self._api.post("/_simulator/disputes", json={"payment_intent": payment_intent}).raise_for_status()

    def _post(self, path: str, **form: Any) -> Json:
        answer = self._api.post(path, data=form)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found
