"""What the fate of an invoice does to its subscription: the statuses around payment.

docs.stripe.com/billing/subscriptions/overview#subscription-statuses. A subscription is judged by its latest invoice:
paid, voided or given up, it is in good standing again. A first invoice that is voided ends the subscription.
"""

from __future__ import annotations

from devstack.stripe_simulator.billing import account, invoices, payment_intents
from devstack.stripe_simulator.billing.periods import DAY
from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.world import World

UPDATED = "customer.subscription.updated"
ENDED = frozenset(["canceled", "incomplete_expired"])


def invoice_done(world: World, invoice: Obj) -> None:
    """Put a subscription in good standing whose latest invoice was paid, voided or given up."""
    subscription = invoices.subscription_of(world, invoice)
    if subscription is None or subscription["latest_invoice"] != invoice["id"]:
        return
    if subscription["status"] == "incomplete" and invoice["status"] == "void":
        expire(world, subscription)
    elif subscription["status"] in ("incomplete", "past_due", "unpaid"):
        world.update(subscription, {"status": running(subscription, world.now(subscription))}, UPDATED)
    if invoice["status"] == "paid":
        _set_delinquent(world, invoice, delinquent=False)


def payment_missing(world: World, invoice: Obj) -> None:
    """Note on the subscription that its invoice was not paid when it should have been."""
    subscription = invoices.subscription_of(world, invoice)
    if subscription is not None and subscription["status"] == "incomplete":
        return
    _set_delinquent(world, invoice, delinquent=True)
    if subscription is not None and subscription["status"] in ("active", "trialing"):
        world.update(subscription, {"status": "past_due"}, UPDATED)


def plan_retry(world: World, invoice: Obj) -> None:
    """Say when an invoice is tried again, or that it is not, and what then becomes of the subscription."""
    delays, failures = account.settings(world)["retry_days"], invoice["attempt_count"]
    if failures <= len(delays):
        next_at = world.now(invoice) + delays[failures - 1] * DAY
        world.update(invoice, {"next_payment_attempt": next_at}, "invoice.updated")
        return
    world.update(invoice, {"next_payment_attempt": None}, "invoice.updated")
    subscription, verdict = invoices.subscription_of(world, invoice), account.settings(world)["after_retries"]
    if subscription is None or subscription["status"] in ENDED:
        return
    if verdict == "cancel":
        end(world, subscription, reason="payment_failed")
    else:
        world.update(subscription, {"status": verdict}, UPDATED)


def end(world: World, subscription: Obj, *, reason: str = "cancellation_requested") -> Obj:
    """Cancel a subscription now; its open invoices stay, but are not collected automatically any more."""
    now = world.now(subscription)
    changes = {
        "canceled_at": subscription["canceled_at"] or now,
        "cancellation_details": subscription["cancellation_details"] | {"reason": reason},
        "ended_at": now,
        "status": "canceled",
    }
    _stop_collecting(world, subscription)
    world.update(subscription, changes)
    world.emit("customer.subscription.deleted", subscription)
    return subscription


def expire(world: World, subscription: Obj) -> None:
    """End a subscription whose first payment did not come; its invoice is voided."""
    world.update(subscription, {"ended_at": world.now(subscription), "status": "incomplete_expired"}, UPDATED)
    first = world.known(invoices.INVOICE, subscription["latest_invoice"])
    if first is not None and first["status"] == "open":
        invoices.close(world, first, "void")
        payment_intents.cancel(world, first)


def running(subscription: Obj, now: int) -> str:
    """Return the status of a subscription in good standing."""
    return "trialing" if subscription["trial_end"] is not None and now < subscription["trial_end"] else "active"


def _stop_collecting(world: World, subscription: Obj) -> None:
    for invoice in world.find(invoices.INVOICE, customer=subscription["customer"], status="open"):
        if invoices.subscription_of(world, invoice) is subscription:
            world.update(invoice, {"auto_advance": False, "next_payment_attempt": None}, "invoice.updated")


def _set_delinquent(world: World, invoice: Obj, *, delinquent: bool) -> None:
    world.update(world.get("customer", invoice["customer"]), {"delinquent": delinquent}, "customer.updated")
