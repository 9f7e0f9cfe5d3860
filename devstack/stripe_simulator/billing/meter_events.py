"""Meter events as they come in: taken at once, judged a moment later by `meter_readings`.

docs.stripe.com/billing/subscriptions/usage-based/recording-usage-api: asynchronous, −35 days … +5 minutes,
identifiers unique for 24 hours at least (here they are free again after exactly that), cancellation within 24 hours.
"""

from __future__ import annotations

from devstack.stripe_simulator.billing.meter_readings import COUNTED, TAKEN, meter_of
from devstack.stripe_simulator.billing.periods import DAY
from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

_IDENTIFIER = "_meter_event_identifier"
_OLDEST_S, _FUTURE_S = 35 * DAY, 5 * 60
_DELAY_S = 1
_NAME_LENGTH = 100


def create(world: World, call: Call) -> Obj:
    """Take an event; only its form, time and identifier are judged now."""
    sent = call.parameters
    sent.text("event_name", max_length=_NAME_LENGTH)
    event_name = sent.required("event_name")
    payload = _payload(sent)
    now = _now_of(world, event_name, payload)
    identifier = sent.text("identifier", max_length=_NAME_LENGTH) or world.new_id("mtr_evt")
    answer = {
        "object": "billing.meter_event",
        "created": now,
        "event_name": event_name,
        "identifier": identifier,
        "livemode": False,
        "payload": payload,
        "timestamp": _timestamp(sent, now),
    }
    event = world.insert(answer | {"object": TAKEN, "id": world.new_id("mevt"), "due_at": world.clock.now() + _DELAY_S})
    _claim(world, event)
    return answer


def adjust(world: World, call: Call) -> Obj:
    """Cancel an event by its identifier, within 24 hours of its creation."""
    sent = call.parameters
    event_name, kind = sent.required("event_name"), sent.required("type")
    sent.choice("type", ("cancel",))
    cancel = sent.mapping("cancel")
    if cancel is None:
        raise missing_parameter("cancel")
    identifier = cancel.required("identifier")
    claim = world.known(_IDENTIFIER, identifier)
    event = claim and (world.known(TAKEN, claim["event"]) or world.known(COUNTED, claim["event"]))
    if not event or event["event_name"] != event_name:
        raise invalid_parameter("cancel[identifier]", f"No meter event found with identifier {identifier}.")
    if world.now(event) > event["created"] + DAY:
        message = "Only meter events received within the past 24 hours can be cancelled."
        raise invalid_parameter("cancel[identifier]", message)
    world.delete(event)
    return {
        "object": "billing.meter_event_adjustment",
        "cancel": {"identifier": identifier},
        "event_name": event_name,
        "livemode": False,
        "status": "pending",
        "type": kind,
    }


def _payload(sent: Parameters) -> dict[str, str]:
    payload = sent.mapping("payload")
    if payload is None:
        raise missing_parameter("payload")
    return {name: payload.text(name) or "" for name in payload.names()}


def _now_of(world: World, event_name: str, payload: dict[str, str]) -> int:
    """Return the time on the clock of the customer whose usage it is, if that is known."""
    meter = meter_of(world, event_name)
    return world.now({"customer": payload.get(meter["customer_mapping"]["event_payload_key"]) if meter else None})


def _timestamp(sent: Parameters, now: int) -> int:
    timestamp = sent.integer("timestamp")
    if timestamp is None:
        return now
    if timestamp < now - _OLDEST_S:
        message = "The timestamp must be within the past 35 calendar days."
        raise invalid_parameter("timestamp", message, "timestamp_too_far_in_past")
    if timestamp > now + _FUTURE_S:
        message = "The timestamp must not be more than 5 minutes in the future."
        raise invalid_parameter("timestamp", message, "timestamp_in_future")
    return timestamp


def _claim(world: World, event: Obj) -> None:
    """Keep the identifier from being used again. Raises: StripeFailure where it was within 24 hours."""
    claim = {"event": event["id"], "until": event["created"] + DAY}
    known = world.known(_IDENTIFIER, event["identifier"])
    if known is None:
        world.insert({"id": event["identifier"], "object": _IDENTIFIER, **claim})
    elif known["until"] > event["created"]:
        message = f"An event already exists with identifier {event['identifier']}."
        raise StripeFailure(message, code="duplicate_meter_event", param="identifier")
    else:
        world.update(known, claim)


ROUTES = [
    Route("POST", "/v1/billing/meter_events", create),
    Route("POST", "/v1/billing/meter_event_adjustments", adjust),
]
