"""A seller in tests: its plans, its client, and Stripe behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from tests.integration.api.service import Service
from tests.integration.stripe.simulator_process import SimulatorProcess

TEAM: dict[str, Any] = {
    "slug": "team",
    "name": "Team",
    "description": "For teams.",
    "trial_days": 14,
    "metadata": {"audience": "teams"},
    "features": [
        {"slug": "sso", "name": "Single sign-on"},
        {"slug": "api_calls", "limit": {"meter": "api_calls", "quantity": "1000000", "mode": "hard"}},
    ],
    "prices": [
        {
            "slug": "base",
            "kind": "flat",
            "interval": "month",
            "currencies": {"usd": {"amount": "49.00"}, "eur": {"amount": "45.00"}},
        },
        {
            "slug": "seats",
            "kind": "per_seat",
            "interval": "month",
            "currencies": {"usd": {"amount": "12.00"}, "eur": {"amount": "11.00"}},
        },
        {
            "slug": "calls",
            "kind": "per_unit",
            "interval": "month",
            "meter": {"slug": "api_calls", "aggregation": "SUM"},
            "currencies": {"usd": {"amount": "0.0004"}, "eur": {"amount": "0.00037"}},
        },
    ],
}

METER: dict[str, Any] = {"slug": "api_calls", "event_type": "call", "aggregation": "SUM", "value_property": "$.count"}
"""What TEAM is billed by."""

URLS = {
    "success_url": "https://app.example.com/welcome?of={CHECKOUT_SESSION_ID}",
    "cancel_url": "https://app.example.com",
}


@dataclass(frozen=True)
class Shop:
    """An organization that sells."""

    service: Service
    client: httpx.Client
    slug: str
    stripe: SimulatorProcess

    def sell(self, **changes: Any) -> dict[str, Any]:
        """Create and activate a plan; return it."""
        answer = self.client.post("/api/v1/plans", json={**TEAM, "activate": True, **changes})
        assert answer.status_code == 201, answer.text
        plan: dict[str, Any] = answer.json()
        return plan

    def customer(self, **fields: Any) -> dict[str, Any]:
        """Create a customer; return it."""
        answer = self.client.post("/api/v1/customers", json={"name": "Jenny", "email": "jenny@example.com", **fields})
        assert answer.status_code == 201, answer.text
        customer: dict[str, Any] = answer.json()
        return customer

    def checkout(self, client: httpx.Client | None = None, **fields: Any) -> httpx.Response:
        """Start a checkout of `team`, as the organization or as somebody else."""
        return (client or self.client).post("/api/v1/checkout", json={"plan": "team", **URLS, **fields})

    def pay(self, url: str, card: str = "4242424242424242") -> httpx.Response:
        """Pay on Stripe's page, as the customer does."""
        return httpx.post(url, data={"test_card": card})

    def stripe_price(self, price_id: str) -> dict[str, Any]:
        """Return a price as Stripe holds it."""
        return next(price for price in self.stripe.objects("price") if price["id"] == price_id)

    def stripe_down(self, **rule: Any) -> None:
        """Let every call fail, or those of a rule."""
        self.stripe.break_things({"kind": "error_before", "status": 503, **rule})

    def stripe_up(self) -> None:
        """Let nothing fail any more."""
        self.stripe.control.delete("/_simulator/faults").raise_for_status()


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of a refusal."""
    return answer.status_code, answer.json()["error"]["code"]
