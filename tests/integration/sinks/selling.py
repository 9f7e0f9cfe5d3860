"""An organization that sells at a simulator, for tests of what follows Stripe."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row
from pydantic import SecretStr

from billing.stripe_objects import read_subscription
from billing.subscription_changes import state
from runtime.settings import PostgresSettings, StripeSettings
from sinks.mirror import Mirror
from sinks.postgres.access import WORKER_ROLE, PostgresAccess
from sinks.stripe.client import StripeGateway

Row = dict[str, Any]
_PRICES = (
    ("weekly", "week", 250),
    ("monthly", "month", 1_000),
    ("yearly", "year", 10_000),
    ("team", "month", 3_000),
)


@dataclass
class Shop:
    """An organization with a plan of two prices, and the worker's way to both sides."""

    postgres_url: str
    postgres: PostgresAccess
    stripe: StripeGateway
    organization_id: str
    mirror: Mirror
    prices: dict[str, str] = field(default_factory=dict)
    product: str = ""

    def rows(self, statement: str, values: Sequence[Any] | Row = ()) -> list[Row]:
        """Ask Postgres as its owner."""
        with psycopg.connect(self.postgres_url, row_factory=dict_row) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def row(self, table: str, stripe_id: str) -> Row:
        """Return the row of an object of Stripe's."""
        column = {"checkouts": "stripe_session_id"}.get(table, f"stripe_{table[:-1]}_id")
        (found,) = self.rows(f"select * from {table} where {column} = %s", [stripe_id])
        return found

    async def customer(self, name: str = "Ada", *, card: str | None = "pm_card_visa") -> tuple[str, str]:
        """Make a customer on both sides, as the API does; returns our id and Stripe's."""
        insert = "insert into customers (organization_id, name) values (%s, %s) returning id::text"
        ours = self.rows(insert, [self.organization_id, name])[0]["id"]
        metadata = {"meterstream_organization": self.organization_id, "meterstream_customer": ours}
        made = await self.stripe.customers.create(f"customer:{ours}", name=name, metadata=metadata)
        if card is not None:
            method = await self.stripe.payment_methods.attach(f"card:{ours}", card, made["id"])
            await self.stripe.payment_methods.set_default(f"default:{ours}", method["id"], made["id"])
        return ours, made["id"]


@asynccontextmanager
async def open_shop(postgres_url: str, stripe: StripeSettings) -> AsyncIterator[Shop]:
    """Give an organization with the plan `pro`: 10.00 a month and 100.00 a year, in dollars and euros."""
    postgres = PostgresAccess(
        PostgresSettings(url=SecretStr(postgres_url), pool_min=0), service="test", role=WORKER_ROLE
    )
    await postgres.open()
    try:
        async with StripeGateway(stripe) as gateway:
            shop = Shop(postgres_url, postgres, gateway, "", Mirror(postgres, gateway))
            made = "insert into organizations (slug, name, effective_positions) values ('acme', 'Acme', '{}')"
            shop.organization_id = shop.rows(made + " returning id::text")[0]["id"]
            await _sell(shop)
            yield shop
    finally:
        await postgres.close()


async def _sell(shop: Shop) -> None:
    shop.product = (await shop.stripe.products.create("product", name="Pro"))["id"]
    for name, interval, amount in _PRICES:
        price = await shop.stripe.prices.create(
            f"price:{name}",
            product=shop.product,
            currency="usd",
            unit_amount=amount,
            recurring={"interval": interval},
            currency_options={"eur": {"unit_amount": amount * 9 // 10}},
        )
        shop.prices[name] = price["id"]
    plan = """
    insert into pricing_plans (organization_id, slug, version, name, state, document, stripe_product_id, stripe_prices)
    values (%s, 'pro', %s, 'Pro', %s, '{}', %s, jsonb_build_object('base', %s::text))
    """
    for number, (name, plan_state) in enumerate((("monthly", "archived"), ("team", "active")), start=1):
        shop.rows(plan, [shop.organization_id, number, plan_state, shop.product, shop.prices[name]])


def plan_of(shop: Shop, row: dict[str, Any]) -> dict[str, Any]:
    (plan,) = shop.rows("select slug, version from pricing_plans where id = %s", [row["plan_id"]])
    return plan


async def subscribe(shop: Shop, customer: str, price: str, *, quantity: int = 1) -> dict[str, Any]:
    items: Any = [{"price": shop.prices[price], "quantity": quantity}]
    made = await shop.stripe.subscriptions.create("subscribe", customer=customer, items=items)
    assert await shop.mirror.look("subscription", made["id"])
    return made


async def state_of(shop: Shop, subscription: str) -> dict[str, Any]:
    return state(read_subscription(shop.row("subscriptions", subscription)["stripe_object"]))
