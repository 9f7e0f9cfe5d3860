"""Which objects an event of Stripe's is about: one table, by type. An event is only the word to look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from sinks.mirror import Kind

Place: TypeAlias = tuple[Kind, str]
"""An object at Stripe."""
_Finder: TypeAlias = Callable[[Mapping[str, Any]], Iterator[Place]]


def _itself(kind: Kind) -> _Finder:
    def find(obj: Mapping[str, Any]) -> Iterator[Place]:
        if isinstance(obj.get("id"), str):  # an invoice that is only announced has none
            yield kind, obj["id"]

    return find


def _named(**fields: Kind) -> _Finder:
    """Find what the fields of an object name, be it by id or whole."""

    def find(obj: Mapping[str, Any]) -> Iterator[Place]:
        for field, kind in fields.items():
            value = obj.get(field)
            stripe_id = value.get("id") if isinstance(value, Mapping) else value
            if isinstance(stripe_id, str):
                yield kind, stripe_id

    return find


def _schedule(obj: Mapping[str, Any]) -> Iterator[Place]:
    """Find the subscription that a schedule changes or has changed."""
    found = list(_named(subscription="subscription", released_subscription="subscription")(obj))
    yield from found or _itself("subscription_schedule")(obj)


def _upcoming(obj: Mapping[str, Any]) -> Iterator[Place]:
    """Find the subscription of an invoice that is only announced, and has no id yet."""
    details = (obj.get("parent") or {}).get("subscription_details") or {}
    yield from _named(subscription="subscription")(details)


def _nothing(obj: Mapping[str, Any]) -> Iterator[Place]:
    yield from ()


_CUSTOMERS: Final = _named(customer="customer")
_PAYMENTS: Final = _named(payment_intent="payment_intent")
ROUTES: Final[dict[str, _Finder]] = {
    "checkout.session.": _itself("checkout_session"),
    "customer.": _itself("customer"),
    # A code is redeemed with each discount that it gives.
    "customer.discount.": _named(customer="customer", subscription="subscription", promotion_code="promotion_code"),
    "customer.source.": _CUSTOMERS,
    "customer.subscription.": _itself("subscription"),
    "customer.tax_id.": _CUSTOMERS,
    "customer_cash_balance_transaction.": _CUSTOMERS,
    "subscription_schedule.": _schedule,
    "invoice.": _itself("invoice"),
    "invoice.upcoming": _upcoming,
    "invoice_payment.": _named(invoice="invoice"),
    "payment_method.": _itself("payment_method"),
    "setup_intent.": _named(payment_method="payment_method", customer="customer"),
    "payment_intent.": _named(payment_method="payment_method", customer="customer"),
    "promotion_code.": _itself("promotion_code"),
    # A dispute names no customer, and a refund neither.
    "charge.refunded": _named(payment_intent="payment_intent", customer="customer"),
    "charge.refund.": _PAYMENTS,
    "charge.dispute.": _PAYMENTS,
    "refund.": _PAYMENTS,
    # Plans are ours, and Stripe follows them; but what it charges may be changed there.
    "price.updated": _itself("price"),
    "price.": _nothing,
    "product.": _nothing,
    # Read by what reports usage.
    "v1.billing.meter.": _nothing,
}
"""By the beginning of a type, the longest first; what begins like none of these is not followed."""

_LONGEST_FIRST: Final = sorted(ROUTES, key=len, reverse=True)


def places_of(event: Mapping[str, Any]) -> list[Place] | None:
    """Return what to look at: perhaps nothing; None for a type that nothing here follows."""
    route = next((start for start in _LONGEST_FIRST if str(event["type"]).startswith(start)), None)
    if route is None:
        return None
    obj = (event.get("data") or {}).get("object")
    if not isinstance(obj, Mapping):
        return []
    return list(ROUTES[route](obj))
