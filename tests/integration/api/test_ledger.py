from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.operations.monitor import Monitor
from tests.engines import wait_for
from tests.integration.api.service import Service


@pytest.fixture(autouse=True)
def empty_books(service: Service) -> Iterator[None]:
    """Leave the shared books empty."""
    yield
    for table in ("stream_blocks", "stream_positions", "warehouse_loads", "dead_letters"):
        service.sql(f"delete from {table}")  # type: ignore[arg-type]  # names of ours


def block(service: Service, partition: int, start: int, end: int, *, duplicates: int = 0, rejected: int = 0) -> None:
    """Write a journal row of consecutive records."""
    records = end - start
    service.sql(
        "insert into stream_blocks (topic, partition, from_position, to_position, records, counted, duplicates,"
        " rejected, forwarded, arrival_hour, rules_version, catalogue_version)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, 0, '2026-11-23 12:00Z', 1, 1)",
        *(service.topic, partition, start, end, records, records - duplicates - rejected, duplicates, rejected),
    )
    service.sql(
        "insert into stream_positions values ('metering', %s, %s, %s)"
        " on conflict (consumer, topic, partition) do update set position = excluded.position",
        *(service.topic, partition, end),
    )


def load(service: Service, partition: int, start: int, end: int, counted: int) -> None:
    """Write a done load, of which ClickHouse holds nothing."""
    service.sql(
        "insert into warehouse_loads (topic, partition, from_position, to_position, counted, state, done_at)"
        " values (%s, %s, %s, %s, %s, 'done', now())",
        *(service.topic, partition, start, end, counted),
    )


def dead_letter(service: Service, partition: int, offset: int) -> None:
    service.sql(
        'insert into dead_letters (topic, partition, "offset", code, message, arrival_at, raw_bytes)'
        " values (%s, %s, %s, 'X', 'x', now(), 0)",
        *(service.topic, partition, offset),
    )


def differences(operator: httpx.Client) -> list[tuple[str, int, int, int]]:
    answer: dict[str, Any] = operator.get("/api/v1/ledger").json()
    assert answer["clean"] is not bool(answer["differences"])
    return [(found["check"], found["partition"], found["expected"], found["found"]) for found in answer["differences"]]


def test_a_clean_ledger_adds_up(service: Service, operator: httpx.Client) -> None:
    block(service, 0, 0, 10, duplicates=2)
    block(service, 0, 10, 15, rejected=1)
    dead_letter(service, 0, 12)
    block(service, 2, 0, 4)
    answer = operator.get("/api/v1/ledger").json()
    assert (answer["clean"], answer["differences"]) == (True, [])
    names = ("partition", "records", "counted", "duplicates", "rejected")
    shown = [[hour[name] for name in names] for hour in answer["hours"]]
    assert shown == [[0, 15, 12, 2, 1], [2, 4, 4, 0, 0]]
    assert operator.get("/api/v1/ledger", params={"to": "2026-11-23T12:00:00Z"}).json()["hours"] == []


def test_each_kind_of_difference_is_found_at_its_place(service: Service, operator: httpx.Client) -> None:
    block(service, 0, 0, 10)
    block(service, 0, 12, 20)
    assert differences(operator) == [("gaps", 0, 10, 12)]
    block(service, 0, 10, 12)
    service.sql("update stream_positions set position = 20")
    assert differences(operator) == []

    service.sql("update stream_positions set position = 25")
    assert differences(operator) == [("ends", 0, 25, 20)]
    service.sql("update stream_positions set position = 20")

    block(service, 1, 5, 6)
    assert differences(operator) == [("gaps", 1, 0, 5)]
    service.sql("delete from stream_blocks where partition = 1")
    service.sql("delete from stream_positions where partition = 1")

    dead_letter(service, 0, 3)
    assert differences(operator) == [("strays", 0, 0, 1)]
    service.sql("delete from dead_letters")
    block(service, 0, 20, 22, rejected=2)
    assert differences(operator) == [("rejected", 0, 2, 0)]
    dead_letter(service, 0, 20)
    dead_letter(service, 0, 21)
    assert differences(operator) == []

    load(service, 0, 0, 10, counted=0)
    assert [found[0] for found in differences(operator)] == ["load_counts"]
    service.sql("update warehouse_loads set counted = 10")
    assert differences(operator) == [("clickhouse", 0, 10, 0)]
    load(service, 0, 12, 20, counted=8)
    assert {found[0] for found in differences(operator)} == {"load_gaps", "load_counts", "clickhouse"}


def test_only_operators_see_the_ledger(service: Service, acme: httpx.Client) -> None:
    answer = acme.get("/api/v1/ledger")
    assert (answer.status_code, answer.json()["error"]["details"]["required"]) == (403, "operator")


def test_a_difference_shows_in_the_metric_and_in_readiness(service: Service) -> None:
    monitor: Monitor = service.app.state.monitor
    with service.client() as client:
        # It may have looked while a test before this one made differences.
        monitor._ledger_due_s = 0.0
        wait_for("ready", lambda: client.get("/readyz").status_code == 200)
        block(service, 0, 3, 4)
        monitor._ledger_due_s = 0.0

        def differs() -> bool:
            return "meterstream_ledger_differences 1.0" in client.get("/metrics").text

        wait_for("the metric tells", differs)
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "does not start where the last one ended" in answer.json()["parts"]["ledger"]["reason"]
        service.sql("delete from stream_blocks")
        service.sql("delete from stream_positions")
        monitor._ledger_due_s = 0.0
        wait_for("ready again", lambda: client.get("/readyz").status_code == 200)


def test_lag_is_told_a_partition(service: Service, acme: httpx.Client) -> None:
    body = [{"id": str(number), "type": "t", "subject": "one", "data": {}} for number in range(3)]
    acme.post("/api/v1/events", json=body).raise_for_status()
    began = time.monotonic()
    with service.client() as client:

        def lag() -> float:
            lines = client.get("/metrics").text.splitlines()
            found = [line for line in lines if line.startswith('meterstream_lag_records{app="metering"')]
            return sum(float(line.rsplit(" ", 1)[1]) for line in found)

        wait_for("lag is seen", lambda: lag() >= 3)
        assert time.monotonic() - began < 15
        assert client.get("/readyz").json()["parts"]["metering"]["ok"]
