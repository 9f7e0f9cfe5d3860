from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from sinks.postgres.locks import PARTITION_LOCK
from tests.integration.api.seed import store_events
from tests.integration.api.service import Service

TOKENS: dict[str, Any] = {
    "slug": "tokens",
    "event_type": "llm.request",
    "aggregation": "SUM",
    "value_property": "$.tokens",
    "group_by": {"model": "$.model"},
}


def test_a_meter_is_created_shown_listed_renamed_and_archived(
    service: Service, acme: httpx.Client, acme_slug: str
) -> None:
    created = acme.post("/api/v1/meters", json=TOKENS)
    assert created.status_code == 201
    body = created.json()
    assert {name: body[name] for name in TOKENS} == TOKENS
    assert (body["name"], body["description"], body["filters"], body["archived_at"]) == ("tokens", "", [], None)
    assert acme.get("/api/v1/meters/tokens").json() == body
    assert acme.get("/api/v1/meters").json() == {"data": [body], "next_cursor": None, "has_more": False}

    renamed = acme.patch("/api/v1/meters/tokens", json={"name": "Tokens", "description": "All of them."}).json()
    assert renamed == {**body, "name": "Tokens", "description": "All of them."}
    assert acme.patch("/api/v1/meters/tokens", json={"name": "T"}).json()["description"] == "All of them."

    archived = acme.delete("/api/v1/meters/tokens").json()
    assert archived["archived_at"] is not None
    assert acme.delete("/api/v1/meters/tokens").json() == archived
    assert acme.get("/api/v1/meters").json()["data"] == []
    assert acme.get("/api/v1/meters?archived=true").json()["data"] == [archived]
    assert acme.post("/api/v1/meters", json=TOKENS).status_code == 409


def test_creating_and_archiving_is_stamped_with_the_places_in_the_log(
    service: Service, acme: httpx.Client, acme_slug: str
) -> None:
    organization_id = service.organization_id(acme_slug)
    partitions = service.settings.kafka.partitions
    version = service.sql("select version from catalogue_version")[0][0]

    def stand_at(position: int) -> None:
        service.sql(
            "insert into stream_positions values ('metering', %s, 1, %s)"
            " on conflict (consumer, topic, partition) do update set position = excluded.position",
            service.topic,
            position,
        )

    try:
        stand_at(17)
        acme.post("/api/v1/meters", json=TOKENS)
        stand_at(23)
        acme.delete("/api/v1/meters/tokens")
    finally:
        service.sql("delete from stream_positions")
    ((effective, archived),) = service.sql(
        "select effective_positions, archived_positions from meters where organization_id = %s", organization_id
    )
    assert effective == [0, 17, *[0] * (partitions - 2)]
    assert archived == [0, 23, *[0] * (partitions - 2)]
    assert service.sql("select version from catalogue_version")[0][0] == version + 2


def test_a_meter_waits_for_a_block_in_hand(service: Service, acme: httpx.Client) -> None:
    with (
        psycopg.connect(service.settings.postgres.url.get_secret_value()) as block,
        ThreadPoolExecutor(1) as thread,
    ):
        block.execute("select pg_advisory_xact_lock_shared(%s, 2)", (PARTITION_LOCK,))
        creating = thread.submit(acme.post, "/api/v1/meters", json=TOKENS)
        with pytest.raises(TimeoutError):
            creating.result(timeout=0.5)
        block.rollback()
        assert creating.result(timeout=10).status_code == 201


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"slug": "Not A Slug"}, "slug"),
        ({"slug": None}, "slug"),
        ({"aggregation": "MEDIAN"}, "aggregation"),
        ({"value_property": None}, "value_property"),
        ({"value_property": "tokens"}, "value_property"),
        ({"value_property": "$..tokens"}, "value_property"),
        ({"aggregation": "COUNT"}, "value_property"),
        ({"group_by": {"a b": "$.x"}}, "group_by"),
        ({"group_by": {"a": "x"}}, "group_by.a"),
        ({"event_type": "meterstream.x"}, "event_type"),
        ({"event_type": ""}, "event_type"),
        ({"name": ""}, "name"),
        ({"name": "nul\x00"}, "name"),
        ({"filters": [{"property": "$.a", "operator": "like", "value": 1}]}, "filters.0.operator"),
        ({"filters": [{"property": "$.a", "operator": "gt", "value": "5"}]}, "filters[0].value"),
        ({"filters": [{"property": "$.a", "operator": "in", "value": []}]}, "filters[0].value"),
        ({"filters": [{"property": "$.a", "operator": "eq", "value": {}}]}, "filters[0].value"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_meter_that_cannot_work_is_refused_with_the_field(
    acme: httpx.Client, changes: dict[str, Any], field: str
) -> None:
    answer = acme.post("/api/v1/meters", json=TOKENS | changes)
    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, field), answer.text
    assert acme.get("/api/v1/meters").json()["data"] == []


