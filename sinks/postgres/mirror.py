"""What Stripe decides, written to Postgres: a state is applied only on the version read before Stripe was asked.

Each `apply_…` belongs into a transaction of its own, and returns None where the version has moved meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from billing.stripe_objects import (
    CheckoutFacts,
    CustomerFacts,
    InvoiceFacts,
    PaidBackFacts,
    PaymentMethodFacts,
    SubscriptionFacts,
    read_subscription,
)
from billing.subscription_changes import ChangeLine, describe
from sinks.postgres.leases import actor_of
from sinks.postgres.queries import load

MirroredKind: TypeAlias = Literal["customer", "payment_method", "subscription", "invoice", "checkout_session"]

_SQL = load("mirror")
_JSON: Final = msgspec.json.Encoder(decimal_format="number")
_OF_ELSEWHERE: Final = ("stripe_customer_id", "stripe_subscription_id", "lines")
Row: TypeAlias = dict[str, Any]


class UnknownOwner(Exception):
    """The object hangs from one that we do not have yet; look at that first."""

    def __init__(self, kind: Literal["customer", "subscription"], stripe_id: str) -> None:
        super().__init__(f"{kind} {stripe_id}")
        self.kind: Literal["customer", "subscription"] = kind
        self.stripe_id = stripe_id


@dataclass(frozen=True, slots=True)
class Found:
    """Our row of an object of Stripe's."""

    id: str
    organization_id: str
    version: int


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of it."""

    id: str
    version: int
    created: bool = False


@dataclass(frozen=True, slots=True)
class Author:
    """Who made a change, why, and when it was seen; no actor: who holds what changed, else Stripe by itself."""

    actor: str | None
    reason: str | None
    at: datetime


async def find(connection: AsyncConnection, kind: MirroredKind, stripe_id: str) -> Found | None:
    """Return our row of an object, None if there is none or it is not for these eyes."""
    row = await _one(connection, f"find_{kind}", {"stripe_id": stripe_id})
    return None if row is None else Found(**row)


async def link_customer(connection: AsyncConnection, facts: CustomerFacts) -> bool:
    """Note which customer of Stripe's is ours, by its metadata; False: none."""
    return await _one(connection, "link_customer", asdict(facts)) is not None


async def link_checkout(connection: AsyncConnection, facts: CheckoutFacts) -> bool:
    """Note which session of Stripe's is ours, by its metadata; False: none."""
    return await _one(connection, "link_checkout", asdict(facts)) is not None


async def apply_customer(connection: AsyncConnection, facts: CustomerFacts, *, version: int) -> Applied | None:
    """Write a customer, and which payment method is the default."""
    theirs = {"address": _jsonb(facts.address), "tax_ids": _jsonb(facts.tax_ids)}
    values = {**asdict(facts), **theirs, "version": version}
    row = await _one(connection, "apply_customer", values)
    if row is None:
        return None
    default = {"customer_id": row["id"], "default_payment_method": facts.default_payment_method}
    await connection.execute(_SQL["apply_default"], default)
    return Applied(**row)


async def apply_payment_method(
    connection: AsyncConnection, facts: PaymentMethodFacts, *, version: int | None
) -> Applied | None:
    """Write a payment method. Raises: UnknownOwner."""
    values = {**asdict(facts), "version": version}
    if facts.stripe_customer_id is None:
        row = await _one(connection, "detach_payment_method", values)
        return None if row is None else Applied(**row)
    owner = await _lock_owner(connection, facts.stripe_customer_id)
    values |= {
        "organization_id": owner["organization_id"],
        "customer_id": owner["id"],
        "is_default": owner["stripe_default_payment_method_id"] == facts.stripe_payment_method_id,
    }
    row = await _one(connection, "insert_payment_method" if version is None else "update_payment_method", values)
    return None if row is None else Applied(**row, created=version is None)


async def stored_subscription(connection: AsyncConnection, stripe_id: str) -> Row:
    """Return a subscription that was found, as Stripe sent it last."""
    row = await _one(connection, "held_subscription", {"stripe_subscription_id": stripe_id})
    assert row is not None  # rows of subscriptions are never deleted
    return _from_json(row["stripe_object"])


async def subscriptions_of_price(connection: AsyncConnection, price: str, *, limit: int) -> list[str]:
    """Return, by Stripe's ids, which living subscriptions pay a price, the newest first."""
    values = {"price": price, "limit": limit}
    found = await connection.execute(_SQL["subscriptions_of_price"], values)
    return [row[0] for row in await found.fetchall()]


