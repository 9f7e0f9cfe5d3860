"""Subscription schedules: the phases of a subscription. docs.stripe.com/billing/subscriptions/subscription-schedules

When the last phase is over, `release` leaves the subscription as it is (the schedule is `released`), `cancel` ends it
(the schedule is `completed`). A phase's items replace the subscription's: those of the same price stay, with their
quantity.
"""

from __future__ import annotations

from collections.abc import Sequence

from devstack.stripe_simulator.billing import changes, collection, discounts, standing
from devstack.stripe_simulator.billing.changes import Change
from devstack.stripe_simulator.billing.subscription_items import ItemChange, held
from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.world import World

SCHEDULE = "subscription_schedule"
RUNNING = ("not_started", "active")


def of(world: World, subscription: Obj) -> Obj | None:
    """Return the schedule that a subscription follows."""
    return world.known(SCHEDULE, subscription["schedule"])


def phase_at(schedule: Obj, at: int) -> Obj | None:
    """Return the phase of an instant."""
    return next((phase for phase in schedule["phases"] if phase["start_date"] <= at < phase["end_date"]), None)


def current(phase: Obj | None) -> Obj | None:
    """Return how a schedule names its present phase."""
    return phase and {"end_date": phase["end_date"], "start_date": phase["start_date"]}


def change_phase(world: World, subscription: Obj, at: int) -> None:
    """Let a subscription into the phase that begins by `at`, if one does; what that bills at once is collected."""
    schedule = of(world, subscription)
    if schedule is None or schedule["current_phase"] is None or schedule["current_phase"]["end_date"] > at:
        return
    phase = phase_at(schedule, at)
    if phase is None:
        _finish(world, schedule, subscription)
        return
    world.update(schedule, {"current_phase": current(phase)}, "subscription_schedule.updated")
    enter(world, subscription, phase, at)


def enter(world: World, subscription: Obj, phase: Obj, at: int) -> None:
    """Give a subscription what a phase says.

    What a phase does not list is not kept: discounts come from the subscription's customer then, who has none here, and
    the card from the customer's settings. Only metadata is added to what there is.
    """
    fields: Obj = {
        "automatic_tax": phase["automatic_tax"],
        "default_payment_method": phase["default_payment_method"],
        "description": phase["description"],
        "discounts": _discounts(world, subscription, phase["_discounts"] or []),
        "metadata": subscription["metadata"] | (phase["metadata"] or {}),
    }
    ends = [item["current_period_end"] for item in held(subscription)]
    change = Change(
        items=item_changes(subscription, phase),
        fields=fields,
        # Where a period ends anyway, its renewal is the one invoice for everything.
        proration="create_prorations" if at in ends else phase["proration_behavior"],
        reset_anchor=phase["billing_cycle_anchor"] == "phase_start" or _needs_new_anchor(world, subscription, phase),
        trial_end=phase["trial_end"] if (phase["trial_end"] or 0) > at else None,
    )
    invoice = changes.apply(world, subscription, change, at)
    if invoice is not None:
        collection.finalize(world, invoice)
        if invoice["status"] == "open":
            collection.attempt(world, invoice, off_session=True)


def _discounts(world: World, subscription: Obj, entries: Sequence[dict[str, str]]) -> list[str]:
    """Return a phase's discounts; an existing one is used on, and is over where the subscription has it no more."""
    named = [entry.get("discount") or discounts.redeem(world, subscription, **entry) for entry in entries]
    reused = {entry["discount"] for entry in entries if "discount" in entry}
    return [each for each in named if each not in reused or each in subscription["discounts"]]


def _needs_new_anchor(world: World, subscription: Obj, phase: Obj) -> bool:
    """Say whether a phase bills by other intervals: `billing_cycle_anchor=automatic` changes it "if needed"."""
    present = [item["price"]["recurring"] for item in held(subscription)]
    coming = [world.get("price", entry["price"])["recurring"] for entry in phase["items"]]
    known = {(recurring["interval"], recurring["interval_count"]) for recurring in present}
    return not any((recurring["interval"], recurring["interval_count"]) in known for recurring in coming)


def item_changes(subscription: Obj, phase: Obj) -> list[ItemChange]:
    """Return what makes a subscription's items those of a phase."""
    left = {item["price"]["id"]: item for item in held(subscription)}
    wanted: list[ItemChange] = []
    for entry in phase["items"]:
        present = left.pop(entry["price"], None)
        if present is None:
            wanted.append(ItemChange(price=entry["price"], quantity=entry.get("quantity")))
        elif present.get("quantity") != entry.get("quantity"):
            wanted.append(ItemChange(present["id"], quantity=entry.get("quantity")))
    return [*wanted, *(ItemChange(item["id"], deleted=True) for item in left.values())]


def release(world: World, schedule: Obj) -> Obj:
    """Let the subscription go on without the schedule."""
    subscription = world.known("subscription", schedule["subscription"])
    changes_made = {
        "current_phase": None,
        "released_at": world.now(schedule),
        "released_subscription": schedule["subscription"],
        "status": "released",
        "subscription": None,
    }
    world.update(schedule, changes_made)
    world.emit("subscription_schedule.released", schedule)
    if subscription is not None:
        world.update(subscription, {"schedule": None}, standing.UPDATED)
    return schedule


def _finish(world: World, schedule: Obj, subscription: Obj) -> None:
    if schedule["end_behavior"] == "release":
        release(world, schedule)
        return
    done = {"completed_at": world.now(schedule), "current_phase": None, "status": "completed"}
    world.update(schedule, done)
    world.emit("subscription_schedule.completed", schedule)
    standing.end(world, subscription)