def test_numbers_of_filters_keep_every_digit(service: Service, acme: httpx.Client, acme_slug: str) -> None:
    text = (
        json.dumps(TOKENS)[:-1] + ', "filters": [{"property": "$.n", "operator": "gt", "value": 0.123456789012345678}]}'
    )
    answer = acme.post("/api/v1/meters", content=text, headers={"Content-Type": "application/json"})
    assert '"value":0.123456789012345678' in answer.text
    assert '"value":0.123456789012345678' in acme.get("/api/v1/meters/tokens").text
    ((stored,),) = service.sql(
        "select filters::text from meters where organization_id = %s", service.organization_id(acme_slug)
    )
    assert "0.123456789012345678" in stored


def test_only_names_may_change(acme: httpx.Client) -> None:
    acme.post("/api/v1/meters", json=TOKENS)
    answer = acme.patch("/api/v1/meters/tokens", json={"name": "x", "aggregation": "MAX"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "METER_IMMUTABLE")
    assert "another slug" in answer.json()["error"]["message"]
    assert acme.patch("/api/v1/meters/tokens", json={"surprise": 1}).status_code == 400
    assert acme.patch("/api/v1/meters/tokens", json={}).status_code == 400
    assert acme.get("/api/v1/meters/tokens").json()["name"] == "tokens"


def test_lists_come_in_pages(acme: httpx.Client) -> None:
    for number in range(5):
        acme.post("/api/v1/meters", json=TOKENS | {"slug": f"m{number}"})
    seen: list[str] = []
    cursor = None
    for _ in range(10):
        parameters = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        answer = acme.get("/api/v1/meters", params=parameters).json()
        seen += [meter["slug"] for meter in answer["data"]]
        cursor = answer["next_cursor"]
        assert answer["has_more"] is (cursor is not None)
        if cursor is None:
            break
    assert seen == ["m0", "m1", "m2", "m3", "m4"]
    for bad in ("nonsense", "W10", "WzFd", "!!"):
        assert acme.get("/api/v1/meters", params={"cursor": bad}).status_code == 400
    for limit in ("0", "1001", "x"):
        assert acme.get("/api/v1/meters", params={"limit": limit}).status_code == 400


def test_tenants_do_not_meet(acme: httpx.Client, globex: httpx.Client) -> None:
    acme.post("/api/v1/meters", json=TOKENS)
    assert globex.get("/api/v1/meters").json()["data"] == []
    assert globex.get("/api/v1/meters/tokens").status_code == 404
    assert globex.patch("/api/v1/meters/tokens", json={"name": "mine"}).status_code == 404
    assert globex.delete("/api/v1/meters/tokens").status_code == 404
    assert globex.get("/api/v1/meters/tokens/query").status_code == 404
    assert globex.get("/api/v1/meters/tokens/group-by/model/values").status_code == 404
    assert acme.get("/api/v1/meters/tokens").json()["name"] == "tokens"
    # The same slug is free for another organization.
    assert globex.post("/api/v1/meters", json=TOKENS).status_code == 201


def test_scopes(service: Service, acme: httpx.Client, acme_slug: str, operator: httpx.Client) -> None:
    acme.post("/api/v1/meters", json=TOKENS)
    with (
        service.client(service.key(acme_slug, "read")) as reader,
        service.client(service.key(acme_slug, "ingest")) as sender,
    ):
        assert reader.get("/api/v1/meters").status_code == 200
        refused = reader.post("/api/v1/meters", json=TOKENS | {"slug": "other"})
        assert (refused.status_code, refused.json()["error"]["details"]["required"]) == (403, "admin")
        assert sender.get("/api/v1/meters").status_code == 403
        assert sender.delete("/api/v1/meters/tokens").status_code == 403
    assert operator.get("/api/v1/meters").status_code == 403


def test_a_dry_run_tells_hits_and_failures_and_creates_nothing(
    service: Service, acme: httpx.Client, acme_slug: str
) -> None:
    store_events(
        service,
        service.organization_id(acme_slug),
        [
            {"id": "a", "data": {"tokens": 5, "model": "small"}},
            {"id": "b", "data": {"tokens": "2.5", "model": "small"}},
            {"id": "c", "data": {"tokens": "many", "model": "small"}},
            {"id": "d", "data": {"model": "small"}},
            {"id": "e", "data": {"tokens": 5, "model": "large"}},
        ],
    )
    body = TOKENS | {"filters": [{"property": "$.model", "operator": "ne", "value": "large"}]}
    answer = acme.post("/api/v1/meters?dry_run=true", json=body)
    report = answer.json()
    assert answer.status_code == 200
    assert {name: report[name] for name in ("events", "hits", "filtered", "failures")} == {
        "events": 5,
        "hits": 2,
        "filtered": 1,
        "failures": 2,
    }
    assert report["failure_codes"] == {"METER_VALUE_INVALID": 1, "METER_VALUE_MISSING": 1}
    assert {example["id"]: example["value"] for example in report["hit_examples"]} == {"a": "5", "b": "2.5"}
    assert {example["id"] for example in report["failure_examples"]} == {"c", "d"}
    assert acme.get("/api/v1/meters").json()["data"] == []
    assert acme.post("/api/v1/meters?dry_run=true", json=TOKENS | {"value_property": "bad"}).status_code == 400