async def apply_subscription(
    connection: AsyncConnection, obj: Mapping[str, Any], *, version: int | None, author: Author
) -> Applied | None:
    """Write a subscription, the lines of its history and the outbox. Raises: UnknownOwner."""
    facts = read_subscription(obj)
    owner = await _lock_owner(connection, facts.stripe_customer_id)
    held = await _one(connection, "held_subscription", {"stripe_subscription_id": facts.stripe_subscription_id})
    if (None if held is None else held["version"]) != version:
        return None
    before = None if held is None else read_subscription(_from_json(held["stripe_object"]))
    values = {
        **{name: getattr(facts, name) for name in SubscriptionFacts.__slots__},
        "organization_id": owner["organization_id"],
        "customer_id": owner["id"],
        "plan_id": await _plan(connection, facts, owner["organization_id"], held),
        "stripe_object": _jsonb(obj),
    }
    row = await _one(connection, "insert_subscription" if held is None else "update_subscription", values)
    assert row is not None  # the customer is locked, and the row with it
    author = _known(author, owner if held is None else held)
    lines = describe(before, facts, at=author.at)
    if before is not None and held is not None and before.items == facts.items:
        lines += await _version_line(connection, held["plan_id"], values["plan_id"], author.at)
    for line in lines:
        await connection.execute(_SQL["insert_change"], _change(line, values, row, author))
    # Stripe's object also differs by what nobody is shown, such as the mark of a request that changed nothing.
    if held is None or lines or held["plan_id"] != values["plan_id"]:
        kind = "subscription.created" if held is None else "subscription.updated"
        await _announce(connection, values, kind, _subscription_payload(values, row, lines, author))
    return Applied(**row, created=held is None)


async def apply_invoice(
    connection: AsyncConnection, facts: InvoiceFacts, *, version: int | None, paid_back: PaidBackFacts | None = None
) -> Applied | None:
    """Write an invoice, its lines and the outbox; without `paid_back` that stays as it is. Raises: UnknownOwner."""
    owner = await _lock_owner(connection, facts.stripe_customer_id)
    held = await _one(connection, "held_invoice", {"stripe_invoice_id": facts.stripe_invoice_id})
    if (None if held is None else held["version"]) != version:
        return None
    told = {name: getattr(facts, name) for name in InvoiceFacts.__slots__ if name not in _OF_ELSEWHERE}
    told["subscription_id"] = await _subscription_id(connection, facts)
    for name, value in asdict(paid_back or PaidBackFacts()).items():
        told[name] = value if held is None or paid_back is not None else held[name]
    values = {**told, "organization_id": owner["organization_id"], "customer_id": owner["id"]}
    row = await _one(connection, "insert_invoice" if held is None else "update_invoice", values)
    assert row is not None  # the customer is locked, and the row with it
    same_lines = await _rewrite_lines(connection, facts, {**values, "invoice_id": row["id"]})
    if held is None or not same_lines or any(held[name] != value for name, value in told.items()):
        kind = "invoice.created" if held is None else "invoice.updated"
        await _announce(connection, values, kind, _invoice_payload(values, row))
    return Applied(**row, created=held is None)


async def apply_deleted_invoice(connection: AsyncConnection, stripe_id: str, *, version: int) -> Applied | None:
    """Note that a draft was deleted at Stripe."""
    await connection.execute(_SQL["lock_customer_of_invoice"], {"stripe_id": stripe_id})
    held = await _one(connection, "held_invoice", {"stripe_invoice_id": stripe_id})
    if held is None or held["version"] != version:
        return None
    row = await _one(connection, "delete_invoice", {"stripe_id": stripe_id})
    assert row is not None  # it is locked
    if held["deleted_at"] is None:
        payload = {"invoice_id": row["id"], "stripe_invoice_id": stripe_id, "version": row["version"]}
        await _announce(connection, row, "invoice.deleted", payload)
    return Applied(row["id"], row["version"])


async def apply_checkout(connection: AsyncConnection, facts: CheckoutFacts, *, version: int) -> Applied | None:
    """Write what became of a checkout. Raises: UnknownOwner."""
    values = {**asdict(facts), "version": version, "subscription_id": await _subscription_id(connection, facts)}
    row = await _one(connection, "apply_checkout", values)
    return None if row is None else Applied(**row)


async def apply_redemptions(connection: AsyncConnection, stripe_id: str, redemptions: int) -> bool:
    """Write how often a discount code was redeemed; False: it is no code of ours."""
    values = {"stripe_id": stripe_id, "redemptions": redemptions}
    return await _one(connection, "apply_redemptions", values) is not None


async def _lock_owner(connection: AsyncConnection, stripe_customer_id: str) -> Row:
    owner = await _one(connection, "lock_customer", {"stripe_customer_id": stripe_customer_id})
    if owner is None:
        raise UnknownOwner("customer", stripe_customer_id)
    return owner


