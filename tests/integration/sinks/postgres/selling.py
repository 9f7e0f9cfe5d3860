"""Rows of what is sold, written as the owner of the tables: for tests of how they are read."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
from psycopg.types.json import Jsonb

BEGAN_AT = datetime(2026, 9, 1, tzinfo=UTC)


class SellingRows:
    """Writes rows, and returns their ids."""

    def __init__(self, url: str) -> None:
        self._url = url

    def organization(self, slug: str) -> str:
        """Write an organization."""
        return self._insert(
            "insert into organizations (slug, name, effective_positions) values (%s, %s, %s) returning id",
            slug,
            slug,
            [0],
        )

    def plan(self, organization: str, slug: str, prices: dict[str, str], *, version: int = 1) -> str:
        """Write an active plan."""
        return self._insert(
            "insert into pricing_plans (organization_id, slug, version, name, state, document, stripe_product_id,"
            " stripe_prices) values (%s, %s, %s, %s, %s, '{}', 'prod_1', %s) returning id",
            organization,
            slug,
            version,
            slug.title(),
            "active" if version == 1 else "archived",
            Jsonb(prices),
        )

    def customer(self, organization: str, user: str | None = None) -> str:
        """Write a customer."""
        return self._insert(
            "insert into customers (organization_id, user_id, stripe_customer_id) values (%s, %s, %s) returning id",
            organization,
            user,
            f"cus_{uuid.uuid4().hex}",
        )

    def subscription(
        self, organization: str, customer: str, plan: str, *, days: int = 0, status: str = "active", **obj: Any
    ) -> str:
        """Write a subscription that began so many days after the first."""
        at = BEGAN_AT + timedelta(days=days)
        return self._insert(
            "insert into subscriptions (organization_id, customer_id, plan_id, stripe_subscription_id, status,"
            " currency, billing_cycle, quantity, current_period_start, current_period_end, stripe_object, created_at)"
            " values (%s, %s, %s, %s, %s, 'usd', 'month', 1, %s, %s, %s, %s) returning id",
            organization,
            customer,
            plan,
            f"sub_{uuid.uuid4().hex}",
            status,
            at,
            at + timedelta(days=30),
            Jsonb(obj),
            at,
        )

    def change(self, organization: str, customer: str, subscription: str, kind: str) -> str:
        """Write a line of history."""
        return self._insert(
            "insert into subscription_changes (organization_id, customer_id, subscription_id, kind, version, actor,"
            " effective_at, currency) values (%s, %s, %s, %s, 1, 'key ms_1…', now(), 'usd') returning id",
            organization,
            customer,
            subscription,
            kind,
        )

    def invoice(
        self, organization: str, customer: str, subscription: str, *, days: int = 0, status: str = "paid"
    ) -> str:
        """Write an invoice of 9.00 with two lines."""
        invoice = self._insert(
            "insert into invoices (organization_id, customer_id, subscription_id, stripe_invoice_id, status, currency,"
            " subtotal_minor, total_minor, amount_due_minor, amount_paid_minor, amount_remaining_minor, created_at)"
            " values (%s, %s, %s, %s, %s, 'usd', 900, 900, 900, 900, 0, %s) returning id",
            organization,
            customer,
            subscription,
            f"in_{uuid.uuid4().hex}",
            status,
            BEGAN_AT + timedelta(days=days),
        )
        for position, amount in enumerate((400, 500)):
            self._insert(
                "insert into invoice_lines (invoice_id, stripe_line_id, position, organization_id, customer_id,"
                " amount_minor, period_start, period_end) values (%s, %s, %s, %s, %s, %s, now(), now())"
                " returning invoice_id",
                invoice,
                f"il_{position}",
                position,
                organization,
                customer,
                amount,
            )
        return invoice

    def value(self, statement: LiteralString, *values: object) -> Any:
        """Return the first value that a statement finds."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            row = connection.execute(statement, values).fetchone()
        return row[0] if row else None

    def _insert(self, statement: LiteralString, *values: object) -> str:
        return str(self.value(statement, *values))
