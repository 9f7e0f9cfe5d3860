"""Events, both forms: kept for 30 days, listed, fetched."""

from __future__ import annotations

from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.pages import Page, paginate, within
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

_KEPT_S = 30 * 86_400
_PAGE = 20


def forget_old(world: World) -> None:
    """Drop what Stripe would not list any more, by the time at which it was written."""
    oldest = world.clock.now() - _KEPT_S
    for kind in ("event", "v2.core.event"):
        for event in world.find(kind):
            if event["_written"] < oldest:
                world.delete(event)


def _retrieve(world: World, call: Call, event: str) -> Obj:
    return world.get("event", event)


def _list(world: World, call: Call) -> Page:
    parameters = call.parameters
    kind, kinds = parameters.text("type"), parameters.texts("types")
    delivered = parameters.boolean("delivery_success")
    oldest = world.clock.now() - _KEPT_S
    found = [
        event
        for event in world.find("event")
        if event["_written"] >= oldest
        and (not kind or _matches(event["type"], kind))
        and (not kinds or event["type"] in kinds)
        and (delivered is None or (event["pending_webhooks"] == 0) == delivered)
    ]
    return paginate(parameters, call.path, within(parameters, found))


def _matches(kind: str, wanted: str) -> bool:
    """Say whether `wanted` names the type, be it as `customer.*`."""
    return kind.startswith(wanted[:-1]) if wanted.endswith("*") else kind == wanted


def _retrieve_thin(world: World, call: Call, event: str) -> Obj:
    return world.get("v2.core.event", event)


def _list_thin(world: World, call: Call) -> Obj:
    parameters = call.parameters
    about, kinds = parameters.text("object_id"), parameters.texts("types")
    limit, page = parameters.integer("limit", least=1, most=100) or _PAGE, parameters.integer("page", least=0) or 0
    found = [
        event
        for event in world.find("v2.core.event")
        if (not about or event.get("related_object", {}).get("id") == about) and (not kinds or event["type"] in kinds)
    ]
    shown = found[page : page + limit]
    following = f"{call.path}?page={page + limit}&limit={limit}" if len(found) > page + limit else None
    return {"data": shown, "next_page_url": following, "previous_page_url": None}


ROUTES = [
    Route("GET", "/v1/events", _list),
    Route("GET", "/v1/events/{event}", _retrieve),
    Route("GET", "/v2/core/events", _list_thin),
    Route("GET", "/v2/core/events/{event}", _retrieve_thin),
]
