from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest

from metering.partitions import home_partition
from tests.integration.api.service import Service

BATCH = {"Content-Type": "application/cloudevents-batch+json"}
ONE = {"Content-Type": "application/cloudevents+json"}
PLAIN = {"Content-Type": "application/json"}


def event(event_id: str = "e1", **changes: Any) -> dict[str, Any]:
    made = {
        "specversion": "1.0",
        "id": event_id,
        "source": "test",
        "type": "llm.request",
        "subject": "customer-1",
        "data": {"tokens": 5},
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


def test_accepted_events_are_in_the_log_as_they_came(service: Service, acme: httpx.Client, acme_slug: str) -> None:
    bodies = [
        b'{ "specversion":"1.0", "id":"a", "source":"test", "type":"t", "subject":"s1", "data":{"n":1.10} }',
        '{"specversion":"1.0","id":"b","source":"test","type":"t","subject":"sübject","data":{"é":"\\u00e9"}}'.encode(),
    ]
    answer = acme.post("/api/v1/events", content=b" [" + b" ,\n".join(bodies) + b"] ", headers=BATCH)
    assert (answer.status_code, answer.json()) == (200, {"accepted": 2, "rejected": []})
    records = {record.value: record for record in service.records(acme_slug)}
    assert set(records) == set(bodies)
    for body, subject in zip(bodies, ("s1", "sübject"), strict=True):
        record = records[body]
        assert record.key == subject.encode()
        assert record.headers == (("organization", acme_slug.encode()),)
        assert record.partition == home_partition(subject, service.settings.kafka.partitions)


def test_a_batch_says_of_each_event_what_is_wrong_and_takes_the_rest(
    service: Service, acme: httpx.Client, acme_slug: str
) -> None:
    texts = [
        json.dumps(event("good-1")),
        json.dumps(event("no-subject", subject=None)),
        '{"id": NaN}',
        '"no object"',
        json.dumps(event("x" * 257)),
        json.dumps(event("reserved", type="meterstream.x")),
        json.dumps(event("other", organization="globex")),
        json.dumps(event("late", time="2020-01-01T00:00:00Z")),
        json.dumps(event("digits", data={"n": 1})).replace("1}", "1" * 40 + "}"),
        '{"specversion":"1.0","id":"twice","id":"twice","source":"s","type":"t","subject":"s"}',
        json.dumps(event("good-2")),
    ]
    answer = acme.post("/api/v1/events", content="[" + ",".join(texts) + "]", headers=BATCH)
    assert answer.status_code == 200
    body = answer.json()
    assert body["accepted"] == 2
    assert [(item["index"], item["code"]) for item in body["rejected"]] == [
        (1, "MISSING_FIELD"),
        (2, "INVALID_JSON"),
        (3, "NOT_AN_OBJECT"),
        (4, "INVALID_FIELD"),
        (5, "RESERVED_TYPE"),
        (6, "ORGANIZATION_MISMATCH"),
        (7, "TIME_TOO_OLD"),
        (8, "INVALID_NUMBER"),
        (9, "DUPLICATE_NAME"),
    ]
    assert body["rejected"][0]["id"] == "no-subject"
    assert "subject" in body["rejected"][0]["message"]
    assert {json.loads(record.value)["id"] for record in service.records(acme_slug)} == {"good-1", "good-2"}


def test_a_single_event_that_is_rejected_is_an_error(service: Service, acme: httpx.Client, acme_slug: str) -> None:
    answer = acme.post("/api/v1/events", json=event("e1", subject=None), headers=ONE)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "MISSING_FIELD"
    assert answer.json()["error"]["details"] == {"index": 0, "id": "e1"}
    assert service.records(acme_slug) == []


def test_plain_json_may_leave_out_what_cloudevents_requires(
    service: Service, acme: httpx.Client, acme_slug: str
) -> None:
    body = {"id": "e1", "type": "t", "subject": "s", "data": {"n": 1}}
    assert acme.post("/api/v1/events", json=body, headers=PLAIN).json() == {"accepted": 1, "rejected": []}
    stored = json.loads(service.records(acme_slug)[0].value)
    assert stored == {**body, "specversion": "1.0", "source": "http"}
    assert acme.post("/api/v1/events", json=body, headers=ONE).status_code == 400


def test_idempotency_key_gives_ids(service: Service, acme: httpx.Client, acme_slug: str) -> None:
    bodies = [event("given"), event(None), event(None)]  # type: ignore[arg-type]
    without = acme.post("/api/v1/events", json=bodies, headers=BATCH).json()
    assert (without["accepted"], [item["index"] for item in without["rejected"]]) == (1, [1, 2])
    answer = acme.post("/api/v1/events", json=bodies, headers={**BATCH, "Idempotency-Key": "import-7"})
    assert answer.json() == {"accepted": 3, "rejected": []}
    ids = {json.loads(record.value)["id"] for record in service.records(acme_slug)}
    assert ids == {"given", "import-7#1", "import-7#2"}


@pytest.mark.parametrize("key", ["", "x" * 250, "a\tb"])
def test_unusable_idempotency_keys_are_refused(acme: httpx.Client, key: str) -> None:
    answer = acme.post("/api/v1/events", json=[event()], headers={**BATCH, "Idempotency-Key": key})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", BATCH, 400),
        (b"nonsense", PLAIN, 400),
        (b"[1, 2", BATCH, 400),
        (b'"text"', PLAIN, 400),
        (b"{}", BATCH, 400),
        (b"[]", ONE, 400),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {**PLAIN, "Content-Encoding": "br"}, 415),
        (b"{}", {**PLAIN, "Content-Encoding": "gzip"}, 400),
        (b"\xff\xfe[]", PLAIN, 400),
    ],
)
def test_bodies_that_are_no_events_are_refused(
    acme: httpx.Client, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = acme.post("/api/v1/events", content=body, headers=headers)
    assert answer.status_code == status
    assert answer.json()["success"] is False
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_an_empty_batch_is_fine(acme: httpx.Client) -> None:
    assert acme.post("/api/v1/events", json=[], headers=BATCH).json() == {"accepted": 0, "rejected": []}


def test_invalid_utf8_in_one_event_spoils_only_that_one(acme: httpx.Client) -> None:
    good = json.dumps(event("good")).encode()
    answer = acme.post("/api/v1/events", content=b"[" + good + b',{"id":"\xff"}]', headers=BATCH)
    assert answer.json()["accepted"] == 1
    assert answer.json()["rejected"][0]["code"] == "INVALID_JSON"


def test_gzip_is_inflated_within_the_limit(acme: httpx.Client) -> None:
    headers = {**BATCH, "Content-Encoding": "gzip"}
    packed = gzip.compress(json.dumps([event("zipped")]).encode())
    assert acme.post("/api/v1/events", content=packed, headers=headers).json()["accepted"] == 1
    bomb = gzip.compress(b" " * 50_000_000)
    answer = acme.post("/api/v1/events", content=bomb, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
    two_members = packed + packed
    assert acme.post("/api/v1/events", content=two_members, headers=headers).status_code == 400
    assert acme.post("/api/v1/events", content=packed[:-9], headers=headers).status_code == 400


def test_too_much_at_once_is_413(acme: httpx.Client) -> None:
    many = [event(str(number)) for number in range(1001)]
    answer = acme.post("/api/v1/events", json=many, headers=BATCH)
    assert (answer.status_code, answer.json()["error"]["details"]["limit"]) == (413, 1000)
    assert acme.post("/api/v1/events", content=b"[" + b" " * 5_000_000 + b"]", headers=BATCH).status_code == 413

    def endless() -> Any:
        for _ in range(1000):
            yield b" " * 10_000

    assert acme.post("/api/v1/events", content=endless(), headers=BATCH).status_code == 413


def test_a_thousand_events_and_a_large_one_fit(service: Service, acme: httpx.Client, acme_slug: str) -> None:
    many = [event(str(number), subject=f"s{number}") for number in range(1000)]
    assert acme.post("/api/v1/events", json=many, headers=BATCH).json() == {"accepted": 1000, "rejected": []}
    large = event("large", data={"text": "x" * 990_000})
    assert acme.post("/api/v1/events", json=[large, large, large, large], headers=BATCH).json()["accepted"] == 4
    too_large = acme.post("/api/v1/events", json=[event("larger", data={"text": "x" * 1_000_001})], headers=BATCH)
    assert too_large.json()["rejected"][0]["code"] == "TOO_LARGE"
    assert len(service.records(acme_slug)) == 1004


def test_ingest_needs_the_scope(service: Service, acme_slug: str) -> None:
    with service.client() as nobody:
        answer = nobody.post("/api/v1/events", json=[event()], headers=BATCH)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "AUTHENTICATION_REQUIRED")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for key, status in [
        (service.key(acme_slug, "read"), 403),
        (service.operator_key(), 403),
        ("ms_" + "x" * 43, 401),
        ("nonsense", 401),
        (service.key(acme_slug, "ingest"), 200),
    ]:
        with service.client(key) as client:
            assert client.post("/api/v1/events", json=[event()], headers=BATCH).status_code == status
