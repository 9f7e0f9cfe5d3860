"""A Stripe without sockets: the routes on a world whose wall clock stands still, and what tests need of it often."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from devstack.stripe_simulator import billing, coupons, customers, payment_methods, prices, products, promotion_codes
from devstack.stripe_simulator.billing import lifecycle
from devstack.stripe_simulator.clock import WorldClock
from devstack.stripe_simulator.expansion import expand
from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page
from devstack.stripe_simulator.routes import Call, Router
from devstack.stripe_simulator.world import World, public

ROUTES = [
    *billing.ROUTES,
    *coupons.ROUTES,
    *customers.ROUTES,
    *payment_methods.ROUTES,
    *prices.ROUTES,
    *products.ROUTES,
    *promotion_codes.ROUTES,
]


def at(text: str) -> int:
    """Return an instant in UTC as unix seconds: "2026-01-31" or "2026-01-31T10:00:00"."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def day(seconds: int) -> str:
    """Return the day of an instant."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


class Stripe:
    """Calls as a client makes them."""

    def __init__(self) -> None:
        self.wall = at("2026-01-01")
        self.world = World(clock=WorldClock(lambda: self.wall))
        self._router = Router(ROUTES)

    def call(self, method: str, path: str, sent: Mapping[str, Any]) -> Any:
        """Make a call; refusals are raised."""
        match = self._router.match(method, path)
        assert match is not None, path
        route, placeholders = match
        parameters = Parameters(_form(sent))
        with self.world.call():
            found = route.handler(self.world, Call(method, path, parameters, "req_1"), **placeholders)
            expanded = parameters.texts("expand") or []
            parameters.check_all_read()
            return public(expand(self.world, found.body() if isinstance(found, Page) else found, expanded))

    def post(self, path: str, **sent: Any) -> Any:
        """POST to a path below /v1."""
        return self.call("POST", f"/v1/{path}", sent)

    def get(self, path: str, **sent: Any) -> Any:
        """GET a path below /v1."""
        return self.call("GET", f"/v1/{path}", sent)

    def delete(self, path: str, **sent: Any) -> Any:
        """DELETE a path below /v1."""
        return self.call("DELETE", f"/v1/{path}", sent)

    def customer(self, card: str | None = "visa", **sent: Any) -> str:
        """Create a customer with a default card, and return the id."""
        made = self.post("customers", email="jenny@example.com", name="Jenny Rosen", **sent)["id"]
        if card:
            self.set_card(made, card)
        return str(made)

    def set_card(self, customer: str, card: str) -> str:
        """Attach a test card as the customer's default, and return its id."""
        method = self.post(f"payment_methods/pm_card_{card}/attach", customer=customer)["id"]
        self.post(f"customers/{customer}", invoice_settings={"default_payment_method": method})
        return str(method)

    def price(self, unit_amount: int | None = 1000, interval: str | None = "month", count: int = 1, **sent: Any) -> str:
        """Create a price of a new product, and return the id."""
        name = sent.pop("name", "Gold")
        product = self.post("products", name=name)["id"]
        recurring = {"interval": interval, "interval_count": count, **sent.pop("recurring", {})} if interval else None
        amount = {} if unit_amount is None else {"unit_amount": unit_amount}
        extra = {"recurring": recurring} if recurring else {}
        return str(self.post("prices", product=product, currency="usd", **amount, **extra, **sent)["id"])

    def meter(self, formula: str = "sum", event_name: str = "tokens") -> str:
        """Create a meter, and return the id."""
        aggregation = {"formula": formula}
        made = self.post("billing/meters", display_name="T", event_name=event_name, default_aggregation=aggregation)
        return str(made["id"])

    def clock(self, text: str) -> str:
        """Create a test clock, and return the id."""
        return str(self.post("test_helpers/test_clocks", frozen_time=at(text))["id"])

    def advance(self, clock: str, text: str) -> None:
        """Move a test clock, without Stripe's limit of two intervals."""
        with self.world.call():
            lifecycle.advance(self.world, at(text), clock)

    def tick(self) -> None:
        """Do what is due on the wall clock."""
        with self.world.call():
            lifecycle.tick(self.world)

    def events(self, *kinds: str) -> list[Obj]:
        """Return the events so far, oldest first; only of these kinds if any are named."""
        found = reversed(self.world.find("event"))
        return [event for event in found if not kinds or event["type"].startswith(kinds)]

    def event_types(self, *kinds: str) -> list[str]:
        """Return the types of the events so far, oldest first."""
        return [event["type"] for event in self.events(*kinds)]

    def invoices(self, subscription: str) -> list[Obj]:
        """Return a subscription's invoices, oldest first."""
        return list(reversed(self.get("invoices", subscription=subscription, limit=100)["data"]))


@pytest.fixture
def stripe() -> Stripe:
    """Return an empty Stripe at 1 January 2026."""
    return Stripe()


def _form(value: Any) -> Any:
    """Return values as a decoded form has them: mappings of strings, arrays by their places."""
    if isinstance(value, Mapping):
        return {key: _form(item) for key, item in value.items()}
    if isinstance(value, list):
        return {str(place): _form(item) for place, item in enumerate(value)}
    return str(value).lower() if isinstance(value, bool) else str(value)
