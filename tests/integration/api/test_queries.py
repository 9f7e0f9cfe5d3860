from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from metering.meters import Meter, build_meter
from tests.integration.api.seed import store_events
from tests.integration.api.service import Service

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)


def make_meter(service: Service, client: httpx.Client, organization_id: str, **changes: Any) -> Meter:
    """Create a meter over HTTP and return it as the domain knows it."""
    body: dict[str, Any] = {
        "slug": "tokens",
        "event_type": "llm.request",
        "aggregation": "SUM",
        "value_property": "$.tokens",
        "group_by": {"model": "$.model"},
    } | changes
    client.post("/api/v1/meters", json=body).raise_for_status()
    ((meter_id,),) = service.sql(
        "select id::text from meters where organization_id = %s and slug = %s", organization_id, body["slug"]
    )
    return build_meter(id=meter_id, organization_id=organization_id, **body)


def fill(service: Service, client: httpx.Client, slug: str) -> None:
    """Store four events in two hours, of two subjects and models."""
    organization_id = service.organization_id(slug)
    meter = make_meter(service, client, organization_id)
    later = HOUR + timedelta(hours=1)
    store_events(
        service,
        organization_id,
        [
            {"id": "a", "subject": "s1", "time": HOUR.isoformat(), "data": {"tokens": 1, "model": "small"}},
            {"id": "b", "subject": "s2", "time": HOUR.isoformat(), "data": {"tokens": "0.1", "model": "large"}},
            {"id": "c", "subject": "s1", "time": later.isoformat(), "data": {"tokens": 0.2, "model": "=2+5"}},
            {"id": "d", "subject": "s1", "time": later.isoformat(), "data": {"tokens": 7}},
        ],
        meters=[meter],
    )


def test_a_meter_answers_exactly(service: Service, acme: httpx.Client, acme_slug: str) -> None:
    fill(service, acme, acme_slug)
    whole = acme.get("/api/v1/meters/tokens/query").json()
    assert (whole["meter"], whole["window_size"], whole["window_time_zone"]) == ("tokens", None, "UTC")
    assert [row["value"] for row in whole["data"]] == ["8.3"]
    assert whole["data"][0]["group_by"] == {}

    span = {"from": HOUR.isoformat(), "to": (HOUR + timedelta(hours=2)).isoformat()}
    hourly = acme.get("/api/v1/meters/tokens/query", params={**span, "window_size": "HOUR"}).json()["data"]
    assert [row["value"] for row in hourly] == ["1.1", "7.2"]
    assert datetime.fromisoformat(hourly[0]["window_start"]) == HOUR
    assert hourly[0]["window_end"] == hourly[1]["window_start"]

    grouped = acme.get("/api/v1/meters/tokens/query", params={"group_by": ["subject", "model"]}).json()["data"]
    assert {(row["subject"], row["group_by"]["model"]): row["value"] for row in grouped} == {
        ("s1", "small"): "1",
        ("s1", "=2+5"): "0.2",
        ("s1", ""): "7",
        ("s2", "large"): "0.1",
    }
    filtered = acme.get(
        "/api/v1/meters/tokens/query",
        params={"filter_group_by[model]": ["small", "large"], "subject": ["s1", "s2"]},
    )
    assert [row["value"] for row in filtered.json()["data"]] == ["1.1"]
    one = acme.get("/api/v1/meters/tokens/query", params={"subject": "s2"}).json()["data"]
    assert [(row["subject"], row["value"]) for row in one] == [("s2", "0.1")]


@pytest.mark.parametrize(("parameters", "accept"), [({"format": "csv"}, "*/*"), ({}, "text/csv")])
def test_numbers_as_csv(
    service: Service, acme: httpx.Client, acme_slug: str, parameters: dict[str, str], accept: str
) -> None:
    fill(service, acme, acme_slug)
    answer = acme.get(
        "/api/v1/meters/tokens/query",
        params={**parameters, "group_by": ["subject", "model"]},
        headers={"Accept": accept},
    )
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert list(rows[0]) == ["window_start", "window_end", "subject", "model", "value"]
    # What a spreadsheet would take for a formula is quoted.
    assert sorted((row["subject"], row["model"], row["value"]) for row in rows) == [
        ("s1", "", "7"),
        ("s1", "'=2+5", "0.2"),
        ("s1", "small", "1"),
        ("s2", "large", "0.1"),
    ]


