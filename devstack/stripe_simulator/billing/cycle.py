"""A subscription's billing cycle: its first period, renewals, the end of a trial, a new anchor.

docs.stripe.com/billing/subscriptions/billing-cycle, docs.stripe.com/billing/invoices/subscription ("Leaves the
invoice in a draft state for about an hour"), docs.stripe.com/billing/subscriptions/trials, …/mixed-interval (items
renew one by one).
"""

from __future__ import annotations

from collections.abc import Sequence

from devstack.stripe_simulator.billing import account, collection, invoice_items, invoices, lines, prorations
from devstack.stripe_simulator.billing.periods import containing
from devstack.stripe_simulator.billing.standing import UPDATED, end
from devstack.stripe_simulator.billing.subscription_items import held, listed
from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.world import World


def start_periods(subscription: Obj, items: Sequence[Obj], at: int, trial_end: int | None = None) -> list[Obj]:
    """Return the items with a period that begins at `at` and ends with the trial, or where the anchor's grid says."""
    anchor = subscription["billing_cycle_anchor"]
    return [
        item
        | {
            "current_period_start": at,
            "current_period_end": trial_end or containing(anchor, item["price"]["recurring"], at)[1],
        }
        for item in items
    ]


def in_advance(world: World, subscription: Obj, items: Sequence[Obj], *, free: bool = False) -> list[Obj]:
    """Return the lines of items that are billed at the start of their period."""
    return [lines.licensed(world, subscription, item, free=free) for item in items if not lines.is_metered(item)]


def draw_up(
    world: World,
    subscription: Obj,
    items: Sequence[Obj],
    item_lines: Sequence[Obj],
    *,
    reason: str,
    at: int,
    period: tuple[int, int] | None = None,
    **fields: object,
) -> tuple[Obj | None, list[Obj]]:
    """Draft an invoice of these lines and all pending items, none where there is nothing; return it and the items.

    Flexible billing mode: "If the resulting invoice wouldn't contain any items, we don't generate one."
    """
    waiting = invoice_items.pending(world, subscription["customer"], subscription, subscription["currency"])
    drawn = [*(lines.of_invoice_item(world, item) for item in waiting), *item_lines]
    if not drawn:
        return None, list(items)
    invoice = invoices.draft(
        world,
        world.get("customer", subscription["customer"]),
        drawn,
        currency=subscription["currency"],
        reason=reason,
        at=at,
        period=period or (at, at),
        subscription=subscription,
        **fields,
    )
    invoice_items.attach(world, waiting, invoice)
    return invoice, prorations.billed_by(items, invoice)


def renew(world: World, subscription: Obj, at: int, *, after_trial: bool = False) -> Obj | None:
    """Begin the next period of the items whose period is over, and draft what is to be paid."""
    items = held(subscription)
    due = [item for item in items if item["current_period_end"] <= at]
    used = [] if after_trial else usage_until(world, subscription, due)
    moved = {item["id"]: start_periods(subscription, [item], item["current_period_end"])[0] for item in due}
    fresh = [{key: value for key, value in item.items() if key != "_usage_from"} for item in moved.values()]
    over = (min(item["current_period_start"] for item in due), max(item["current_period_end"] for item in due))
    wait_s = account.settings(world)["draft_s"]
    advances = subscription["status"] != "unpaid" and not _is_kept(subscription)
    invoice, billed = draw_up(
        world,
        subscription,
        [next((new for new in fresh if new["id"] == item["id"]), item) for item in items],
        [*used, *in_advance(world, subscription, fresh)],
        reason="subscription_cycle",
        at=at,
        period=over,
        auto_advance=advances,
        automatically_finalizes_at=at + wait_s if advances else None,
        next_payment_attempt=at + wait_s if advances else None,
    )
    latest = invoice["id"] if invoice else subscription["latest_invoice"]
    changes = {**listed(subscription["id"], billed), "latest_invoice": latest, "_upcoming_for": None}
    world.update(subscription, changes | ({"status": "active"} if after_trial else {}), UPDATED)
    if invoice is not None:
        _hold_back(world, subscription, invoice)
    return invoice


def usage_until(world: World, subscription: Obj, items: Sequence[Obj], until: int | None = None) -> list[Obj]:
    """Return the usage lines of metered items, to their period's end or to `until`; none for those that just came."""
    metered = [(item, until or item["current_period_end"]) for item in items if lines.is_metered(item)]
    return [lines.usage(world, subscription, item, ends) for item, ends in metered if item.get("_usage_from", 0) < ends]


def end_trial(world: World, subscription: Obj, at: int) -> None:
    """Let a trial run out: bill the first period, or what `trial_settings` says where nothing can be charged."""
    customer = world.get("customer", subscription["customer"])
    if collection.chargeable(world, customer, subscription["default_payment_method"]) is None:
        without = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
        if without == "cancel":
            end(world, subscription)
            return
        if without == "pause":
            world.update(subscription, {"status": "paused"}, UPDATED)
            world.emit("customer.subscription.paused", subscription)
            return
    renew(world, subscription, at, after_trial=True)


def _is_kept(subscription: Obj) -> bool:
    """Say whether paused collection keeps drafts for later."""
    paused = subscription["pause_collection"]
    return bool(paused and paused["behavior"] == "keep_as_draft")


def _hold_back(world: World, subscription: Obj, invoice: Obj) -> None:
    """Close an invoice that paused collection voids or gives up at once."""
    behavior = (subscription["pause_collection"] or {}).get("behavior")
    if behavior in ("void", "mark_uncollectible"):
        invoices.finalize(world, invoice)
        invoices.close(world, invoice, "void" if behavior == "void" else "uncollectible")
