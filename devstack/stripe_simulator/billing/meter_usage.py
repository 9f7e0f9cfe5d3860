"""How much a meter read for a customer in a time: for invoice lines and for event summaries.

docs.stripe.com/api/billing/meter-event-summary/list,
docs.stripe.com/billing/subscriptions/usage-based/meters/configure
"""

from __future__ import annotations

from collections.abc import Sequence

from devstack.stripe_simulator.billing.meter_readings import COUNTED
from devstack.stripe_simulator.billing.meters import METER
from devstack.stripe_simulator.billing.periods import DAY
from devstack.stripe_simulator.failures import Obj, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page, paginate
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

_WINDOWS_S = {"hour": 3_600, "day": DAY}
_MINUTE_S = 60


def billed(world: World, meter: str, customer: str, start: int, end: int) -> int:
    """Return the usage of [start, end) as invoices have it: "If the overall cycle usage is negative, … 0"."""
    found = world.get(METER, meter)
    return max(0, _aggregate(found, _events(world, found, customer, start, end)))


def summarize(world: World, call: Call, meter: str) -> Page:
    """List a customer's usage: of the whole time, or of each hour or day in which there was some, newest first."""
    sent = call.parameters
    found = world.get(METER, meter)
    customer = world.get("customer", sent.required("customer"), "customer")
    window = _WINDOWS_S.get(sent.choice("value_grouping_window", _WINDOWS_S) or "")
    start, end = (_aligned(sent, name, window or _MINUTE_S) for name in ("start_time", "end_time"))
    if end <= start:
        raise invalid_parameter("end_time", "end_time must be after start_time.")
    events = _events(world, found, customer["id"], start, end)
    groups: dict[tuple[int, int], list[Obj]] = {} if window else {(start, end): events}
    for event in events if window else ():
        since = event["timestamp"] - event["timestamp"] % window
        groups.setdefault((since, since + window), []).append(event)
    summaries = [_summary(found, customer, period, groups[period]) for period in sorted(groups, reverse=True)]
    return paginate(sent, call.path, summaries)


def _events(world: World, meter: Obj, customer: str, start: int, end: int) -> list[Obj]:
    """Return the events of [start, end) by their time; those of one second as they came."""
    events = reversed(world.find(COUNTED, meter=meter["id"], customer=customer))
    return sorted((event for event in events if start <= event["timestamp"] < end), key=lambda each: each["timestamp"])


def _aggregate(meter: Obj, events: Sequence[Obj]) -> int:
    if meter["default_aggregation"]["formula"] == "last":
        return events[-1]["value"] if events else 0
    return sum(event["value"] for event in events)


def _summary(meter: Obj, customer: Obj, period: tuple[int, int], events: Sequence[Obj]) -> Obj:
    start, end = period
    return {
        "id": f"mtrusg_{meter['id'][-12:]}_{customer['id'][-8:]}_{start}_{end}",
        "object": "billing.meter_event_summary",
        "aggregated_value": _aggregate(meter, events),
        "end_time": end,
        "livemode": False,
        "meter": meter["id"],
        "start_time": start,
    }


def _aligned(sent: Parameters, name: str, unit_s: int) -> int:
    value = sent.integer(name)
    if value is None:
        raise missing_parameter(name)
    if value % unit_s:
        unit = {_MINUTE_S: "minute", 3_600: "hour", DAY: "day"}[unit_s]
        raise invalid_parameter(name, f"{name} must be aligned with {unit} boundaries.")
    return value


ROUTES = [Route("GET", "/v1/billing/meters/{meter}/event_summaries", summarize)]