@pytest.mark.parametrize(
    "parameters",
    [
        {"window_size": "FORTNIGHT"},
        {"window_time_zone": "Mars/Olympus"},
        {"from": "yesterday"},
        {"from": "2026-01-01T00:00:00"},
        {"from": "0001-01-01T00:00:00Z"},
        {"to": "9999-12-31T23:59:59Z"},
        {"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        {"from": "2000-01-01T00:00:00Z", "window_size": "MINUTE"},
        {"group_by": "unknown"},
        {"filter_group_by[unknown]": "x"},
        {"filter_group_by": "x"},
        {"filter_group_by[model]": "x\x00"},
        {"subject": ""},
        {"subject": "nul\x00"},
        {"format": "xml"},
    ],
)
def test_questions_without_sense_are_refused(
    service: Service, acme: httpx.Client, acme_slug: str, parameters: dict[str, str]
) -> None:
    make_meter(service, acme, service.organization_id(acme_slug))
    answer = acme.get("/api/v1/meters/tokens/query", params=parameters)
    assert answer.status_code == 400, answer.text


def test_group_values_and_subjects_in_pages(
    service: Service, acme: httpx.Client, globex: httpx.Client, acme_slug: str
) -> None:
    fill(service, acme, acme_slug)
    path = "/api/v1/meters/tokens/group-by/model/values"
    assert acme.get(path).json()["data"] == ["", "=2+5", "large", "small"]
    first = acme.get(path, params={"limit": 1}).json()
    assert (first["data"], first["has_more"]) == ([""], True)
    assert acme.get(path, params={"cursor": first["next_cursor"]}).json()["data"] == ["=2+5", "large", "small"]
    assert acme.get("/api/v1/meters/tokens/group-by/unknown/values").status_code == 400
    assert acme.get("/api/v1/meters/unknown/group-by/model/values").status_code == 404

    assert acme.get("/api/v1/subjects").json()["data"] == [{"subject": "s1"}, {"subject": "s2"}]
    first = acme.get("/api/v1/subjects", params={"limit": 1}).json()
    assert acme.get("/api/v1/subjects", params={"cursor": first["next_cursor"]}).json()["data"] == [{"subject": "s2"}]
    assert globex.get("/api/v1/subjects").json()["data"] == []


def test_events_are_found(service: Service, acme: httpx.Client, globex: httpx.Client, acme_slug: str) -> None:
    fill(service, acme, acme_slug)
    found = acme.get("/api/v1/events").json()["data"]
    assert {event["id"] for event in found} == {"a", "b", "c", "d"}
    (b,) = acme.get("/api/v1/events", params={"id": "b"}).json()["data"]
    assert (b["subject"], b["event"]["data"]) == ("s2", {"tokens": "0.1", "model": "large"})
    assert datetime.fromisoformat(b["time"]) == HOUR
    ids = {event["id"] for event in acme.get("/api/v1/events", params={"subject": "s1"}).json()["data"]}
    assert ids == {"a", "c", "d"}
    early = {"from": HOUR.isoformat(), "to": (HOUR + timedelta(minutes=1)).isoformat()}
    assert {event["id"] for event in acme.get("/api/v1/events", params=early).json()["data"]} == {"a", "b"}
    assert globex.get("/api/v1/events").json()["data"] == []
    assert globex.get("/api/v1/events", params={"id": "b"}).json()["data"] == []

    seen, cursor = [], None
    for _ in range(4):
        page = acme.get("/api/v1/events", params={"limit": 1, **({"cursor": cursor} if cursor else {})}).json()
        seen += [event["id"] for event in page["data"]]
        cursor = page["next_cursor"]
    assert (sorted(seen), cursor) == (["a", "b", "c", "d"], None)


def test_events_come_back_as_they_came(service: Service, acme: httpx.Client, acme_slug: str) -> None:
    body = {"id": "x", "data": {"n": 1, "text": "é"}}
    store_events(service, service.organization_id(acme_slug), [body])
    # Spaces and escapes too: the event is not decoded and written again.
    assert json.dumps(body)[1:] in acme.get("/api/v1/events").text
