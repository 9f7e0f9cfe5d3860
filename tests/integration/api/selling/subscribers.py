"""Customers who pay, and what they subscribe to, made over HTTP."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import httpx

from sinks.mirror import Mirror
from sinks.postgres.access import WORKER_ROLE, PostgresAccess
from sinks.stripe.client import StripeGateway
from tests.engines import wait_for
from tests.integration.api.selling.shop import Shop

SOLO: dict[str, Any] = {
    "slug": "solo",
    "name": "Solo",
    "trial_days": 0,
    "features": [],
    "prices": [
        {
            "slug": "solo-month",
            "kind": "flat",
            "interval": "month",
            "currencies": {"usd": {"amount": "20.00"}, "eur": {"amount": "19.00"}},
        },
        {
            "slug": "solo-year",
            "kind": "flat",
            "interval": "year",
            "currencies": {"usd": {"amount": "200.00"}},
        },
    ],
}
SEATS: dict[str, Any] = {
    "slug": "seats",
    "name": "Seats",
    "trial_days": 0,
    "features": [],
    "prices": [
        {"slug": "seat", "kind": "per_seat", "interval": "month", "currencies": {"usd": {"amount": "12.00"}}},
    ],
}


HANGS_S = 2.0
"""Longer than the API waits for Stripe in these tests."""


def repeated(send: Callable[[], httpx.Response]) -> httpx.Response:
    """Return the answer of a request that is repeated while it is asked to come later, as clients do."""
    answers: list[httpx.Response] = []

    def answered() -> bool:
        answers.append(send())
        return answers[-1].status_code != 503

    wait_for("the API answers otherwise than 503", answered, timeout_s=60)
    return answers[-1]


def keyed(key: str | None = None) -> dict[str, str]:
    """Return the header that makes a write repeatable."""
    return {"Idempotency-Key": key or uuid.uuid4().hex}


def customer_with(shop: Shop, card: str | None = "pm_card_visa", **body: Any) -> str:
    """Make a customer who pays with a test card; return their id."""
    made = shop.client.post("/api/v1/customers", json={"name": "Ada", **body})
    assert made.status_code == 201, made.text
    customer: str = made.json()["id"]
    if card is not None:
        pay_with(shop, customer, card)
    return customer


def pay_with(shop: Shop, customer: str, card: str) -> str:
    """Let a customer pay with another test card; return the payment method's id."""
    added = shop.client.post(
        "/api/v1/payment-methods", json={"customer_id": customer, "payment_method": card, "default": True}
    )
    assert added.status_code in (200, 201), added.text
    return str(added.json()["payment_method"]["id"])


def subscribe(shop: Shop, plan: str, *, customer: str | None = None, **body: Any) -> dict[str, Any]:
    """Subscribe a customer who pays, a new one unless named; return the subscription."""
    sent = {"customer_id": customer or customer_with(shop), "plan": plan, "interval": "month", **body}
    made = shop.client.post("/api/v1/subscriptions", json=sent)
    assert made.status_code == 201, made.text
    return dict(made.json())


def act(shop: Shop, subscription: dict[str, Any], action: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Do something to a subscription that is possible; return what it is then."""
    answer = shop.client.post(f"/api/v1/subscriptions/{subscription['id']}/{action}", json=body or {})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def at_stripe(shop: Shop, subscription: dict[str, Any]) -> dict[str, Any]:
    """Return a subscription as Stripe holds it."""
    found = shop.stripe.objects("subscription")
    return next(each for each in found if each["id"] == subscription["stripe_subscription_id"])


def writes_at_stripe(shop: Shop, since: int) -> list[str]:
    """Return the paths that were written at Stripe since a number of calls."""
    return [call["path"] for call in shop.stripe.calls()[since:] if call["method"] != "GET"]


def change(shop: Shop, subscription: dict[str, Any], **body: Any) -> httpx.Response:
    """Ask for a change of a subscription."""
    return shop.client.patch(f"/api/v1/subscriptions/{subscription['id']}", json=body)


def use(shop: Shop, subscription: dict[str, Any], value: int) -> None:
    """Report usage of the one meter of a subscription at Stripe, as worker jobs would."""
    held = at_stripe(shop, subscription)
    named = {item["price"]["recurring"]["meter"] for item in held["items"]["data"]} - {None}
    (meter,) = [each for each in shop.stripe.objects("billing.meter") if each["id"] in named]
    payload = {"payload[stripe_customer_id]": held["customer"], "payload[value]": str(value)}
    sent = {"event_name": meter["event_name"], **payload}
    shop.stripe.control.post("/v1/billing/meter_events", data=sent).raise_for_status()


def look(shop: Shop, subscription: dict[str, Any]) -> dict[str, Any]:
    """Let Postgres follow Stripe, as events do; return the subscription."""
    customer = at_stripe(shop, subscription)["customer"]
    invoices = [each["id"] for each in shop.stripe.objects("invoice") if each["customer"] == customer]

    async def follow() -> None:
        postgres = PostgresAccess(shop.service.settings.postgres, service="test", role=WORKER_ROLE)
        await postgres.open()
        try:
            async with StripeGateway(shop.stripe.settings()) as gateway:
                mirror = Mirror(postgres, gateway)
                assert await mirror.look("subscription", subscription["stripe_subscription_id"])
                for invoice in invoices:
                    assert await mirror.look("invoice", invoice)
        finally:
            await postgres.close()

    asyncio.run(follow())
    return dict(shop.client.get(f"/api/v1/subscriptions/{subscription['id']}").json())
