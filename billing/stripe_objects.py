"""Stripe's objects in our columns: what the mirror writes to Postgres. Pure; an object comes as Stripe sent it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

from billing.monthly import ItemFacts, monthly_minor, read_items

Json: TypeAlias = Mapping[str, Any]

ORGANIZATION_KEY: Final = "meterstream_organization"
CUSTOMER_KEY: Final = "meterstream_customer"
"""Metadata of a customer at Stripe: whose it is, by our ids."""
CHECKOUT_KEY: Final = "meterstream_checkout"
"""Metadata of a checkout session: our id."""
PLAN_KEY: Final = "meterstream_plan"
"""Metadata of a subscription: the plan version, by our id; versions may share all their prices."""

ENDED: Final = ("canceled", "incomplete_expired")
"""States from which a subscription never comes back."""

_LAST4: Final = re.compile(r"[0-9]{4}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerFacts:
    """A customer; of a deleted one Stripe tells nothing but that."""

    stripe_customer_id: str
    organization_id: str | None = None
    customer_id: str | None = None
    """Ours, by metadata."""
    name: str | None = None
    email: str | None = None
    address: Json | None = field(default=None, hash=False)
    tax_ids: Sequence[Json] = field(default=(), hash=False)
    currency: str | None = None
    balance_minor: int = 0
    delinquent: bool = False
    default_payment_method: str | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMethodFacts:
    """What a customer pays with; `stripe_customer_id` is None once it is detached."""

    stripe_payment_method_id: str
    stripe_customer_id: str | None
    kind: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionFacts:
    """A subscription. `scheduled` is the next phase of its schedule: when it begins and what is paid for then."""

    stripe_subscription_id: str
    stripe_customer_id: str
    stripe_schedule_id: str | None
    named_plan_id: str | None
    """The plan version that it was given, by metadata."""
    status: str
    currency: str
    items: tuple[ItemFacts, ...]
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
    scheduled: Json | None = field(hash=False)
    mrr_minor: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLineFacts:
    """A line of an invoice."""

    stripe_line_id: str
    position: int
    description: str | None
    amount_minor: int
    discount_minor: int
    quantity: Decimal | None
    proration: bool
    stripe_price_id: str | None
    period_start: datetime
    period_end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceFacts:
    """An invoice with all its lines."""

    stripe_invoice_id: str
    stripe_customer_id: str
    stripe_subscription_id: str | None
    number: str | None
    status: str
    billing_reason: str | None
    currency: str
    subtotal_minor: int
    discount_minor: int
    tax_minor: int
    total_minor: int
    amount_due_minor: int
    amount_paid_minor: int
    amount_remaining_minor: int
    period_start: datetime | None
    period_end: datetime | None
    due_at: datetime | None
    finalized_at: datetime | None
    paid_at: datetime | None
    attempt_count: int
    next_payment_attempt: datetime | None
    hosted_invoice_url: str | None
    invoice_pdf_url: str | None
    created_at: datetime
    lines: tuple[InvoiceLineFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidBackFacts:
    """What was taken back of what an invoice brought: refunds, and the status of the newest dispute."""

    amount_refunded_minor: int = 0
    dispute_status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutFacts:
    """A session of Stripe's page."""

    stripe_session_id: str
    checkout_id: str | None
    status: str
    url: str | None
    stripe_subscription_id: str | None
    stripe_customer_id: str | None
    expires_at: datetime | None


def read_customer(obj: Json, tax_ids: Sequence[Json] = ()) -> CustomerFacts:
    """Read a customer with their tax ids, newest first, or the note that they were deleted."""
    if obj.get("deleted"):
        return CustomerFacts(stripe_customer_id=obj["id"], deleted=True)
    metadata = obj.get("metadata") or {}
    return CustomerFacts(
        stripe_customer_id=obj["id"],
        organization_id=_our_id(metadata.get(ORGANIZATION_KEY)),
        customer_id=_our_id(metadata.get(CUSTOMER_KEY)),
        name=obj.get("name"),
        email=obj.get("email"),
        address=obj.get("address"),
        tax_ids=[_tax_id(each) for each in reversed(tax_ids)],
        currency=obj.get("currency"),
        balance_minor=obj.get("balance") or 0,
        delinquent=bool(obj.get("delinquent")),
        default_payment_method=_id((obj.get("invoice_settings") or {}).get("default_payment_method")),
    )


