"""Test clocks: a time of their own for some customers.
docs.stripe.com/billing/testing/test-clocks/api-advanced-usage

`advance` answers `advancing`; the next tick of the wall clock does it, and then the clock is `ready`.
"""

from __future__ import annotations

from devstack.stripe_simulator.billing import standing, subscriptions
from devstack.stripe_simulator.billing.lifecycle import CLOCK
from devstack.stripe_simulator.billing.periods import DAY, step
from devstack.stripe_simulator.billing.subscription_items import held
from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter, missing_parameter
from devstack.stripe_simulator.pages import Page, paginate
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

_DELETED_AFTER_S = 30 * DAY
_TWO_YEARS: Obj = {"interval": "year", "interval_count": 2}
# What hangs on a clock and goes with it.
_KINDS = ("subscription_schedule", "subscription", "invoiceitem", "invoice", "payment_intent", "invoice_payment")


def create(world: World, call: Call) -> Obj:
    """Create a clock."""
    frozen_time, now = call.parameters.integer("frozen_time"), world.now()
    if frozen_time is None:
        raise missing_parameter("frozen_time")
    return world.insert(
        {
            "id": world.new_id("clock"),
            "object": CLOCK,
            "created": now,
            "deletes_after": now + _DELETED_AFTER_S,
            "frozen_time": frozen_time,
            "livemode": False,
            "name": call.parameters.text("name", max_length=300) or None,
            "status": "ready",
            "status_details": {},
        },
        "test_helpers.test_clock.created",
    )


def retrieve(world: World, call: Call, clock: str) -> Obj:
    """Return a clock."""
    return world.get(CLOCK, clock)


def list_all(world: World, call: Call) -> Page:
    """List clocks."""
    return paginate(call.parameters, call.path, world.find(CLOCK))


def delete(world: World, call: Call, clock: str) -> Obj:
    """Delete a clock and everything on it."""
    found = world.get(CLOCK, clock)
    customers = world.find("customer", test_clock=clock)
    for customer in customers:
        for kind in _KINDS:
            for obj in world.find(kind):
                if customer["id"] in (obj.get("customer"), obj.get("_customer")):
                    world.delete(obj)
        world.delete(customer)
    world.delete(found, "test_helpers.test_clock.deleted")
    return {"id": clock, "object": CLOCK, "deleted": True}


def advance(world: World, call: Call, clock: str) -> Obj:
    """Begin to move a clock: forward, and not by more than two intervals of its shortest subscription."""
    found, target = world.get(CLOCK, clock), call.parameters.integer("frozen_time")
    if target is None:
        raise missing_parameter("frozen_time")
    if found["status"] != "ready":
        raise StripeFailure("The test clock is advancing; wait until it is ready.", code="test_clock_not_ready")
    if target <= found["frozen_time"]:
        raise invalid_parameter("frozen_time", "The frozen time must be after the test clock's current frozen time.")
    furthest = _furthest(world, found)
    if target > furthest:
        message = (
            "Cannot advance further than two intervals of the shortest subscription in this test clock, or two years "
            f"where it has none: {furthest}."
        )
        raise invalid_parameter("frozen_time", message)
    details = {"advancing": {"target_frozen_time": target}}
    return world.update(found, {"status": "advancing", "status_details": details}, "test_helpers.test_clock.advancing")


def _furthest(world: World, clock: Obj) -> int:
    found = [
        item["price"]["recurring"]
        for subscription in world.find(subscriptions.SUBSCRIPTION, test_clock=clock["id"])
        if subscription["status"] not in standing.ENDED
        for item in held(subscription)
    ]
    now: int = clock["frozen_time"]
    return min((step(now, recurring, 2) for recurring in found), default=step(now, _TWO_YEARS, 1))


ROUTES = [
    Route("POST", "/v1/test_helpers/test_clocks", create),
    Route("GET", "/v1/test_helpers/test_clocks", list_all),
    Route("GET", "/v1/test_helpers/test_clocks/{clock}", retrieve),
    Route("DELETE", "/v1/test_helpers/test_clocks/{clock}", delete),
    Route("POST", "/v1/test_helpers/test_clocks/{clock}/advance", advance),
]