async def _subscription_id(connection: AsyncConnection, facts: InvoiceFacts | CheckoutFacts) -> str | None:
    if facts.stripe_subscription_id is None:
        return None
    found = await find(connection, "subscription", facts.stripe_subscription_id)
    if found is None:
        raise UnknownOwner("subscription", facts.stripe_subscription_id)
    return found.id


async def _plan(
    connection: AsyncConnection, facts: SubscriptionFacts, organization_id: str, held: Row | None
) -> str | None:
    """Return the plan version of what is subscribed to; None: of prices that no plan of ours knows."""
    row = await _one(
        connection,
        "find_plan",
        {
            "organization_id": organization_id,
            "products": [item.product for item in facts.items],
            "prices": [item.price for item in facts.items],
            "named": facts.named_plan_id,
            "held": None if held is None else held["plan_id"],
        },
    )
    return None if row is None else row["id"]


async def _version_line(
    connection: AsyncConnection, before: str | None, after: str | None, at: datetime
) -> list[ChangeLine]:
    """Return what the history says of another version with the same prices, which Stripe's object does not tell."""
    if before is None or after is None or before == after:
        return []
    old, new = [await _one(connection, "plan_version", {"id": each}) for each in (before, after)]
    assert new is not None
    return [ChangeLine("plan_changed", old, new, 0, at)]


async def _rewrite_lines(connection: AsyncConnection, facts: InvoiceFacts, values: Row) -> bool:
    """Replace the lines of an invoice; True: they were these already."""
    lines = [asdict(line) for line in facts.lines]
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["held_lines"], values)
        if await cursor.fetchall() == lines:
            return True
        await cursor.execute(_SQL["delete_lines"], values)
        owner = {name: values[name] for name in ("invoice_id", "organization_id", "customer_id")}
        await cursor.executemany(_SQL["insert_line"], [{**line, **owner} for line in lines])
    return False


async def _announce(connection: AsyncConnection, owner: Row, kind: str, payload: Row) -> None:
    values = {"organization_id": owner["organization_id"], "customer_id": owner["customer_id"], "kind": kind}
    await connection.execute(_SQL["insert_outbox"], {**values, "payload": _jsonb(payload)})


def _known(author: Author, row: Row) -> Author:
    """Return who made a change: at times Stripe's event is quicker than its answer to who asked for it."""
    if author.actor is not None:
        return author
    if row["holder"] is None:
        return replace(author, actor="stripe")
    return replace(author, actor=actor_of(row["holder"]), reason=author.reason or row["changing_reason"])


def _change(line: ChangeLine, values: Row, row: Row, author: Author) -> Row:
    return {
        "organization_id": values["organization_id"],
        "customer_id": values["customer_id"],
        "subscription_id": row["id"],
        "version": row["version"],
        "kind": line.kind,
        "before": _jsonb(line.before),
        "after": _jsonb(line.after),
        "actor": author.actor,
        "reason": author.reason,
        "effective_at": line.effective_at,
        "mrr_delta_minor": line.mrr_delta_minor,
        "currency": values["currency"],
    }


def _subscription_payload(values: Row, row: Row, lines: Sequence[ChangeLine], author: Author) -> Row:
    return {
        "subscription_id": row["id"],
        "stripe_subscription_id": values["stripe_subscription_id"],
        "version": row["version"],
        "status": values["status"],
        "plan_id": values["plan_id"],
        "quantity": values["quantity"],
        "currency": values["currency"],
        "mrr_minor": values["mrr_minor"],
        "changes": [
            {
                "kind": line.kind,
                "from": line.before,
                "to": line.after,
                "mrr_delta_minor": line.mrr_delta_minor,
                "effective_at": line.effective_at,
                "actor": author.actor,
                "reason": author.reason,
            }
            for line in lines
        ],
    }


def _invoice_payload(values: Row, row: Row) -> Row:
    shown = ("stripe_invoice_id", "subscription_id", "number", "status", "billing_reason", "currency", "total_minor",
             "amount_due_minor", "amount_paid_minor", "amount_remaining_minor", "amount_refunded_minor",
             "dispute_status", "next_payment_attempt")  # fmt: skip
    return {"invoice_id": row["id"], "version": row["version"], **{name: values[name] for name in shown}}


async def _one(connection: AsyncConnection, statement: str, values: Mapping[str, Any]) -> Row | None:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL[statement], values)
        return await cursor.fetchone()


def _jsonb(value: Any) -> Jsonb | None:
    return None if value is None else Jsonb(value, dumps=_dumps)


def _dumps(value: Any) -> bytes:
    return _JSON.encode(value)


def _from_json(text: str | bytes) -> Row:
    found: Row = json.loads(text, parse_float=Decimal)
    return found
