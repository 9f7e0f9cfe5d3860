"""The receivers of events that the configuration names: there from the start, with a secret known on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from devstack.stripe_simulator import event_destinations, webhook_endpoints
from devstack.stripe_simulator.config import SimulatorConfig
from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.forms import Parameters, decode
from devstack.stripe_simulator.routes import Call
from devstack.stripe_simulator.world import World

_METADATA: Final = {"made_by": "configuration"}
_MARK: Final = {f"metadata[{name}]": value for name, value in _METADATA.items()}
_THIN: Final = {
    "enabled_events[0]": "v1.billing.meter.error_report_triggered",
    "enabled_events[1]": "v1.billing.meter.no_meter_found",
}


def keep_receivers(world: World, config: SimulatorConfig) -> None:
    """Make the two receivers, or bring those of an earlier start to today's address and secret."""
    if config.webhook_url is None:
        return
    url, secret = config.webhook_url, config.webhook_secret
    with world.call():
        endpoint = _marked(world, "webhook_endpoint")
        if endpoint is None:
            form = {"url": url, "enabled_events[0]": "*", **_MARK}
            endpoint = _made(world, "webhook_endpoint", webhook_endpoints.create(world, _call(form)))
        world.update(endpoint, {"url": url, "_secret": secret, "status": "enabled"})
        destination = _marked(world, "v2.core.event_destination")
        if destination is None:
            form = {"type": "webhook_endpoint", "name": "Thin events", "event_payload": "thin",
                    "webhook_endpoint[url]": url, **_THIN, **_MARK}  # fmt: skip
            destination = _made(world, "v2.core.event_destination", event_destinations.create(world, _call(form)))
        world.update(destination, {"_url": url, "_secret": secret, "status": "enabled"})


def _marked(world: World, kind: str) -> Obj | None:
    return next((each for each in world.find(kind) if each["metadata"] == _METADATA), None)


def _made(world: World, kind: str, answer: Obj) -> Obj:
    made = world.known(kind, answer["id"])
    assert made is not None
    return made


def _call(form: Mapping[str, str]) -> Call:
    return Call("POST", "", Parameters(decode(urlencode(form))), "req_configuration")
