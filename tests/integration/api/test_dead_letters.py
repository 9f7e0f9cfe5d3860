from __future__ import annotations

import base64
import itertools
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from metering.partitions import home_partition
from sinks.postgres.dead_letters import RECORD_LEVEL
from tests.integration.api.service import Service

GOOD = {"specversion": "1.0", "id": "e1", "source": "s", "type": "t", "subject": "customer-1", "data": {}}
_offsets = itertools.count(1)


@pytest.fixture(autouse=True)
def no_dead_letters(service: Service) -> Iterator[None]:
    """Leave the shared tables as they were."""
    yield
    service.sql("delete from dead_letters")
    service.sql("delete from dead_letter_decisions")


def add(
    service: Service,
    organization: str | None,
    raw: bytes = b"{}",
    *,
    code: str = "MISSING_FIELD",
    meter_id: str = RECORD_LEVEL,
    raw_bytes: int | None = None,
    event_id: str | None = "e1",
) -> str:
    """Write a dead letter as a block does and return its id."""
    offset = next(_offsets)
    service.sql(
        'insert into dead_letters (topic, partition, "offset", meter_id, organization_id, code, message, event_id,'
        " arrival_at, raw, raw_bytes)"
        " values (%s, 1, %s, %s, %s, %s, 'no', %s, now() + %s * interval '1 second', %s, %s)",
        service.topic,
        offset,
        meter_id,
        None if organization is None else service.organization_id(organization),
        code,
        event_id,
        offset,
        raw,
        len(raw) if raw_bytes is None else raw_bytes,
    )
    suffix = "" if meter_id == RECORD_LEVEL else f"-{meter_id.replace('-', '')}"
    return f"{service.topic}-1-{offset}{suffix}"


def test_dead_letters_are_listed_and_shown(
    service: Service, acme: httpx.Client, operator: httpx.Client, acme_slug: str
) -> None:
    older, newer = add(service, acme_slug, b"\xff\x00"), add(service, acme_slug, b"text", code="INVALID_JSON")
    nobodys = add(service, None, b"who?", code="MISSING_ORGANIZATION")
    listed = acme.get("/api/v1/dead-letters").json()["data"]
    assert [letter["id"] for letter in listed] == [newer, older]
    assert (listed[0]["code"], listed[0]["state"], listed[0]["organization"]) == ("INVALID_JSON", "open", acme_slug)
    only = acme.get("/api/v1/dead-letters", params={"code": "MISSING_FIELD", "state": "open"}).json()["data"]
    assert [letter["id"] for letter in only] == [older]
    page = acme.get("/api/v1/dead-letters", params={"limit": 1}).json()
    rest = acme.get("/api/v1/dead-letters", params={"limit": 1, "cursor": page["next_cursor"]}).json()
    assert ([letter["id"] for letter in rest["data"]], rest["has_more"]) == ([older], False)

    shown = acme.get(f"/api/v1/dead-letters/{older}").json()
    assert (base64.b64decode(shown["raw_base64"]), shown["raw_text"]) == (b"\xff\x00", None)
    assert acme.get(f"/api/v1/dead-letters/{newer}").json()["raw_text"] == "text"
    assert acme.get(f"/api/v1/dead-letters/{nobodys}").status_code == 404
    everything = [letter["id"] for letter in operator.get("/api/v1/dead-letters").json()["data"]]
    assert everything == [nobodys, newer, older]
    assert operator.get(f"/api/v1/dead-letters/{nobodys}").json()["organization"] is None


@pytest.mark.parametrize("name", ["x", "a-1", "a-b-c", "t-1-2-zz", "t-99999-1", "t-1-%00", "x" * 300])
def test_ids_that_name_nothing_are_404(acme: httpx.Client, name: str) -> None:
    assert acme.get(f"/api/v1/dead-letters/{name}").status_code == 404


def test_a_corrected_event_goes_into_the_log_byte_for_byte(
    service: Service, acme: httpx.Client, acme_slug: str
) -> None:
    letter = add(service, acme_slug, json.dumps({**GOOD, "subject": None}).encode())
    unchanged = acme.post(f"/api/v1/dead-letters/{letter}/redrive")
    assert (unchanged.status_code, unchanged.json()["error"]["code"]) == (422, "STILL_REJECTED")
    event = json.dumps({**GOOD, "data": {"n": 1.10}}).replace("1.1", "1.10")
    answer = acme.post(
        f"/api/v1/dead-letters/{letter}/redrive",
        content=f'{{"event": {event}}}',
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["state"]) == (200, "redriven")
    (record,) = service.records(acme_slug)
    assert (record.value, record.key) == (event.encode(), b"customer-1")
    assert record.partition == home_partition("customer-1", service.settings.kafka.partitions)
    # Decided is decided.
    assert acme.post(f"/api/v1/dead-letters/{letter}/redrive", json={"event": GOOD}).status_code == 422
    assert acme.post(f"/api/v1/dead-letters/{letter}/discard", json={"reason": "?"}).status_code == 422
    assert len(service.records(acme_slug)) == 1


def test_an_event_goes_again_as_it_came_when_the_reason_is_gone(
    service: Service, operator: httpx.Client, acme: httpx.Client, acme_slug: str
) -> None:
    letter = add(service, None, json.dumps(GOOD).encode(), code="UNKNOWN_ORGANIZATION")
    path = f"/api/v1/dead-letters/{letter}/redrive"
    assert acme.post(path).status_code == 404
    assert operator.post(path).status_code == 400
    assert operator.post(path, json={"organization": "nobody-here"}).status_code == 422
    answer = operator.post(path, json={"organization": acme_slug})
    assert (answer.status_code, answer.json()["state"]) == (200, "redriven")
    assert [record.value for record in service.records(acme_slug)] == [json.dumps(GOOD).encode()]


