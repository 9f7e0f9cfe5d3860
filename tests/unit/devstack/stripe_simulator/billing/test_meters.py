"""Meters, their events, what is counted and what is reported as an error."""

from __future__ import annotations

import pytest

from devstack.stripe_simulator.failures import StripeFailure
from tests.unit.devstack.stripe_simulator.billing.conftest import Stripe, at

NOW = at("2026-01-01")


def send(stripe: Stripe, customer: str, value: object, identifier: str = "", **extra: object) -> None:
    identified = {"identifier": identifier} if identifier else {}
    payload = {"stripe_customer_id": customer, "value": value}
    stripe.post("billing/meter_events", event_name="tokens", payload=payload, **identified, **extra)


def counted(stripe: Stripe, meter: str, customer: str, **extra: object) -> list[float]:
    stripe.wall += 60
    stripe.tick()
    answer = stripe.get(
        f"billing/meters/{meter}/event_summaries", customer=customer, start_time=NOW, end_time=NOW + 86_400, **extra
    )
    return [summary["aggregated_value"] for summary in answer["data"]]


@pytest.mark.parametrize(("formula", "expected"), [("sum", 12), ("count", 3), ("last", 4)])
def test_aggregations(stripe: Stripe, formula: str, expected: int) -> None:
    meter, customer = stripe.meter(formula), stripe.customer()
    for value, offset in ((5, 10), (4, 30), (3, 20)):
        send(stripe, customer, value, timestamp=NOW + offset)
    assert counted(stripe, meter, customer) == [expected]


def test_events_count_a_moment_later(stripe: Stripe) -> None:
    meter, customer = stripe.meter(), stripe.customer()
    send(stripe, customer, 5)
    stripe.tick()
    path = f"billing/meters/{meter}/event_summaries"
    period = {"start_time": NOW, "end_time": NOW + 3600}
    assert stripe.get(path, customer=customer, **period)["data"][0]["aggregated_value"] == 0
    assert counted(stripe, meter, customer) == [5]


def test_summaries_by_hour_are_newest_first_and_only_where_something_was(stripe: Stripe) -> None:
    meter, customer = stripe.meter(), stripe.customer()
    stripe.wall += 4 * 3600
    for hours, value in ((0, 1), (2, 2), (2, 3)):
        send(stripe, customer, value, timestamp=NOW + hours * 3600)
    assert counted(stripe, meter, customer, value_grouping_window="hour") == [5, 1]
    assert counted(stripe, meter, customer, value_grouping_window="day") == [6]


@pytest.mark.parametrize("name", ["start_time", "end_time"])
def test_summaries_need_whole_minutes(stripe: Stripe, name: str) -> None:
    meter, customer = stripe.meter(), stripe.customer()
    times = {"start_time": NOW, "end_time": NOW + 60} | {name: NOW + 31}
    with pytest.raises(StripeFailure, match="minute boundaries"):
        stripe.get(f"billing/meters/{meter}/event_summaries", customer=customer, **times)


def test_an_identifier_is_taken_for_24_hours(stripe: Stripe) -> None:
    meter, customer = stripe.meter(), stripe.customer()
    send(stripe, customer, 5, "a")
    stripe.wall += 86_399
    with pytest.raises(StripeFailure, match="already exists"):
        send(stripe, customer, 5, "a")
    stripe.wall += 1
    send(stripe, customer, 5, "a", timestamp=NOW)
    assert counted(stripe, meter, customer) == [10]


@pytest.mark.parametrize(
    ("offset", "code"), [(-35 * 86_400 - 1, "timestamp_too_far_in_past"), (301, "timestamp_in_future")]
)
def test_times_out_of_reach_are_refused(stripe: Stripe, offset: int, code: str) -> None:
    stripe.meter()
    with pytest.raises(StripeFailure) as failure:
        send(stripe, stripe.customer(), 1, timestamp=NOW + offset)
    assert failure.value.code == code


def test_a_cancelled_event_does_not_count(stripe: Stripe) -> None:
    meter, customer = stripe.meter(), stripe.customer()
    for identifier in ("early", "late"):
        send(stripe, customer, 5, identifier)
    adjustment = {"event_name": "tokens", "type": "cancel"}
    stripe.post("billing/meter_event_adjustments", **adjustment, cancel={"identifier": "early"})
    assert counted(stripe, meter, customer) == [5]
    stripe.post("billing/meter_event_adjustments", **adjustment, cancel={"identifier": "late"})
    assert counted(stripe, meter, customer) == [0]
    with pytest.raises(StripeFailure, match="No meter event"):
        stripe.post("billing/meter_event_adjustments", **adjustment, cancel={"identifier": "late"})


def test_an_event_can_not_be_cancelled_after_a_day(stripe: Stripe) -> None:
    stripe.meter()
    send(stripe, stripe.customer(), 5, "a")
    stripe.wall += 86_401
    with pytest.raises(StripeFailure, match="24 hours"):
        stripe.post("billing/meter_event_adjustments", event_name="tokens", type="cancel", cancel={"identifier": "a"})


def test_what_can_not_be_counted_is_reported_by_reason(stripe: Stripe) -> None:
    meter, customer = stripe.meter(), stripe.customer()
    send(stripe, customer, "1.5", "fraction")
    send(stripe, customer, "1" * 16, "long")
    send(stripe, "cus_nobody", 1, "stranger")
    stripe.post("billing/meter_events", event_name="tokens", payload={"value": 1}, identifier="nobody")
    stripe.post("billing/meter_events", event_name="steps", payload={"value": 1}, identifier="unknown")
    assert counted(stripe, meter, customer) == [0]
    reports = {event["type"]: event for event in stripe.world.find("v2.core.event")}
    report = reports["v1.billing.meter.error_report_triggered"]
    assert report["related_object"]["id"] == meter
    found = {
        kind["code"]: kind["sample_errors"][0]["request"]["identifier"]
        for kind in report["data"]["reason"]["error_types"]
    }
    assert found == {
        "meter_event_invalid_value": "fraction",
        "meter_event_value_too_many_digits": "long",
        "meter_event_customer_not_found": "stranger",
        "meter_event_no_customer_defined": "nobody",
    }
    assert report["data"]["developer_message_summary"] == "There are 4 invalid events"
    missing = reports["v1.billing.meter.no_meter_found"]
    assert missing.get("related_object") is None
    assert missing["data"]["reason"]["error_types"][0]["code"] == "no_meter"


def test_an_archived_meter_counts_nothing_until_it_is_back(stripe: Stripe) -> None:
    meter, customer = stripe.meter(), stripe.customer()
    stripe.post(f"billing/meters/{meter}/deactivate")
    send(stripe, customer, 5)
    assert counted(stripe, meter, customer) == [0]
    errors = stripe.world.find("v2.core.event")[0]["data"]["reason"]["error_types"]
    assert [error["code"] for error in errors] == ["archived_meter"]
    stripe.post(f"billing/meters/{meter}/reactivate")
    send(stripe, customer, 5)
    assert counted(stripe, meter, customer) == [5]
    assert stripe.event_types("billing.meter") == [
        "billing.meter.created",
        "billing.meter.deactivated",
        "billing.meter.reactivated",
    ]


def test_one_active_meter_an_event_name(stripe: Stripe) -> None:
    stripe.meter()
    with pytest.raises(StripeFailure, match="already exists"):
        stripe.meter()
    assert stripe.post("billing/meters/" + stripe.meter(event_name="b"), display_name="New")["display_name"] == "New"
    assert len(stripe.get("billing/meters", status="active")["data"]) == 2
