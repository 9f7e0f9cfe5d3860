"""Webhook endpoints: who is told of snapshot events."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from devstack.stripe_simulator.failures import Obj, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page, paginate
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import API_VERSION, World

_TYPE = re.compile(r"\*|[a-z0-9_]+(\.[a-z0-9_]+)+")
_MOST = 16


def create(world: World, call: Call) -> Obj:
    """Create an endpoint. Its secret is in this answer only."""
    parameters = call.parameters
    version = parameters.text("api_version") or None
    if version not in (None, API_VERSION):
        raise invalid_parameter("api_version", f"Invalid API version: the simulator knows {API_VERSION}.")
    parameters.boolean("connect")
    if len(world.find("webhook_endpoint")) >= _MOST:
        raise invalid_parameter("url", f"You have reached the maximum of {_MOST} test webhook endpoints.")
    endpoint: Obj = {
        "id": world.new_id("we"),
        "object": "webhook_endpoint",
        "api_version": version,
        "application": None,
        "created": world.now(),
        "description": parameters.text("description") or None,
        "enabled_events": read_events(parameters, required=True),
        "livemode": False,
        "metadata": parameters.metadata(),
        "status": "enabled",
        "url": read_url(parameters),
        "_secret": world.new_id("whsec", 32).replace("_1", "_", 1),
    }
    world.insert(endpoint)
    return {**endpoint, "secret": endpoint["_secret"]}


def read_events(parameters: Parameters, *, required: bool) -> list[str]:
    """Return `enabled_events`: names of event types, or all by "*"."""
    events = parameters.texts("enabled_events")
    if not events:
        if required or events is not None:
            raise missing_parameter("enabled_events")
        return []
    for event in events:
        if not _TYPE.fullmatch(event):
            raise invalid_parameter("enabled_events", f"Invalid event type: {event[:50]}")
    return events


def read_url(parameters: Parameters) -> str:
    """Return `url`, which must be one of the web."""
    url = parameters.required("url")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        message = "Invalid URL: An explicit scheme (such as https) must be provided."
        raise invalid_parameter(parameters.path("url"), message, "url_invalid")
    return url


def _update(world: World, call: Call, webhook_endpoint: str) -> Obj:
    found, parameters = world.get("webhook_endpoint", webhook_endpoint), call.parameters
    changes: Obj = {"metadata": parameters.metadata(found["metadata"])}
    if parameters.given("description"):
        changes["description"] = parameters.text("description") or None
    if parameters.given("enabled_events"):
        changes["enabled_events"] = read_events(parameters, required=True)
    if parameters.given("url"):
        changes["url"] = read_url(parameters)
    if (disabled := parameters.boolean("disabled")) is not None:
        changes["status"] = "disabled" if disabled else "enabled"
    return world.update(found, changes)


def _retrieve(world: World, call: Call, webhook_endpoint: str) -> Obj:
    return world.get("webhook_endpoint", webhook_endpoint)


def _delete(world: World, call: Call, webhook_endpoint: str) -> Obj:
    world.delete(world.get("webhook_endpoint", webhook_endpoint))
    return {"id": webhook_endpoint, "object": "webhook_endpoint", "deleted": True}


def _list(world: World, call: Call) -> Page:
    return paginate(call.parameters, call.path, world.find("webhook_endpoint"))


ROUTES = [
    Route("POST", "/v1/webhook_endpoints", create),
    Route("GET", "/v1/webhook_endpoints", _list),
    Route("GET", "/v1/webhook_endpoints/{webhook_endpoint}", _retrieve),
    Route("POST", "/v1/webhook_endpoints/{webhook_endpoint}", _update),
    Route("DELETE", "/v1/webhook_endpoints/{webhook_endpoint}", _delete),
]
