"""Subscriptions and their history as the API reads them. What Stripe decides, `mirror` writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import class_row

from billing.periods import Cycle, Interval
from billing.subscriptions import Status
from runtime.errors import NotFoundError
from sinks.postgres.access import Access, PostgresAccess
from sinks.postgres.listing import NEWEST, Listing, Order
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all

_SQL: Final = load("subscriptions")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """A subscription as last applied."""

    id: str
    organization_id: str
    customer_id: str
    plan_id: str | None
    plan_slug: str | None
    plan_version: int | None
    plan_name: str | None
    stripe_subscription_id: str
    status: str
    currency: str
    billing_cycle: str
    quantity: int
    current_period_start: datetime
    current_period_end: datetime
    trial_start: datetime | None
    trial_end: datetime | None
    cancel_at_period_end: bool
    cancel_at: datetime | None
    canceled_at: datetime | None
    ended_at: datetime | None
    cancellation_reason: str | None
    cancellation_comment: str | None
    pause_behavior: str | None
    pause_resumes_at: datetime | None
    mrr_minor: int
    schedule: Any
    """Stripe's schedule: the object, its id, or nothing."""
    request_mark: str | None
    """What the last request of ours that changed it left there."""
    latest_invoice: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def state(self) -> Status:
        """Return its status."""
        return Status(self.status)

    @property
    def ended(self) -> bool:
        """Say whether nothing can happen to it any more."""
        return self.state in (Status.CANCELED, Status.INCOMPLETE_EXPIRED)


@dataclass(frozen=True, slots=True)
class ItemRow:
    """What is paid for: a price at Stripe; `quantity` is None for a metered one."""

    id: str
    price: str
    quantity: int | None
    licensed: bool
    interval: str
    interval_count: int

    @property
    def cycle(self) -> Cycle:
        """Return how often it is billed."""
        return Cycle(Interval(self.interval), self.interval_count)


@dataclass(frozen=True, slots=True)
class PricedPlan:
    """A plan version, and its prices at Stripe."""

    id: str
    slug: str
    version: int
    name: str
    prices: list[str]
    intervals: dict[str, tuple[str, int]]
    """How often each price is billed."""

    def cycle(self, prices: Iterable[str]) -> Cycle | None:
        """Return how often prices of its are billed, which are bought together and so have one interval."""
        found = next((self.intervals[price] for price in prices if price in self.intervals), None)
        return found and Cycle(Interval(found[0]), found[1])


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A line of a subscription's history."""

    id: int
    kind: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    actor: str
    reason: str | None
    effective_at: datetime
    recorded_at: datetime
    mrr_delta_minor: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionFilters:
    """What a list is narrowed by."""

    organization_id: str | None = None
    customers: Sequence[str] | None = None
    status: Sequence[str] | None = None
    plan_id: str | None = None
    plan_slug: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeFilters:
    """What a history is narrowed by."""

    kinds: Sequence[str] | None = None
    since: datetime | None = None
    """Recorded then or later."""
    until: datetime | None = None
    """Recorded before."""


EVERY_CHANGE: Final = ChangeFilters()


async def find_subscription(connection: AsyncConnection, subscription_id: str) -> SubscriptionRow:
    """Return a subscription. Raises: NotFoundError."""
    with translated_errors():
        async with connection.cursor(row_factory=class_row(SubscriptionRow)) as cursor:
            await cursor.execute(_SQL["find"], {"id": subscription_id})
            return _found(await cursor.fetchone(), subscription_id)


async def read_subscription(postgres: PostgresAccess, access: Access, subscription_id: str) -> SubscriptionRow:
    """Return a subscription, in one round trip. Raises: NotFoundError."""
    rows = await postgres.ask(access, _SQL["find"], {"id": subscription_id}, SubscriptionRow)
    return _found(rows[0] if rows else None, subscription_id)


async def find_subscription_at_stripe(connection: AsyncConnection, stripe_id: str) -> SubscriptionRow:
    """Return the subscription that Stripe calls so. Raises: NotFoundError."""
    with translated_errors():
        found = await (await connection.execute(_SQL["find_by_stripe_id"], {"stripe_id": stripe_id})).fetchone()
    return await find_subscription(connection, _found(found, stripe_id)[0])


async def list_subscriptions(
    connection: AsyncConnection,
    filters: SubscriptionFilters,
    listing: Listing = NEWEST,
) -> list[SubscriptionRow]:
    """Return a page of subscriptions, by when they began."""
    values = {
        "organization_id": filters.organization_id,
        "customers": None if filters.customers is None else list(filters.customers),
        "status": None if filters.status is None else list(filters.status),
        "plan_id": filters.plan_id,
        "plan_slug": filters.plan_slug,
        **listing.values(),
    }
    with translated_errors():
        # Never prepared: a plan for any filters would use the index of none.
        cursor = await connection.execute(_SQL[listing.statement], values, prepare=False)
        values = {"ids": [row[0] for row in await cursor.fetchall()]}
        async with connection.cursor(row_factory=class_row(SubscriptionRow)) as rows:
            await rows.execute(_SQL["find_all"], values)
            return await rows.fetchall()


async def list_items(connection: AsyncConnection, subscription_id: str) -> list[ItemRow]:
    """Return what a subscription pays for."""
    return await fetch_all(connection, ItemRow, _SQL["items"], {"id": subscription_id})


async def plans_of_prices(
    connection: AsyncConnection, prices: Sequence[str], *, organization_id: str
) -> list[PricedPlan]:
    """Return the plan versions that any of Stripe's prices belong to, the newest first."""
    values = {"prices": list(prices), "organization_id": organization_id}
    return await fetch_all(connection, PricedPlan, _SQL["plans_of_prices"], values)


async def had_product(
    connection: AsyncConnection, *, customer_id: str, stripe_product_id: str, except_mark: str | None = None
) -> bool:
    """Say whether a customer, or one that their user was before, ever subscribed to a product.

    What the request with the mark `except_mark` began does not count.
    """
    values = {"customer_id": customer_id, "stripe_product_id": stripe_product_id, "except_mark": except_mark}
    with translated_errors():
        found = await (await connection.execute(_SQL["had_product"], values)).fetchone()
    return bool(found and found[0])


async def list_changes(
    connection: AsyncConnection,
    subscription_id: str,
    filters: ChangeFilters = EVERY_CHANGE,
    *,
    order: Order = "newest",
    after: int | None = None,
    limit: int = 100,
) -> list[ChangeRow]:
    """Return the history of a subscription, those lines after the line of id `after`."""
    values = {
        "subscription_id": subscription_id,
        "kinds": None if filters.kinds is None else list(filters.kinds),
        "since": filters.since,
        "until": filters.until,
        "after_id": after,
        "limit": limit,
    }
    return await fetch_all(connection, ChangeRow, _SQL[f"changes_{order}"], values)


def _found(row: T | None, subscription_id: str) -> T:
    if row is None:
        raise NotFoundError(f"No subscription {subscription_id}.", code="SUBSCRIPTION_NOT_FOUND")
    return row
