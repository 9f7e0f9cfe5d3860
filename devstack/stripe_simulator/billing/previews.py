"""Previews of invoices: the real thing, done in a rehearsal and taken back.
docs.stripe.com/api/invoices/create_preview

What a change bills at once is previewed as such; otherwise the next renewal is, with what waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from devstack.stripe_simulator.billing import (
    account,
    cancellations,
    cycle,
    discounts,
    invoice_items,
    invoices,
    schedules,
    standing,
    subscriptions,
    updates,
)
from devstack.stripe_simulator.billing.subscription_items import held
from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.world import World

_NEXT_ONLY = ("next",)
_UNBEGUN: Obj = {
    "amount_paid": 0,
    "attempt_count": 0,
    "attempted": False,
    "effective_at": None,
    "ending_balance": None,
    "hosted_invoice_url": None,
    "invoice_pdf": None,
    "number": None,
    "status": "draft",
    "status_transitions": dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
    "_confirmation_secret": None,
}


def preview(world: World, sent: Parameters) -> Obj:
    """Return the invoice that a subscription, its change or its creation would bring next."""
    sent.choice("preview_mode", _NEXT_ONLY)
    sent.text("currency")
    with world.rehearsal():
        return _shown(world, _drafted(world, sent))


def upcoming(world: World, subscription: Obj) -> Obj | None:
    """Return the next renewal of a subscription as a preview, None where there is none."""
    with world.rehearsal():
        invoice = _renewal(world, subscription)
        return _shown(world, invoice) if invoice else None


def _drafted(world: World, sent: Parameters) -> Obj:
    details = sent.mapping("subscription_details") or Parameters({}, "subscription_details")
    subscription = _subscription(world, sent)
    if subscription is None:
        subscription = _begun(world, sent, details)
        invoice = world.known(invoices.INVOICE, subscription["latest_invoice"])
        return invoice or _must(_renewal(world, subscription))
    if (wanted := discounts.read(world, sent, subscription)) is not None:
        world.update(subscription, {"discounts": wanted})
    _add_invoice_items(world, sent, subscription)
    if details.boolean("cancel_now"):
        before = subscription["latest_invoice"]
        prorates = details.choice("proration_behavior", subscriptions.PRORATIONS) != "none"
        cancellations.cancel(world, subscription, invoice_now=True, prorate=prorates)
        return _must(world.known(invoices.INVOICE, _other(subscription["latest_invoice"], before)))
    if details.text("resume_at") == "now":
        cancellations.resume(world, subscription, anchor="now", proration="none")
        return _must(world.known(invoices.INVOICE, subscription["latest_invoice"]))
    invoice = updates.apply(world, details, subscription) if details.names() else None
    return invoice or _must(_renewal(world, subscription))


def _subscription(world: World, sent: Parameters) -> Obj | None:
    """Return the subscription that is previewed: the one named, or that of the schedule named."""
    if named := sent.text("schedule"):
        schedule = world.get(schedules.SCHEDULE, named, "schedule")
        return world.get("subscription", schedule["subscription"] or "", "schedule")
    named = sent.text("subscription")
    customer = sent.text("customer")
    if named is None:
        return None
    found = world.get("subscription", named, "subscription")
    if customer and found["customer"] != customer:
        raise invalid_parameter("subscription", "The subscription is not one of this customer.")
    return found


def _begun(world: World, sent: Parameters, details: Parameters) -> Obj:
    """Begin the subscription that `subscription_details` describe."""
    customer = sent.text("customer")
    if customer is None:
        raise missing_parameter("customer")
    wanted: dict[str, Any] = {name: details.raw(name) for name in details.names()}
    anchor = wanted.get("billing_cycle_anchor")
    if isinstance(anchor, Mapping):
        wanted["billing_cycle_anchor"] = anchor.get("timestamp")
    if wanted.get("billing_cycle_anchor") is None:
        wanted.pop("billing_cycle_anchor", None)
    proration = str(wanted.pop("proration_behavior", "create_prorations"))
    wanted |= {name: sent.raw(name) for name in ("currency", "discounts") if sent.given(name)}
    return subscriptions.begin(world, Parameters({**wanted, "customer": customer}), proration)


def _renewal(world: World, subscription: Obj) -> Obj | None:
    """Renew a subscription when its period ends; None where it ends then, or does not run."""
    if subscription["status"] in standing.ENDED or subscription["status"] in ("paused", "incomplete"):
        return None
    at = min(item["current_period_end"] for item in held(subscription))
    ends = subscription["cancel_at"]
    if ends is not None and ends <= at:
        return None
    before = subscription["latest_invoice"]
    schedules.change_phase(world, subscription, at)
    if subscription["latest_invoice"] != before:
        return world.known(invoices.INVOICE, subscription["latest_invoice"])
    after_trial = subscription["status"] == "trialing" and at >= subscription["trial_end"]
    return cycle.renew(world, subscription, at, after_trial=after_trial)


def _add_invoice_items(world: World, sent: Parameters, subscription: Obj) -> None:
    for entry in sent.items("invoice_items") or []:
        amount, now = entry.integer("amount"), world.now(subscription)
        if amount is None:
            raise missing_parameter(entry.path("amount"))
        entry.text("currency")
        invoice_items.add(
            world,
            subscription["customer"],
            currency=subscription["currency"],
            amount=amount,
            period=(now, now),
            description=entry.text("description") or None,
        )


def _shown(world: World, invoice: Obj) -> Obj:
    """Return an invoice as previews are: a draft, also where the rehearsal went further; its id leads nowhere."""
    shown = deepcopy(invoice) | _UNBEGUN | {"id": world.new_id("upcoming_in")}
    shown["amount_remaining"] = shown["amount_due"]
    if shown["billing_reason"] == "subscription_cycle":
        shown["billing_reason"] = "upcoming"
        wait_s = account.settings(world)["draft_s"]
        shown |= {"automatically_finalizes_at": None, "next_payment_attempt": shown["created"] + wait_s}
    for line in (*shown["lines"]["data"], *shown["_lines"]):
        line["invoice"] = shown["id"]
    shown["lines"]["url"] = f"/v1/invoices/{shown['id']}/lines"
    return shown


def _other(latest: str | None, before: str | None) -> str | None:
    return latest if latest != before else None


def _must(invoice: Obj | None) -> Obj:
    if invoice is None:
        raise StripeFailure("No upcoming invoices for customer", status=404, code="invoice_upcoming_none")
    return invoice
