"""What meter events say: whose usage, how much; or why they can not be counted, as error reports.

docs.stripe.com/billing/subscriptions/usage-based/recording-usage-api ("only accepts whole number values") and, for
the reports, docs.stripe.com/api/v2/core/events/object and the event's class in stripe-python.
"""

from __future__ import annotations

import re

from devstack.stripe_simulator.billing.meters import METER
from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.world import World, iso_time

TAKEN = "_taken_meter_event"
"""Events that were answered, but not yet judged."""
COUNTED = "_meter_event"
"""Events that count: of a known meter and customer, with a value."""
_WHOLE = re.compile(r"-?\d+")
_DIGITS = 15
_SAMPLES = 5


class Uncountable(Exception):
    """Why an event can not be counted, by a code of Stripe's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def judge(world: World, until: int | None = None) -> None:
    """Count the events taken that are due at `until` on the wall clock (all of them without it), and report errors."""
    errors: dict[str | None, list[tuple[Uncountable, str]]] = {}
    for event in reversed(world.find(TAKEN)):
        if until is not None and event["due_at"] > until:
            continue
        world.delete(event)
        meter = meter_of(world, event["event_name"])
        try:
            world.insert(event | _reading(world, meter, event) | {"object": COUNTED})
        except Uncountable as error:
            errors.setdefault(meter["id"] if meter else None, []).append((error, event["identifier"]))
    for identifier, found in errors.items():
        name = "error_report_triggered" if identifier else "no_meter_found"
        world.emit_thin(f"v1.billing.meter.{name}", world.known(METER, identifier), _report(world.now(), found))


def meter_of(world: World, event_name: str) -> Obj | None:
    """Return the meter that an event is for: the active one, else the last that was."""
    meters = world.find(METER, event_name=event_name)
    return next((meter for meter in meters if meter["status"] == "active"), meters[0] if meters else None)


def _reading(world: World, meter: Obj | None, event: Obj) -> Obj:
    """Return whose usage it is and how much. Raises: Uncountable."""
    if meter is None:
        raise Uncountable("no_meter", f"No meter found for event name {event['event_name']}.")
    if meter["status"] == "inactive":
        raise Uncountable("archived_meter", "The meter is archived.")
    key = meter["customer_mapping"]["event_payload_key"]
    customer = event["payload"].get(key)
    if not customer:
        raise Uncountable("meter_event_no_customer_defined", f"Customer mapping key {key} not found in payload.")
    if world.known("customer", customer) is None:
        raise Uncountable("meter_event_customer_not_found", f"No customer found with id {customer}.")
    return {"meter": meter["id"], "customer": customer, "value": _value(meter, event["payload"])}


def _value(meter: Obj, payload: Obj) -> int:
    if meter["default_aggregation"]["formula"] == "count":
        return 1
    value = payload.get(meter["value_settings"]["event_payload_key"], "")
    if not _WHOLE.fullmatch(value):
        raise Uncountable("meter_event_invalid_value", f"The value '{value[:50]}' is not a whole number.")
    if len(value.lstrip("-")) > _DIGITS:
        raise Uncountable("meter_event_value_too_many_digits", f"The value has more than {_DIGITS} digits.")
    return int(value)


def _report(now: int, found: list[tuple[Uncountable, str]]) -> Obj:
    """Return a report's data: the errors of one meter by their codes, with a few samples each."""
    by_code: dict[str, list[Obj]] = {}
    for error, identifier in found:
        sample = {"error_message": str(error), "request": {"identifier": identifier}}
        by_code.setdefault(error.code, []).append(sample)
    count = len(found)
    return {
        "developer_message_summary": f"There {'is 1 invalid event' if count == 1 else f'are {count} invalid events'}",
        "reason": {
            "error_count": count,
            "error_types": [
                {"code": code, "error_count": len(samples), "sample_errors": samples[:_SAMPLES]}
                for code, samples in by_code.items()
            ],
        },
        "validation_end": iso_time(now),
        "validation_start": iso_time(now - 10),
    }
