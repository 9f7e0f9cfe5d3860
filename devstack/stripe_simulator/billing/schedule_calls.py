"""Calls about subscription schedules. docs.stripe.com/api/subscription_schedules"""

from __future__ import annotations

from typing import Any

from devstack.stripe_simulator.billing import cancellations, collection, invoices, schedule_phases, standing
from devstack.stripe_simulator.billing import subscriptions as subscription_objects
from devstack.stripe_simulator.billing.schedules import RUNNING, SCHEDULE, current, enter, phase_at, release
from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page, paginate, within
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

_ENDS = ("cancel", "release")


def create(world: World, call: Call) -> Obj:
    """Create a schedule: of a subscription as it is, or for one that it will start."""
    sent = call.parameters
    owner = world.known("subscription", sent.text("from_subscription"))
    if sent.text("from_subscription"):
        owner = world.get("subscription", sent.required("from_subscription"), "from_subscription")
        if owner["schedule"] is not None:
            message = f"The subscription is already attached to a schedule: {owner['schedule']}"
            raise invalid_parameter("from_subscription", message)
        if sent.given("phases"):
            raise invalid_parameter("phases", "You cannot set `phases` if `from_subscription` is set.")
    customer = world.get("customer", owner["customer"] if owner else sent.required("customer"), "customer")
    now = world.now(customer)
    start = now if sent.text("start_date") in (None, "now") else sent.integer("start_date") or now
    phases = [schedule_phases.of_subscription(owner)] if owner else schedule_phases.read(world, sent, start)
    schedule = world.insert(_schedule(world, sent, customer, phases, owner))
    if owner is not None:
        world.update(owner, {"schedule": schedule["id"]}, standing.UPDATED)
    elif start <= now:
        begin(world, schedule)
    world.emit("subscription_schedule.created", schedule)
    return schedule


def begin(world: World, schedule: Obj) -> None:
    """Start the subscription of a schedule whose time has come."""
    phase = schedule["phases"][0]
    entries = [{name: str(entry[name]) for name in ("price", "quantity") if name in entry} for entry in phase["items"]]
    wanted: dict[str, Any] = {"customer": schedule["customer"], "items": entries, "metadata": phase["metadata"]}
    for name in ("trial_end", "default_payment_method"):
        if phase[name]:
            wanted[name] = str(phase[name])
    if phase["_discounts"]:
        wanted["discounts"] = phase["_discounts"]
    subscription = subscription_objects.begin(world, Parameters(wanted), phase["proration_behavior"])
    world.update(subscription, {"schedule": schedule["id"]})
    world.update(schedule, {"current_phase": current(phase), "status": "active", "subscription": subscription["id"]})
    world.emit("customer.subscription.created", subscription)
    first = world.known(invoices.INVOICE, subscription["latest_invoice"])
    if first is not None:
        collection.finalize(world, first)
        if first["status"] == "open":
            collection.attempt(world, first, off_session=True)
    subscription_objects.announce_trial_end(world, subscription)


def update(world: World, call: Call, schedule: str) -> Obj:
    """Replace phases that have not passed; the present one must be among them."""
    sent, found = call.parameters, _running(world, schedule)
    changes: Obj = {"metadata": sent.metadata(found["metadata"])}
    if end := sent.choice("end_behavior", _ENDS):
        changes["end_behavior"] = end
    proration = sent.choice("proration_behavior", subscription_objects.PRORATIONS) or "create_prorations"
    now, subscription = world.now(found), world.known("subscription", found["subscription"])
    if sent.given("phases"):
        present = found["current_phase"] or found["phases"][0]
        phases = schedule_phases.read(world, sent, _start(sent, present["start_date"], now))
        phase = phase_at({"phases": phases}, now)
        if subscription is not None and phase is None:
            message = "The schedule must have a phase that the subscription is in now."
            raise invalid_parameter("phases", message)
        changes |= {"phases": phases, "current_phase": current(phase) if subscription else None}
        if subscription is not None and phase is not None:
            enter(world, subscription, phase | {"proration_behavior": proration, "billing_cycle_anchor": None}, now)
    return world.update(found, changes, "subscription_schedule.updated")