def _tax_id(obj: Json) -> Json:
    return {"type": obj["type"], "value": obj["value"], "verification": (obj.get("verification") or {}).get("status")}


def read_payment_method(obj: Json) -> PaymentMethodFacts:
    """Read a payment method. A card's number never is in it."""
    details = obj.get(obj["type"]) or {}
    last4 = details.get("last4")
    return PaymentMethodFacts(
        stripe_payment_method_id=obj["id"],
        stripe_customer_id=_id(obj.get("customer")),
        kind=obj["type"],
        brand=details.get("brand") or details.get("bank_name"),
        last4=last4 if last4 and _LAST4.fullmatch(last4) else None,
        exp_month=details.get("exp_month"),
        exp_year=details.get("exp_year"),
    )


def read_subscription(obj: Json) -> SubscriptionFacts:
    """Read a subscription with its schedule and its prices' tiers and currencies expanded."""
    items = read_items(obj["items"]["data"], obj["currency"])
    details, pause = obj.get("cancellation_details") or {}, obj.get("pause_collection") or {}
    starts = [item["current_period_start"] for item in obj["items"]["data"]] or [obj["created"]]
    ends = [item["current_period_end"] for item in obj["items"]["data"]] or [obj["created"]]
    licensed = [item.quantity for item in items if item.licensed]
    return SubscriptionFacts(
        stripe_subscription_id=obj["id"],
        stripe_customer_id=_known_id(obj["customer"]),
        stripe_schedule_id=_id(obj.get("schedule")),
        named_plan_id=_our_id((obj.get("metadata") or {}).get(PLAN_KEY)),
        status=obj["status"],
        currency=obj["currency"],
        items=items,
        billing_cycle=items[0].cycle if items else "",
        # A flat price beside seats has quantity 1.
        quantity=max(licensed, default=1),
        current_period_start=_time(min(starts)),
        current_period_end=_time(max(ends)),
        trial_start=_when(obj.get("trial_start")),
        trial_end=_when(obj.get("trial_end")),
        cancel_at_period_end=obj["cancel_at_period_end"],
        cancel_at=_when(obj.get("cancel_at")),
        canceled_at=_when(obj.get("canceled_at")),
        ended_at=_when(obj.get("ended_at")),
        cancellation_reason=details.get("feedback") or details.get("reason"),
        cancellation_comment=details.get("comment"),
        pause_behavior=pause.get("behavior"),
        pause_resumes_at=_when(pause.get("resumes_at")),
        scheduled=_scheduled(obj),
        mrr_minor=monthly_minor(items) if _earns(obj) else 0,
        created_at=_time(obj["created"]),
    )


def read_invoice(obj: Json, lines: Iterable[Json]) -> InvoiceFacts:
    """Read an invoice; `lines` are all of them, the object itself holds the first ten only."""
    moments, parent = obj.get("status_transitions") or {}, obj.get("parent") or {}
    return InvoiceFacts(
        stripe_invoice_id=obj["id"],
        stripe_customer_id=_known_id(obj["customer"]),
        stripe_subscription_id=_id((parent.get("subscription_details") or {}).get("subscription")),
        number=obj.get("number"),
        status=obj["status"],
        billing_reason=obj.get("billing_reason"),
        currency=obj["currency"],
        subtotal_minor=obj["subtotal"],
        discount_minor=_sum(obj.get("total_discount_amounts")),
        tax_minor=_sum(obj.get("total_taxes")),
        total_minor=obj["total"],
        amount_due_minor=obj["amount_due"],
        amount_paid_minor=obj["amount_paid"],
        amount_remaining_minor=obj["amount_remaining"],
        period_start=_when(obj.get("period_start")),
        period_end=_when(obj.get("period_end")),
        due_at=_when(obj.get("due_date")),
        finalized_at=_when(moments.get("finalized_at")),
        paid_at=_when(moments.get("paid_at")),
        attempt_count=obj.get("attempt_count") or 0,
        next_payment_attempt=_when(obj.get("next_payment_attempt")),
        hosted_invoice_url=obj.get("hosted_invoice_url"),
        invoice_pdf_url=obj.get("invoice_pdf"),
        created_at=_time(obj["created"]),
        lines=tuple(_line(position, line) for position, line in enumerate(lines)),
    )


