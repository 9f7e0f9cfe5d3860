"""The mirror: Postgres follows Stripe, and never goes backwards.

An event, or a write of our own, only says: look at this object. A look reads our row's version, asks Stripe for the
object as it is now, and applies it if the version is still the same; otherwise it begins again. So a state that was
fetched can never overwrite one that was fetched later, and no lock is held while Stripe is asked. For that every look
raises the version, also one that finds nothing new.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from billing.monthly import lacks_amounts
from billing.stripe_objects import (
    ENDED,
    PaidBackFacts,
    read_checkout_session,
    read_customer,
    read_invoice,
    read_paid_back,
    read_payment_method,
)
from runtime.clock import Clock, utc_now
from runtime.errors import NotFoundError, Transient
from sinks.postgres import mirror
from sinks.postgres.access import Access, PostgresAccess
from sinks.postgres.mirror import Applied, Author, Found, MirroredKind, UnknownOwner
from sinks.stripe.calls import Json
from sinks.stripe.client import StripeGateway

Kind: TypeAlias = Literal[
    "customer",
    "subscription",
    "invoice",
    "payment_intent",
    "payment_method",
    "checkout_session",
    "subscription_schedule",
    "price",
    "promotion_code",
]
_EXPAND: Final = ["schedule", "items.data.price.tiers", "items.data.price.currency_options"]
# Of one price, and how many side by side. Whoever else pays it is looked at when renewed.
_MOST_OF_PRICE: Final = 200
_AT_ONCE: Final = 8
# Others move the version as often as they look at the same object; nobody does so twenty times in a row.
_MOST_TRIES: Final = 20


class _Outcome(enum.Enum):
    DONE = enum.auto()
    NOT_OURS = enum.auto()
    AGAIN = enum.auto()


@dataclass(frozen=True, slots=True)
class _Look:
    stripe_id: str
    access: Access
    author: Author
    at_charges: bool = False
    """Of an invoice: also at what was taken back of its payments, which the invoice itself does not say."""


class Mirror:
    """Looks at objects. In a worker `access` says nothing; the API names the organization whose object it is."""

    def __init__(self, postgres: PostgresAccess, stripe: StripeGateway, *, clock: Clock = utc_now) -> None:
        self._postgres = postgres
        self._stripe = stripe
        self._clock = clock
        self._lookers: dict[Kind, Callable[[_Look], Awaitable[_Outcome]]] = {
            "customer": self._customer,
            "subscription": self._subscription,
            "invoice": self._invoice,
            "payment_intent": self._payment_intent,
            "payment_method": self._payment_method,
            "checkout_session": self._checkout_session,
            "subscription_schedule": self._schedule,
            "price": self._price,
            "promotion_code": self._promotion_code,
        }

    async def look(
        self,
        kind: Kind,
        stripe_id: str,
        *,
        actor: str | None = None,
        reason: str | None = None,
        access: Access | None = None,
        at: datetime | None = None,
    ) -> bool:
        """Bring our row of an object to what Stripe says now; False: it is no object of a customer of ours.

        `actor`, `reason` and `at` are for the history; without an actor it names who holds a lease on what changed,
        else `stripe`. Raises: Unavailable (a store or Stripe is down), StripeAPIError.
        """
        author = Author(actor, reason, at or self._clock())
        return await self._until_applied(kind, _Look(stripe_id, access or Access(), author))

    async def _until_applied(self, kind: Kind, look: _Look) -> bool:
        for _ in range(_MOST_TRIES):
            try:
                outcome = await self._lookers[kind](look)
            except UnknownOwner as missing:
                # Its customer or subscription is not here yet, or is not ours: look at that first.
                owned = await self._until_applied(missing.kind, _Look(missing.stripe_id, look.access, look.author))
                outcome = _Outcome.AGAIN if owned else _Outcome.NOT_OURS
            if outcome is not _Outcome.AGAIN:
                return outcome is _Outcome.DONE
        raise Transient(f"{kind} {look.stripe_id} is changed by others all the time; try again later.")

    async def _customer(self, look: _Look) -> _Outcome:
        found = await self._find("customer", look)
        obj = await self._ask(lambda id_: self._stripe.customers.get(id_, expand=["tax_ids"]), look) or _deleted(look)
        tax_ids = obj.get("tax_ids") or {"data": [], "has_more": False}
        listed = tax_ids["data"]
        if tax_ids["has_more"]:
            listed = [each async for each in self._stripe.tax_ids.each(look.stripe_id)]
        facts = read_customer(obj, listed)
        async with self._postgres.acting(look.access) as connection:
            if found is not None:
                return _outcome(await mirror.apply_customer(connection, facts, version=found.version))
            if facts.customer_id is None or facts.organization_id is None:
                return _Outcome.NOT_OURS
            return _Outcome.AGAIN if await mirror.link_customer(connection, facts) else _Outcome.NOT_OURS

    async def _payment_method(self, look: _Look) -> _Outcome:
        found = await self._find("payment_method", look)
        obj = await self._ask(self._stripe.payment_methods.get, look)
        if found is None and (obj is None or obj["customer"] is None):
            return _Outcome.NOT_OURS
        facts = read_payment_method(obj or {"id": look.stripe_id, "type": "unknown", "customer": None})
        version = None if found is None else found.version
        async with self._postgres.acting(look.access) as connection:
            return _seen_twice(await mirror.apply_payment_method(connection, facts, version=version))

    async def _subscription(self, look: _Look) -> _Outcome:
        found = await self._find("subscription", look)
        obj = await self._ask(lambda id_: self._stripe.subscriptions.get(id_, expand=_EXPAND), look)
        if obj is None and found is None:
            return _Outcome.NOT_OURS
        if obj is None:
            async with self._postgres.acting(look.access) as connection:
                stored = await mirror.stored_subscription(connection, look.stripe_id)
            obj = _vanished(stored, look.author.at)
        await self._complete(obj)
        version = None if found is None else found.version
        async with self._postgres.acting(look.access) as connection:
            return _outcome(await mirror.apply_subscription(connection, obj, version=version, author=look.author))

    async def _invoice(self, look: _Look) -> _Outcome:
        found = await self._find("invoice", look)
        obj = await self._ask(self._stripe.invoices.get, look)
        if obj is None:
            if found is None:
                return _Outcome.NOT_OURS
            async with self._postgres.acting(look.access) as connection:
                gone = mirror.apply_deleted_invoice(connection, look.stripe_id, version=found.version)
                return _outcome(await gone)
        if obj["customer"] is None:
            return _Outcome.NOT_OURS
        lines = obj["lines"]["data"]
        if obj["lines"]["has_more"]:
            lines = [line async for line in self._stripe.invoices.lines(look.stripe_id)]
        facts = read_invoice(obj, lines)
        paid_back = await self._paid_back(look.stripe_id) if look.at_charges else None
        version = None if found is None else found.version
        async with self._postgres.acting(look.access) as connection:
            applied = await mirror.apply_invoice(connection, facts, version=version, paid_back=paid_back)
            return _seen_twice(applied) if facts.status == "draft" else _outcome(applied)

    async def _payment_intent(self, look: _Look) -> _Outcome:
        """Look at the invoices that a payment was for: something was taken back of it."""
        invoices = dict.fromkeys([paid["invoice"] async for paid in self._stripe.invoices.paid_by(look.stripe_id)])
        looks = [replace(look, stripe_id=invoice, at_charges=True) for invoice in invoices]
        owned = [await self._until_applied("invoice", each) for each in looks]
        return _Outcome.DONE if any(owned) else _Outcome.NOT_OURS

    async def _paid_back(self, invoice: str) -> PaidBackFacts:
        charges, disputes = list[Json](), list[Json]()
        async for paid in self._stripe.invoices.payments(invoice):
            if intent := paid["payment"].get("payment_intent"):
                charges += [each async for each in self._stripe.charges.of_payment(intent)]
                disputes += [each async for each in self._stripe.charges.disputes_of_payment(intent)]
        return read_paid_back(charges, disputes)

    async def _checkout_session(self, look: _Look) -> _Outcome:
        found = await self._find("checkout_session", look)
        obj = await self._ask(self._stripe.checkout.get, look)
        if obj is None:
            return _Outcome.NOT_OURS
        facts = read_checkout_session(obj)
        async with self._postgres.acting(look.access) as connection:
            if found is not None:
                return _outcome(await mirror.apply_checkout(connection, facts, version=found.version))
            if facts.checkout_id is None:
                return _Outcome.NOT_OURS
            return _Outcome.AGAIN if await mirror.link_checkout(connection, facts) else _Outcome.NOT_OURS

    async def _schedule(self, look: _Look) -> _Outcome:
        """Look at the subscription that it changes, which holds its schedule."""
        obj = await self._ask(self._stripe.subscription_schedules.get, look)
        subscription = obj and (obj["subscription"] or obj["released_subscription"])
        if not subscription:
            return _Outcome.NOT_OURS
        owned = await self._until_applied("subscription", _Look(subscription, look.access, look.author))
        return _Outcome.DONE if owned else _Outcome.NOT_OURS

    async def _price(self, look: _Look) -> _Outcome:
        """Look at the subscriptions that pay it: what a price costs may change, and they have no event of that."""
        async with self._postgres.acting(look.access) as connection:
            found = await mirror.subscriptions_of_price(connection, look.stripe_id, limit=_MOST_OF_PRICE)
        for start in range(0, len(found), _AT_ONCE):
            looks = [_Look(each, look.access, look.author) for each in found[start : start + _AT_ONCE]]
            outcomes = await asyncio.gather(
                *(self._until_applied("subscription", each) for each in looks), return_exceptions=True
            )
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
        return _Outcome.DONE

    async def _promotion_code(self, look: _Look) -> _Outcome:
        """Follow how often a code was redeemed. The count never falls, so an older answer changes nothing."""
        obj = await self._ask(self._stripe.promotion_codes.get, look)
        if obj is None:
            return _Outcome.NOT_OURS
        async with self._postgres.acting(look.access) as connection:
            known = await mirror.apply_redemptions(connection, look.stripe_id, int(obj["times_redeemed"]))
        return _Outcome.DONE if known else _Outcome.NOT_OURS

    async def _find(self, kind: MirroredKind, look: _Look) -> Found | None:
        async with self._postgres.acting(look.access) as connection:
            return await mirror.find(connection, kind, look.stripe_id)

    async def _ask(self, get: Callable[[str], Awaitable[Json]], look: _Look) -> Json | None:
        """Return the object as it is now; None: Stripe has none, or it was deleted."""
        try:
            obj = await get(look.stripe_id)
        except NotFoundError:
            return None
        return None if obj.get("deleted") else obj

    async def _complete(self, subscription: Json) -> None:
        """Add what Stripe leaves out: amounts of tiered prices in other currencies, which it shows with the price."""
        currency = subscription["currency"]
        for item in subscription["items"]["data"]:
            if lacks_amounts(item["price"], currency):
                expand: Any = ["tiers", "currency_options", f"currency_options.{currency}.tiers"]
                item["price"] = await self._stripe.prices.get(item["price"]["id"], expand=expand)


def _deleted(look: _Look) -> Json:
    return {"id": look.stripe_id, "deleted": True}


def _vanished(stored: Json, at: datetime) -> Json:
    """Return a subscription that Stripe knows no more as one that has ended: when we first saw it, if not before."""
    if stored["status"] in ENDED:
        return stored
    return {**stored, "status": "canceled", "ended_at": int(at.timestamp())}


def _outcome(applied: Applied | None) -> _Outcome:
    return _Outcome.AGAIN if applied is None else _Outcome.DONE


def _seen_twice(applied: Applied | None) -> _Outcome:
    """Look again at what is new to us and can disappear: one who saw it gone before found nothing to note that on."""
    return _Outcome.AGAIN if applied is None or applied.created else _Outcome.DONE