def test_a_redrive_that_was_cut_off_is_repeated_with_the_same_body_only(
    service: Service, acme: httpx.Client, acme_slug: str
) -> None:
    raw = json.dumps(GOOD).encode()
    letter = add(service, acme_slug, raw, code="TIME_TOO_NEW")
    service.sql(
        'insert into dead_letter_decisions (topic, partition, "offset", meter_id, decision, redriven_raw, decided_by)'
        " select topic, partition, \"offset\", meter_id, 'redriving', raw, 'key' from dead_letters"
    )
    assert acme.get(f"/api/v1/dead-letters/{letter}").json()["state"] == "redriving"
    other = {"event": {**GOOD, "data": {"n": 2}}}
    assert acme.post(f"/api/v1/dead-letters/{letter}/redrive", json=other).status_code == 409
    assert acme.post(f"/api/v1/dead-letters/{letter}/redrive").json()["state"] == "redriven"
    assert [record.value for record in service.records(acme_slug)] == [raw]


def test_what_cannot_be_redriven_says_why(service: Service, acme: httpx.Client, acme_slug: str) -> None:
    raw = json.dumps(GOOD).encode()
    of_meter = add(service, acme_slug, raw, code="METER_VALUE_MISSING", meter_id=str(uuid.uuid4()))
    answer = acme.post(f"/api/v1/dead-letters/{of_meter}/redrive")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "EVENT_ALREADY_COUNTED")
    assert "new id" in answer.json()["error"]["message"]
    conflict = add(service, acme_slug, raw, code="CONFLICT")
    assert acme.post(f"/api/v1/dead-letters/{conflict}/redrive").json()["error"]["code"] == "STILL_REJECTED"
    renamed = acme.post(f"/api/v1/dead-letters/{conflict}/redrive", json={"event": {**GOOD, "id": "e2"}})
    assert renamed.json()["state"] == "redriven"
    cut = add(service, acme_slug, raw, raw_bytes=70_000)
    assert acme.post(f"/api/v1/dead-letters/{cut}/redrive").json()["error"]["code"] == "EVENT_NEEDED"


def test_discarding_needs_a_reason_and_is_final(service: Service, acme: httpx.Client, acme_slug: str) -> None:
    letter = add(service, acme_slug, meter_id=str(uuid.uuid4()))
    path = f"/api/v1/dead-letters/{letter}/discard"
    bad: list[Any] = [{}, {"reason": ""}, {"reason": "x" * 1001}, {"reason": "nul\x00"}, {"reason": 5}, []]
    assert {acme.post(path, json=body).status_code for body in bad} == {400}
    answer = acme.post(path, json={"reason": "A test."}).json()
    assert (answer["state"], answer["reason"]) == ("discarded", "A test.")
    (row,) = acme.get("/api/v1/audit-log", params={"target": letter}).json()["data"]
    assert (row["action"], row["before"], row["after"]) == (
        "dead_letter.discard",
        {"state": "open"},
        {"reason": "A test."},
    )
    assert answer["decided_by"].startswith("key ms_")
    assert acme.post(path, json={"reason": "Again."}).json() == answer
    assert acme.get("/api/v1/dead-letters", params={"state": "open"}).json()["data"] == []
    assert len(acme.get("/api/v1/audit-log", params={"target": letter}).json()["data"]) == 1


def test_a_tenant_reads_what_operators_decided(
    service: Service, acme: httpx.Client, operator: httpx.Client, acme_slug: str
) -> None:
    discarded = add(service, acme_slug, meter_id=str(uuid.uuid4()))
    operator.post(f"/api/v1/dead-letters/{discarded}/discard", json={"reason": "A test."}).raise_for_status()
    redriven = add(service, acme_slug, json.dumps(GOOD).encode(), code="TIME_TOO_OLD")
    operator.post(f"/api/v1/dead-letters/{redriven}/redrive").raise_for_status()
    nobodys = add(service, None, json.dumps(GOOD | {"id": "of nobody"}).encode(), code="ORGANIZATION_MISSING")
    body = {"organization": acme_slug}
    operator.post(f"/api/v1/dead-letters/{nobodys}/redrive", json=body).raise_for_status()
    unwanted = add(service, None)
    operator.post(f"/api/v1/dead-letters/{unwanted}/discard", json={"reason": "A test."}).raise_for_status()
    rows = acme.get("/api/v1/audit-log").json()["data"]
    told = [(row["action"], row["target_id"]) for row in rows if row["target_kind"] == "dead_letter"]
    verbs = [("redrive", nobodys), ("redrive", redriven), ("discard", discarded)]
    assert told == [(f"dead_letter.{verb}", letter) for verb, letter in verbs]


def test_tenants_do_not_meet(service: Service, acme: httpx.Client, globex: httpx.Client, acme_slug: str) -> None:
    letter = add(service, acme_slug, json.dumps(GOOD).encode(), code="TIME_TOO_OLD")
    assert globex.get("/api/v1/dead-letters").json()["data"] == []
    assert globex.get(f"/api/v1/dead-letters/{letter}").status_code == 404
    assert globex.post(f"/api/v1/dead-letters/{letter}/redrive", json={"event": GOOD}).status_code == 404
    assert globex.post(f"/api/v1/dead-letters/{letter}/discard", json={"reason": "mine"}).status_code == 404
    answer = acme.post(f"/api/v1/dead-letters/{letter}/redrive", json={"organization": "someone-else"})
    assert answer.status_code == 403
    assert acme.get(f"/api/v1/dead-letters/{letter}").json()["state"] == "open"
    with service.client(service.key(acme_slug, "read")) as reader:
        assert reader.post(f"/api/v1/dead-letters/{letter}/discard", json={"reason": "x"}).status_code == 403