def read_paid_back(charges: Iterable[Json], disputes: Iterable[Json]) -> PaidBackFacts:
    """Read what was taken back, from all charges of an invoice's payments and all their disputes."""
    newest = max(disputes, key=lambda dispute: int(dispute["created"]), default=None)
    return PaidBackFacts(
        amount_refunded_minor=sum(charge["amount_refunded"] for charge in charges),
        dispute_status=None if newest is None else newest["status"],
    )


def read_checkout_session(obj: Json) -> CheckoutFacts:
    """Read a checkout session."""
    return CheckoutFacts(
        stripe_session_id=obj["id"],
        checkout_id=_our_id((obj.get("metadata") or {}).get(CHECKOUT_KEY)),
        status=obj["status"],
        url=obj.get("url"),
        stripe_subscription_id=_id(obj.get("subscription")),
        stripe_customer_id=_id(obj.get("customer")),
        expires_at=_when(obj.get("expires_at")),
    )


def _line(position: int, obj: Json) -> InvoiceLineFacts:
    parent = obj.get("parent") or {}
    origin = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    quantity = obj.get("quantity_decimal") or obj.get("quantity")
    return InvoiceLineFacts(
        stripe_line_id=obj["id"],
        position=position,
        description=obj.get("description"),
        amount_minor=obj["amount"],
        discount_minor=_sum(obj.get("discount_amounts")),
        quantity=None if quantity is None else Decimal(quantity),
        proration=bool(origin.get("proration")),
        stripe_price_id=_id(((obj.get("pricing") or {}).get("price_details") or {}).get("price")),
        period_start=_time(obj["period"]["start"]),
        period_end=_time(obj["period"]["end"]),
    )


def _earns(obj: Json) -> bool:
    """Say whether it counts as recurring revenue: trials do not yet, nor does what is paused or no longer collected.

    What is paused with `keep_as_draft` is billed later; by the other behaviors it is given for free.
    """
    pause = obj.get("pause_collection") or {}
    return obj["status"] in ("active", "past_due") and pause.get("behavior") not in ("void", "mark_uncollectible")


def _scheduled(obj: Json) -> Json | None:
    """Return what the schedule holds beyond the phase in force, as JSON."""
    schedule = obj.get("schedule")
    if not isinstance(schedule, Mapping) or schedule["status"] not in ("active", "not_started"):
        return None
    current = (schedule.get("current_phase") or {}).get("start_date", 0)
    for phase in schedule["phases"]:
        if phase["start_date"] > current:
            items = [{"price": _id(item["price"]), "quantity": _quantity(item)} for item in phase["items"]]
            items.sort(key=lambda item: (str(item["price"]), item["quantity"]))
            return {"effective_at": _time(phase["start_date"]).isoformat(), "items": items}
    return None


def _quantity(item: Json) -> int:
    """Return how many are scheduled, which may be none; what is metered counts as one, as everywhere here."""
    quantity: int | None = item.get("quantity")
    return 1 if quantity is None else quantity


def _sum(amounts: Iterable[Json] | None) -> int:
    return sum(each["amount"] for each in amounts or ())


def _id(reference: Any) -> str | None:
    """Return the id of what is an id, an object (expanded) or nothing."""
    found: str | None = reference["id"] if isinstance(reference, Mapping) else reference
    return found


def _known_id(reference: Any) -> str:
    found = _id(reference)
    if found is None:
        raise ValueError("a reference is missing")
    return found


def _our_id(value: Any) -> str | None:
    """Return an id of ours; whatever else stands in metadata was written by others."""
    try:
        return str(UUID(value))
    except (TypeError, ValueError, AttributeError):
        return None


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _when(seconds: int | None) -> datetime | None:
    return None if seconds is None else _time(seconds)
