"""Meters: which event counts for what. docs.stripe.com/api/billing/meter"""

from __future__ import annotations

from devstack.stripe_simulator.failures import Obj, StripeFailure, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page, paginate
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

METER = "billing.meter"


def create(world: World, call: Call) -> Obj:
    """Create a meter; only one active meter may have an event name."""
    sent = call.parameters
    event_name = sent.required("event_name")
    if world.find(METER, event_name=event_name, status="active"):
        raise StripeFailure(f"An active meter already exists with event_name {event_name}.", param="event_name")
    now = world.now()
    return world.insert(
        {
            "id": world.new_id("mtr_test"),
            "object": METER,
            "created": now,
            "customer_mapping": {
                "event_payload_key": _payload_key(sent.mapping("customer_mapping"), "stripe_customer_id"),
                "type": "by_id",
            },
            "default_aggregation": {"formula": _formula(sent)},
            "display_name": sent.required("display_name"),
            "event_name": event_name,
            "event_time_window": sent.choice("event_time_window", ("day", "hour")),
            "livemode": False,
            "status": "active",
            "status_transitions": {"deactivated_at": None},
            "updated": now,
            "value_settings": {"event_payload_key": _payload_key(sent.mapping("value_settings"), "value")},
        },
        "billing.meter.created",
    )


def retrieve(world: World, call: Call, meter: str) -> Obj:
    """Return a meter."""
    return world.get(METER, meter)


def list_all(world: World, call: Call) -> Page:
    """List meters, of one status if asked."""
    status = call.parameters.choice("status", ("active", "inactive"))
    return paginate(call.parameters, call.path, world.find(METER, **({"status": status} if status else {})))


def update(world: World, call: Call, meter: str) -> Obj:
    """Rename a meter; nothing else can change."""
    found = world.get(METER, meter)
    name = call.parameters.text("display_name") or found["display_name"]
    return world.update(found, {"display_name": name, "updated": world.now()}, "billing.meter.updated")


def deactivate(world: World, call: Call, meter: str) -> Obj:
    """Stop a meter: its events are refused from now on, as archived_meter."""
    found = world.get(METER, meter)
    if found["status"] == "inactive":
        raise StripeFailure("You cannot deactivate a meter that is already deactivated.")
    return _switch(world, found, "inactive", "billing.meter.deactivated")


def reactivate(world: World, call: Call, meter: str) -> Obj:
    """Let a meter count again."""
    found = world.get(METER, meter)
    if found["status"] == "active":
        raise StripeFailure("You cannot reactivate a meter that is already active.")
    if world.find(METER, event_name=found["event_name"], status="active"):
        raise StripeFailure(f"An active meter already exists with event_name {found['event_name']}.")
    return _switch(world, found, "active", "billing.meter.reactivated")


def _switch(world: World, meter: Obj, status: str, event: str) -> Obj:
    now = world.now()
    since = {"deactivated_at": now if status == "inactive" else None}
    return world.update(meter, {"status": status, "status_transitions": since, "updated": now}, event)


def _formula(sent: Parameters) -> str:
    aggregation = sent.mapping("default_aggregation")
    formula = aggregation and aggregation.choice("formula", ("count", "last", "sum"))
    if not formula:
        raise missing_parameter("default_aggregation[formula]")
    return formula


def _payload_key(sent: Parameters | None, default: str) -> str:
    if sent is None:
        return default
    sent.choice("type", ("by_id",))
    return sent.required("event_payload_key")


ROUTES = [
    Route("POST", "/v1/billing/meters", create),
    Route("GET", "/v1/billing/meters", list_all),
    Route("GET", "/v1/billing/meters/{meter}", retrieve),
    Route("POST", "/v1/billing/meters/{meter}", update),
    Route("POST", "/v1/billing/meters/{meter}/deactivate", deactivate),
    Route("POST", "/v1/billing/meters/{meter}/reactivate", reactivate),
]