def retrieve(world: World, call: Call, schedule: str) -> Obj:
    """Return a schedule."""
    return world.get(SCHEDULE, schedule)


def list_all(world: World, call: Call) -> Page:
    """List schedules."""
    sent = call.parameters
    equal: Obj = {"customer": customer} if (customer := sent.text("customer")) else {}
    if sent.boolean("scheduled"):
        equal["status"] = "not_started"
    return paginate(sent, call.path, within(sent, world.find(SCHEDULE, **equal)))


def release_now(world: World, call: Call, schedule: str) -> Obj:
    """Let the subscription go on by itself."""
    found = _running(world, schedule)
    subscription = world.known("subscription", found["subscription"])
    if call.parameters.boolean("preserve_cancel_date") and subscription and found["end_behavior"] == "cancel":
        world.update(subscription, {"cancel_at": found["phases"][-1]["end_date"]})
    return release(world, found)


def cancel(world: World, call: Call, schedule: str) -> Obj:
    """Cancel a schedule and its subscription."""
    sent, found = call.parameters, _running(world, schedule)
    prorate, bill = sent.boolean("prorate") is not False, sent.boolean("invoice_now") is not False
    world.update(found, {"canceled_at": world.now(found), "current_phase": None, "status": "canceled"})
    world.emit("subscription_schedule.canceled", found)
    subscription = world.known("subscription", found["subscription"])
    if subscription is not None and subscription["status"] not in standing.ENDED:
        cancellations.cancel(world, subscription, invoice_now=bill, prorate=prorate)
    return found


def _start(sent: Parameters, present: int, now: int) -> int:
    """Return where the first of new phases starts: where the present one does, or now."""
    asked = (sent.items("phases") or [Parameters({})])[0].text("start_date")
    if asked is None:
        return present
    start = now if asked == "now" else int(asked)
    if start not in (present, now):
        raise invalid_parameter("phases[0][start_date]", "The start of the current phase can not be changed.")
    return present if start == present else now


def _running(world: World, schedule: str) -> Obj:
    found = world.get(SCHEDULE, schedule)
    if found["status"] not in RUNNING:
        message = f"You cannot change a subscription schedule that is in the `{found['status']}` status."
        raise StripeFailure(message)
    return found


def _schedule(world: World, sent: Parameters, customer: Obj, phases: list[Obj], owner: Obj | None) -> Obj:
    mode: Obj = {"flexible": {"proration_discounts": "included"}, "type": "flexible"}
    if (asked := sent.mapping("billing_mode")) is not None:
        asked.choice("type", ("flexible",))
    phase = phase_at({"phases": phases}, world.now(customer)) if owner else None
    return {
        "id": world.new_id("sub_sched"),
        "object": SCHEDULE,
        "application": None,
        "billing_mode": owner["billing_mode"] if owner else mode,
        "canceled_at": None,
        "completed_at": None,
        "created": world.now(customer),
        "current_phase": current(phase),
        "customer": customer["id"],
        "customer_account": None,
        "default_settings": {
            "application_fee_percent": None,
            "billing_cycle_anchor": "automatic",
            "billing_thresholds": None,
            "collection_method": "charge_automatically",
            "default_payment_method": owner and owner["default_payment_method"],
            "description": None,
            "invoice_settings": {"account_tax_ids": None, "days_until_due": None, "issuer": {"type": "self"}},
            "on_behalf_of": None,
            "transfer_data": None,
        },
        "end_behavior": sent.choice("end_behavior", _ENDS) or "release",
        "livemode": False,
        "metadata": sent.metadata(),
        "phases": phases,
        "released_at": None,
        "released_subscription": None,
        "status": "active" if owner else "not_started",
        "subscription": owner and owner["id"],
        "test_clock": customer["test_clock"],
    }


ROUTES = [
    Route("POST", "/v1/subscription_schedules", create),
    Route("GET", "/v1/subscription_schedules", list_all),
    Route("GET", "/v1/subscription_schedules/{schedule}", retrieve),
    Route("POST", "/v1/subscription_schedules/{schedule}", update),
    Route("POST", "/v1/subscription_schedules/{schedule}/release", release_now),
    Route("POST", "/v1/subscription_schedules/{schedule}/cancel", cancel),
]
