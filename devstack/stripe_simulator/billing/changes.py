"""Changes of a running subscription: items, quantities, prices, anchor, trial; prorated, and billed now or later.

docs.stripe.com/billing/subscriptions/change-price, …/prorations, …/billing-mode/compare. In flexible billing mode the
anchor is never reset unless asked for: an item that moves to a yearly price gets the year of the anchor's grid, and
its proration waits for the next invoice. In classic mode another interval resets the anchor and bills at once.
Changes in a trial cost nothing until it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from devstack.stripe_simulator.billing import cycle, prorations
from devstack.stripe_simulator.billing.lines import is_metered
from devstack.stripe_simulator.billing.periods import containing
from devstack.stripe_simulator.billing.standing import UPDATED
from devstack.stripe_simulator.billing.subscription_items import ItemChange, changed, held, listed, remember
from devstack.stripe_simulator.failures import Obj, invalid_parameter
from devstack.stripe_simulator.world import World

Items = dict[str, Obj]


@dataclass(frozen=True)
class Change:
    """What is asked of a subscription; `fields` are plain fields to set."""

    items: Sequence[ItemChange] = ()
    fields: Obj = field(default_factory=dict)
    proration: str = "create_prorations"
    proration_date: int | None = None
    reset_anchor: bool = False
    trial_end: int | None = None
    """When a trial shall end; not after now: a running one ends now."""


def apply(world: World, subscription: Obj, change: Change, now: int | None = None) -> Obj | None:
    """Change a subscription; return the draft of what is billed at once, if anything is. A preview says what now is.

    Raises: StripeFailure.
    """
    now = world.now(subscription) if now is None else now
    at = _proration_time(subscription, change, now)
    before = {item["id"]: item for item in held(subscription)}
    items = {item["id"]: item for item in changed(world, subscription, change.items)}
    anew = _anew(subscription, change, before, items, now)
    in_trial = subscription["status"] == "trialing"
    if change.proration != "none" and not in_trial:
        _credit(world, subscription, before, items, at, anew=anew)
    if not anew:
        items = _placed(subscription, before, items, now, at)
        future = subscription | change.fields
        if change.proration != "none" and not in_trial:
            items = _debited(world, future, before, items, at)
        fields, invoice = change.fields, None
        if change.proration == "always_invoice" and not in_trial:
            drawn, _ = cycle.draw_up(world, future, (), (), reason="subscription_update", at=now)
            invoice = drawn
        after = list(items.values())
    else:
        fields, invoice, after = _begin_anew(world, subscription, change, items, now)
    latest = {"latest_invoice": invoice["id"]} if invoice else {}
    world.update(subscription, {**fields, **latest, **listed(subscription["id"], after)}, UPDATED)
    remember(world, subscription)
    return invoice


def _anew(subscription: Obj, change: Change, before: Items, items: Items, now: int) -> bool:
    """Say whether the billing period starts anew."""
    if change.reset_anchor or change.trial_end is not None:
        return True
    if subscription["billing_mode"]["type"] == "flexible" or subscription["status"] == "trialing":
        return False
    return any(name in before and _interval(item) != _interval(before[name]) for name, item in items.items())


def _begin_anew(
    world: World, subscription: Obj, change: Change, items: Items, now: int
) -> tuple[Obj, Obj | None, list[Obj]]:
    """Start every item's period now: with a trial, or billed at once."""
    trial_end = change.trial_end if change.trial_end is not None and change.trial_end > now else None
    fields: Obj = {**change.fields, "billing_cycle_anchor": trial_end or now}
    if trial_end is not None:
        # A trial that is made longer keeps its start.
        start = subscription["trial_start"] if subscription["status"] == "trialing" else now
        fields |= {"status": "trialing", "trial_end": trial_end, "trial_start": start, "_trial_will_end": None}
    elif subscription["status"] == "trialing":
        fields |= {"status": "active", "trial_end": now}
    future = subscription | fields
    after = cycle.start_periods(future, list(items.values()), now, trial_end)
    after = [{key: value for key, value in item.items() if key not in ("_usage_from", "_billed")} for item in after]
    bought = cycle.in_advance(world, future, after, free=trial_end is not None)
    invoice, after = cycle.draw_up(world, future, after, bought, reason="subscription_update", at=now)
    return fields, invoice, after


def _credit(world: World, subscription: Obj, before: Items, items: Items, at: int, *, anew: bool) -> None:
    """Give back what goes, and bill what metered items that go have counted."""
    for name, old in before.items():
        if not anew and name in items and not _differ(old, items[name]):
            continue
        if is_metered(old):
            if anew or name not in items or old["price"]["id"] != items[name]["price"]["id"]:
                prorations.unbilled_usage(world, subscription, old, at)
        else:
            prorations.credit(world, subscription, old, at)


def _placed(subscription: Obj, before: Items, items: Items, now: int, at: int) -> Items:
    """Give new items, and those with another interval, the period that runs now; their usage counts from `at` on."""
    siblings = {_interval(item): item for item in before.values()}
    placed: Items = {}
    for name, item in items.items():
        old = before.get(name)
        if old is None or _interval(old) != _interval(item):
            placed[name] = item | _period(subscription, siblings.get(_interval(item)), item, now)
        else:
            placed[name] = item
        if is_metered(item) and (old is None or old["price"]["id"] != item["price"]["id"]):
            placed[name] |= {"_usage_from": at}
    return placed


def _period(subscription: Obj, sibling: Obj | None, item: Obj, now: int) -> Obj:
    if sibling is not None:
        start, end = sibling["current_period_start"], sibling["current_period_end"]
    elif subscription["status"] == "trialing":
        start, end = subscription["trial_start"], subscription["trial_end"]
    else:
        start, end = containing(subscription["billing_cycle_anchor"], item["price"]["recurring"], now)
    return {"current_period_start": start, "current_period_end": end}


def _debited(world: World, subscription: Obj, before: Items, items: Items, at: int) -> Items:
    """Bill what is new for the rest of its period."""
    debited = dict(items)
    for name, item in items.items():
        fresh = name not in before or _differ(before[name], item)
        if fresh and not is_metered(item) and at < item["current_period_end"]:
            debited[name] = prorations.debit(world, subscription, list(items.values()), item, at)
    return debited


def _differ(old: Obj, new: Obj) -> bool:
    return old["price"]["id"] != new["price"]["id"] or old.get("quantity") != new.get("quantity")


def _interval(item: Obj) -> tuple[str, int]:
    recurring = item["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def _proration_time(subscription: Obj, change: Change, now: int) -> int:
    at = now if change.proration_date is None else change.proration_date
    items = held(subscription)
    earliest = min(item["current_period_start"] for item in items)
    latest = max(item["current_period_end"] for item in items)
    if change.proration_date is not None and not earliest <= at <= latest:
        message = f"Cannot specify `proration_date` outside of the current subscription period ({earliest}-{latest})."
        raise invalid_parameter("proration_date", message)
    return at
