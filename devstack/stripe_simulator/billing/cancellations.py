"""The end of a subscription, and pauses: at once, at a set time, paused by a trial's end and resumed.

docs.stripe.com/billing/subscriptions/cancel, docs.stripe.com/api/subscriptions/cancel,
docs.stripe.com/api/subscriptions/resume. Where `cancel_at` lies within a period, the credit for the rest of it is
made when the time comes.
"""

from __future__ import annotations

from devstack.stripe_simulator.billing import account, collection, cycle, prorations, standing
from devstack.stripe_simulator.billing.subscription_items import held, listed
from devstack.stripe_simulator.billing.subscriptions import PRORATIONS, SUBSCRIPTION
from devstack.stripe_simulator.failures import Obj, StripeFailure, resource_missing
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

_FEEDBACK = (
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
)


def cancel(world: World, subscription: Obj, *, invoice_now: bool = False, prorate: bool = False) -> Obj:
    """Cancel at once: `invoice_now` bills usage and pending items, `prorate` gives unused time back."""
    now = world.now(subscription)
    final = _final_invoice(world, subscription, now, credited=prorate, billed=invoice_now)
    standing.end(world, subscription)
    if final is not None:
        collection.finalize(world, final)
        if final["status"] == "open":
            collection.attempt(world, final, off_session=True)
    return subscription


def cancel_when_due(world: World, subscription: Obj, at: int) -> None:
    """Cancel because `cancel_at` has come: what was used is billed, as by a renewal."""
    credited = subscription.get("_cancel_proration") != "none"
    final = _final_invoice(world, subscription, at, credited=credited, billed=True)
    standing.end(world, subscription)
    if final is not None:
        due = at + account.settings(world)["draft_s"]
        world.update(
            final, {"auto_advance": True, "automatically_finalizes_at": due, "next_payment_attempt": due}, None
        )


def _final_invoice(world: World, subscription: Obj, at: int, *, credited: bool, billed: bool) -> Obj | None:
    items = held(subscription)
    for item in items if credited else ():
        prorations.credit(world, subscription, item, at)
    if not billed or subscription["status"] == "trialing":
        return None
    used = [line for line in cycle.usage_until(world, subscription, items, at) if line["quantity"]]
    invoice, _ = cycle.draw_up(world, subscription, (), used, reason="subscription_cycle", at=at)
    if invoice is not None:
        world.update(subscription, {"latest_invoice": invoice["id"]})
    return invoice


def resume(world: World, subscription: Obj, *, anchor: str, proration: str, stays_paused: bool = False) -> Obj:
    """Let a paused subscription run again; it is billed at once: for a period, or for the rest of the present one."""
    now = world.now(subscription)
    running = subscription | ({"billing_cycle_anchor": now} if anchor == "now" else {})
    items = cycle.start_periods(running, held(subscription), now)
    bought = [] if anchor == "unchanged" and proration == "none" else cycle.in_advance(world, running, items)
    invoice, items = cycle.draw_up(world, running, items, bought, reason="subscription_update", at=now)
    status = "paused" if stays_paused and invoice is not None else "active"
    changes = {
        "billing_cycle_anchor": running["billing_cycle_anchor"],
        **listed(subscription["id"], items),
        "latest_invoice": invoice["id"] if invoice else subscription["latest_invoice"],
        "status": status,
    }
    world.update(subscription, changes, standing.UPDATED)
    if invoice is not None:
        collection.settle(world, invoice)
        if stays_paused and invoice["status"] == "paid":
            world.update(subscription, {"status": "active"}, standing.UPDATED)
    if subscription["status"] != "paused":
        world.emit("customer.subscription.resumed", subscription)
    return subscription


def read_details(sent: Parameters, present: Obj) -> Obj:
    """Return `cancellation_details` with what the caller says of them."""
    details = sent.mapping("cancellation_details")
    if details is None:
        return present
    said = {"comment": details.text("comment"), "feedback": details.choice("feedback", _FEEDBACK)}
    return present | {name: value or None for name, value in said.items() if value is not None}


def _cancel(world: World, call: Call, subscription: str) -> Obj:
    sent, found = call.parameters, world.get(SUBSCRIPTION, subscription)
    if found["status"] in standing.ENDED:
        raise resource_missing(SUBSCRIPTION, subscription)
    details = read_details(sent, found["cancellation_details"])
    world.update(found, {"cancellation_details": details})
    return cancel(
        world, found, invoice_now=sent.boolean("invoice_now") or False, prorate=sent.boolean("prorate") or False
    )


def _resume(world: World, call: Call, subscription: str) -> Obj:
    sent, found = call.parameters, world.get(SUBSCRIPTION, subscription)
    if found["status"] != "paused":
        raise StripeFailure(f"Subscription {subscription} is not paused and can not be resumed.")
    anchor = sent.mapping("billing_cycle_anchor")
    behaviors = ("resume_on_payment_attempt", "resume_on_payment_success")
    return resume(
        world,
        found,
        anchor=(anchor and anchor.choice("type", ("now", "unchanged"))) or "now",
        proration=sent.choice("proration_behavior", PRORATIONS) or "create_prorations",
        stays_paused=sent.choice("payment_behavior", behaviors) == "resume_on_payment_success",
    )


ROUTES = [
    Route("DELETE", "/v1/subscriptions/{subscription}", _cancel),
    Route("POST", "/v1/subscriptions/{subscription}/resume", _resume),
]
