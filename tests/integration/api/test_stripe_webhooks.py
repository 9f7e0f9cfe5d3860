"""Stripe's events over HTTP: stored once, whatever is not Stripe's for us refused and not stored."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from devstack.stripe_simulator.webhooks import signature
from metering.topics import STRIPE_EVENTS
from runtime.clock import utc_now
from runtime.settings import Settings, StripeSettings
from sinks.kafka.topics import topic_name
from tests.engines import TestStack, wait_for
from tests.integration.api.service import Service, read_topic, running_service

pytestmark = pytest.mark.integration
_SECRETS = ("whsec_of_now", "whsec_of_before")
_PATH = "/api/v1/webhooks/stripe"


@pytest.fixture(scope="module")
def service(stack: TestStack) -> Iterator[Service]:
    """An API that knows two webhook secrets."""
    with stack.fresh_settings("hooks") as settings:
        stripe = StripeSettings(
            api_key=SecretStr("sk_test_none"),
            api_base="http://127.0.0.1:9",
            webhook_secrets=tuple(SecretStr(secret) for secret in _SECRETS),
        )
        with running_service(settings.model_copy(update={"stripe": stripe})) as running:
            yield running


def _event(**changes: Any) -> dict[str, Any]:
    obj = {"id": "sub_1", "object": "subscription", "customer": "cus_1"}
    return {
        "id": f"evt_{uuid.uuid4().hex}",
        "object": "event",
        "type": "customer.subscription.updated",
        "created": int(utc_now().timestamp()),
        "livemode": False,
        "api_version": "2026-10-28.endive",
        "data": {"object": obj},
        **changes,
    }


def _thin(**changes: Any) -> dict[str, Any]:
    return {
        "id": f"evt_{uuid.uuid4().hex}",
        "object": "v2.core.event",
        "type": "v1.billing.meter.error_report_triggered",
        "created": utc_now().isoformat(),
        "livemode": False,
        "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"},
        **changes,
    }


def _signed(event: dict[str, Any], *, secret: str = _SECRETS[0], age: timedelta = timedelta(0)) -> dict[str, Any]:
    raw = json.dumps(event, indent=2).encode()
    header = signature(secret, raw, int((utc_now() - age).timestamp()))
    return {"content": raw, "headers": {"Stripe-Signature": header, "Content-Type": "application/json"}}


def _stored(service: Service, event_id: str) -> list[tuple[Any, ...]]:
    return service.sql(
        "select type, object_id, stripe_customer_id, state, body from stripe_inbox where event_id = %s", event_id
    )


@pytest.mark.parametrize("secret", _SECRETS)
def test_an_event_is_stored_as_it_came_and_produced(service: Service, secret: str) -> None:
    event = _event()
    sent = _signed(event, secret=secret)
    with service.client() as client:
        answer = client.post(_PATH, **sent)
    assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert _stored(service, event["id"]) == [
        ("customer.subscription.updated", "sub_1", "cus_1", "received", sent["content"])
    ]
    produced = "select produced_at is not null from stripe_inbox where event_id = %s"
    wait_for("the event is produced", lambda: service.sql(produced, event["id"]) == [(True,)])
    topic = topic_name(service.settings.kafka, STRIPE_EVENTS)
    records = {record.value: record.key for record in asyncio.run(read_topic(service.settings, topic))}
    assert records[sent["content"]] == b"cus_1"


def test_a_thin_event_is_stored_too(service: Service) -> None:
    event = _thin()
    with service.client() as client:
        assert client.post(_PATH, **_signed(event)).status_code == 200
    ((kind, object_id, customer, state, _),) = _stored(service, event["id"])
    assert (kind, object_id, customer, state) == (event["type"], "mtr_1", None, "received")


def test_repeated_and_concurrent_deliveries_are_one_row_each(service: Service) -> None:
    events = [_event() for _ in range(20)]

    async def send_all() -> list[int]:
        async with httpx.AsyncClient(base_url=service.url, timeout=30) as client:
            answers = await asyncio.gather(*(client.post(_PATH, **_signed(event)) for event in events * 3))
            return [answer.status_code for answer in answers]

    assert asyncio.run(send_all()) == [200] * 60
    for event in events:
        assert len(_stored(service, event["id"])) == 1


@pytest.mark.parametrize(
    ("event", "signing", "code"),
    [
        (_event(), {"secret": "whsec_of_somebody"}, "WEBHOOK_SIGNATURE_INVALID"),
        (_event(), {"age": timedelta(minutes=6)}, "WEBHOOK_TIMESTAMP_INVALID"),
        (_event(), {"age": timedelta(minutes=-6)}, "WEBHOOK_TIMESTAMP_INVALID"),
        (_event(livemode=True), {}, "WEBHOOK_WRONG_MODE"),
        (_thin(livemode=True), {}, "WEBHOOK_WRONG_MODE"),
        (_event(account="acct_other"), {}, "WEBHOOK_WRONG_ACCOUNT"),
        (_thin(context="acct_other"), {}, "WEBHOOK_WRONG_ACCOUNT"),
        (_event(object="invoice"), {}, "SCHEMA_VALIDATION"),
        (_event(data={}), {}, "SCHEMA_VALIDATION"),
        (_event(id=""), {}, "SCHEMA_VALIDATION"),
        (_event(id="evt_" + "x" * 300), {}, "SCHEMA_VALIDATION"),
        (_event(id="evt_\x00"), {}, "SCHEMA_VALIDATION"),
    ],
)
def test_what_is_not_for_us_is_400_and_not_stored(
    service: Service, event: dict[str, Any], signing: dict[str, Any], code: str
) -> None:
    with service.client() as client:
        answer = client.post(_PATH, **_signed(event, **signing))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert service.sql("select 1 from stripe_inbox where event_id = %s", event["id"].replace("\x00", "")) == []


def test_the_signature_must_be_there_and_fit_the_bytes(service: Service) -> None:
    event = _event()
    sent = _signed(event)
    with service.client() as client:
        for content, header, code in (
            (sent["content"], None, "WEBHOOK_SIGNATURE_MISSING"),
            (sent["content"], "v1=abc", "WEBHOOK_SIGNATURE_MALFORMED"),
            (sent["content"] + b" ", sent["headers"]["Stripe-Signature"], "WEBHOOK_SIGNATURE_INVALID"),
            (json.dumps(event).encode(), sent["headers"]["Stripe-Signature"], "WEBHOOK_SIGNATURE_INVALID"),
        ):
            headers = {} if header is None else {"Stripe-Signature": header}
            answer = client.post(_PATH, content=content, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
        large = _event(data={"object": {"id": "x" * 1_000_001}})
        assert client.post(_PATH, **_signed(large)).status_code == 413
    assert _stored(service, event["id"]) == _stored(service, large["id"]) == []


def test_operators_list_parked_events_and_have_them_tried_again(service: Service) -> None:
    events = [_event() for _ in range(3)]
    with service.client() as client:
        for event in events:
            assert client.post(_PATH, **_signed(event)).status_code == 200
        assert client.get(f"{_PATH}/events").status_code == 401
    ids = [event["id"] for event in events]
    park = "update stripe_inbox set state = 'parked', error = 'no', tries = 8 where event_id = any(%s)"
    with service.client(service.key("acme")) as tenant, service.client(service.operator_key()) as operator:
        service.sql(park, ids)
        assert tenant.get(f"{_PATH}/events").status_code == 403
        assert tenant.post(f"{_PATH}/events/{ids[0]}/retry").status_code == 403
        listed: list[dict[str, Any]] = []
        cursor: dict[str, Any] = {}
        while True:
            page = operator.get(f"{_PATH}/events", params={"limit": 2, **cursor}).raise_for_status().json()
            listed += page["data"]
            if not page["has_more"]:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert sorted(each["id"] for each in listed if each["id"] in ids) == sorted(ids)
        assert {(each["error"], each["tries"]) for each in listed} == {("no", 8)}
        retried = operator.post(f"{_PATH}/events/{ids[0]}/retry")
        assert (retried.status_code, retried.json()["state"], retried.json()["tries"]) == (200, "received", 0)
        again = operator.post(f"{_PATH}/events/{ids[0]}/retry")
        assert (again.status_code, again.json()["error"]["code"]) == (409, "STRIPE_EVENT_NOT_PARKED")
        none = operator.post(f"{_PATH}/events/evt_none/retry")
        assert (none.status_code, none.json()["error"]["code"]) == (404, "STRIPE_EVENT_NOT_FOUND")
        received = operator.get(f"{_PATH}/events", params={"status": "received"}).json()["data"]
        assert ids[0] in {each["id"] for each in received}
        assert operator.get(f"{_PATH}/events", params={"status": "lost"}).status_code == 400


def test_while_kafka_is_down_the_inbox_is_enough(service: Service) -> None:
    with running_service(_without(service, kafka=True), migrated=False) as crippled:
        event = _event()
        with service.client() as client:
            answer = client.post(f"{crippled.url}{_PATH}", **_signed(event))
    assert (answer.status_code, answer.json()) == (200, {"received": True})
    produced = "select produced_at from stripe_inbox where event_id = %s"
    assert service.sql(produced, event["id"]) == [(None,)]


def test_while_postgres_is_down_stripe_is_told_to_come_back(service: Service) -> None:
    with running_service(_without(service, postgres=True), migrated=False) as crippled:
        event = _event()
        with service.client() as client:
            answer = client.post(f"{crippled.url}{_PATH}", **_signed(event))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "UNAVAILABLE")
    assert answer.headers["retry-after"].isdigit()
    assert _stored(service, event["id"]) == []


def _without(service: Service, *, kafka: bool = False, postgres: bool = False) -> Settings:
    """Return the settings with a store at an address where nobody is."""
    found = service.settings
    nobody: dict[str, Any] = {"api": found.api.model_copy(update={"produce_timeout_s": 0.5})}
    if kafka:
        nobody["kafka"] = found.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:9"})
    if postgres:
        url = SecretStr("postgresql://nobody@127.0.0.1:9/none")
        nobody["postgres"] = found.postgres.model_copy(update={"url": url, "connect_timeout_s": 1.0})
    return found.model_copy(update=nobody)
