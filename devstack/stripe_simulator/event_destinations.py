"""Event destinations, the v2 form of webhook endpoints: thin events can be sent to these only."""

from __future__ import annotations

from devstack.stripe_simulator.failures import Obj, invalid_parameter, missing_parameter
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.webhook_endpoints import read_events, read_url
from devstack.stripe_simulator.world import API_VERSION, World, iso_time

_INCLUDED = ("webhook_endpoint.signing_secret", "webhook_endpoint.url")


def create(world: World, call: Call) -> Obj:
    """Create a destination. Its secret is in this answer only, and only where the caller includes it."""
    parameters = call.parameters
    if parameters.choice("type", ("webhook_endpoint",)) is None:
        raise missing_parameter("type")
    payload = parameters.choice("event_payload", ("snapshot", "thin"))
    if not payload:
        raise missing_parameter("event_payload")
    endpoint = parameters.mapping("webhook_endpoint")
    if endpoint is None:
        raise missing_parameter("webhook_endpoint")
    included = parameters.choices("include", _INCLUDED) or []
    parameters.choices("events_from", ("self", "@self", "@accounts", "other_accounts"))
    now = iso_time(world.now())
    destination: Obj = {
        "id": world.new_id("ed_test"),
        "object": "v2.core.event_destination",
        "created": now,
        "description": parameters.text("description") or "",
        "enabled_events": read_events(parameters, required=True),
        "event_payload": payload,
        "events_from": ["self"],
        "livemode": False,
        "metadata": parameters.metadata(),
        "name": parameters.required("name"),
        "status": "enabled",
        "type": "webhook_endpoint",
        "updated": now,
        "_url": read_url(endpoint),
        "_secret": world.new_id("whsec", 32).replace("_1", "_", 1),
    }
    version = parameters.text("snapshot_api_version")
    if version and (version != API_VERSION or payload != "snapshot"):
        raise invalid_parameter("snapshot_api_version", f"Only {API_VERSION}, and only for snapshots.")
    if payload == "snapshot":
        destination["snapshot_api_version"] = API_VERSION
    world.insert(destination)
    shown = {
        name: destination[private]
        for name, private in (("signing_secret", "_secret"), ("url", "_url"))
        if f"webhook_endpoint.{name}" in included
    }
    return {**destination, "webhook_endpoint": shown} if shown else destination


def _retrieve(world: World, call: Call, event_destination: str) -> Obj:
    return world.get("v2.core.event_destination", event_destination)


def _enable(world: World, call: Call, event_destination: str) -> Obj:
    return _switch(world, event_destination, "enabled")


def _disable(world: World, call: Call, event_destination: str) -> Obj:
    return _switch(world, event_destination, "disabled")


def _switch(world: World, identifier: str, status: str) -> Obj:
    found = world.get("v2.core.event_destination", identifier)
    return world.update(found, {"status": status, "updated": iso_time(world.now())})


def _delete(world: World, call: Call, event_destination: str) -> Obj:
    world.delete(world.get("v2.core.event_destination", event_destination))
    return {"id": event_destination, "object": "v2.core.event_destination"}


def _list(world: World, call: Call) -> Obj:
    found = world.find("v2.core.event_destination")
    return {"data": found, "next_page_url": None, "previous_page_url": None}


ROUTES = [
    Route("POST", "/v2/core/event_destinations", create),
    Route("GET", "/v2/core/event_destinations", _list),
    Route("GET", "/v2/core/event_destinations/{event_destination}", _retrieve),
    Route("DELETE", "/v2/core/event_destinations/{event_destination}", _delete),
    Route("POST", "/v2/core/event_destinations/{event_destination}/enable", _enable),
    Route("POST", "/v2/core/event_destinations/{event_destination}/disable", _disable),
]
