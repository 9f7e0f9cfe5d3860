"""Server-sent events of a customer's changes, through a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from api.access.tokens import make_token
from api.customers import event_stream
from benchmarks.workers import environment
from devstack.ports import free_port
from sinks.postgres.api_keys import hash_secret
from tests.engines import TestStack, wait_for
from tests.integration.api.service import Service, running_service

pytestmark = pytest.mark.integration
URL = "/api/v1/events/stream"


@pytest.fixture(scope="module")
def service(stack: TestStack) -> Iterator[Service]:
    """An API that lets each have two streams."""
    with stack.fresh_settings("stream") as settings:
        api = settings.api.model_copy(update={"max_streams_each": 2})
        with running_service(settings.model_copy(update={"api": api})) as running:
            yield running


@dataclass
class Seller:
    """An organization with customers whose changes tests write as the mirror does."""

    service: Service
    slug: str
    client: httpx.Client

    def customer(self, user_id: str | None = None) -> str:
        insert = "insert into customers (organization_id, user_id) values (%s, %s) returning id::text"
        return str(self.service.sql(insert, self.service.organization_id(self.slug), user_id)[0][0])

    def change(self, customer: str, kind: str = "subscription.updated", **payload: Any) -> int:
        insert = (
            "insert into outbox (organization_id, customer_id, kind, payload)"
            " select organization_id, id, %s, %s from customers where id = %s returning id"
        )
        return int(self.service.sql(insert, kind, Jsonb(payload), customer)[0][0])


@pytest.fixture
def seller(service: Service, acme: httpx.Client, acme_slug: str) -> Seller:
    return Seller(service, acme_slug, acme)


class Reader:
    """Reads events of one stream, one after the other."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()

    def next(self) -> dict[str, str]:
        """Return the fields of the next event; comments are skipped."""
        fields: dict[str, str] = {}
        for line in self._lines:
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif not line and "data" in fields:
                return fields
        raise EOFError

    def began(self) -> None:
        """Return once the stream says that changes follow."""
        assert next(line for line in self._lines if line.startswith(":")) == ": changes follow"


@contextmanager
def reading(client: httpx.Client, customer: str | None = None, last: int | None = None) -> Iterator[Reader]:
    params = {} if customer is None else {"customer_id": customer}
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with client.stream("GET", URL, params=params, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        reader = Reader(answer)
        reader.began()
        yield reader


def test_changes_come_as_they_commit_and_from_the_last_one_seen(seller: Seller) -> None:
    customer, other = seller.customer(), seller.customer()
    seller.change(customer, number=0)
    with reading(seller.client, customer) as reader:
        seller.change(other, number=9)
        first = seller.change(customer, "invoice.created", number=1, amount_minor=1999)
        event = reader.next()
        assert (event["id"], event["event"]) == (str(first), "invoice.created")
        body = json.loads(event["data"])
        assert body.pop("created_at").endswith("Z")
        assert body == {
            "id": str(first),
            "kind": "invoice.created",
            "customer_id": customer,
            "data": {"number": 1, "amount_minor": 1999},
        }
        second = seller.change(customer, number=2)
        assert reader.next()["id"] == str(second)
    missed = [seller.change(customer, number=number) for number in range(3, 253)]
    with reading(seller.client, customer, last=first) as reader:
        assert [int(reader.next()["id"]) for _ in range(251)] == [second, *missed]


def test_what_is_not_committed_yet_is_not_passed_over(seller: Seller) -> None:
    """Two changes of one customer cannot overtake each other: both lock the customer first."""
    customer = seller.customer()
    with (
        reading(seller.client, customer) as reader,
        psycopg.connect(seller.service.settings.postgres.url.get_secret_value()) as slow,
    ):
        slow.execute("select 1 from customers where id = %s for no key update", [customer])
        slow.execute(
            "insert into outbox (organization_id, customer_id, kind, payload)"
            " select organization_id, id, 'slow', '{}' from customers where id = %s",
            [customer],
        )
        elsewhere = seller.change(seller.customer())
        slow.commit()
        event = reader.next()
        assert event["event"] == "slow"
        assert int(event["id"]) < elsewhere


def test_an_end_user_follows_their_own_customer_alone(seller: Seller, globex: httpx.Client) -> None:
    user = f"user-{uuid.uuid4().hex}"
    with seller.service.client(seller.service.token(user)) as person:
        assert person.get(URL).json()["error"]["code"] == "CUSTOMER_NOT_FOUND"
        own, foreign = seller.customer(user), seller.customer()
        with reading(person) as reader:
            seller.change(foreign)
            mine = seller.change(own)
            assert reader.next()["id"] == str(mine)
        for client in (person, globex):
            answer = client.get(URL, params={"customer_id": foreign})
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "CUSTOMER_NOT_FOUND")


def test_a_bad_question_is_refused(seller: Seller) -> None:
    customer = seller.customer()
    assert seller.client.get(URL).json()["error"]["details"]["field"] == "customer_id"
    for bad in ("x", "-1", "1" * 19):
        answer = seller.client.get(URL, params={"customer_id": customer}, headers={"Last-Event-ID": bad})
        assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, "Last-Event-ID")


@pytest.fixture
def frequent_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look every 0.2 s instead of every 15."""
    monkeypatch.setattr(event_stream, "_LOOK_S", 0.2)


def must_end(reader: Reader, keep_ringing: Callable[[], object]) -> None:
    """Read a stream to its end, though changes go on."""
    until = time.monotonic() + 20
    try:
        while time.monotonic() < until:
            keep_ringing()
            reader.next()
    except EOFError:
        return
    pytest.fail("the stream goes on")


@pytest.mark.usefixtures("frequent_looks")
def test_a_stream_ends_with_its_key(seller: Seller) -> None:
    customer, secret = seller.customer(), seller.service.key(seller.slug, "read")
    with seller.service.client(secret) as client, reading(client, customer) as reader:
        seller.change(customer)
        reader.next()
        seller.service.sql("update api_keys set revoked_at = now() where key_hash = %s", hash_secret(secret))
        must_end(reader, lambda: seller.change(customer))


@pytest.mark.usefixtures("frequent_looks")
def test_a_stream_ends_with_its_membership(seller: Seller) -> None:
    customer, bob = seller.customer(), f"bob-{uuid.uuid4().hex}"
    seller.service.sql("insert into users (id) values (%s)", bob)
    seller.service.sql(
        "insert into memberships values (%s, %s, 'analyst')", seller.service.organization_id(seller.slug), bob
    )
    token = seller.service.token(bob)
    with seller.service.client(token, organization=seller.slug) as client, reading(client, customer) as reader:
        seller.change(customer)
        reader.next()
        seller.client.delete(f"/api/v1/members/{bob}").raise_for_status()
        must_end(reader, lambda: seller.change(customer))


@pytest.mark.usefixtures("frequent_looks")
def test_a_stream_ends_with_its_token(seller: Seller) -> None:
    identity, user = seller.service.settings.identity, f"user-{uuid.uuid4().hex}"
    customer = seller.customer(user)
    lately = datetime.now(UTC) - timedelta(seconds=identity.leeway_s - 1)
    token = make_token(identity, user_id=user, email=None, lifetime=timedelta(seconds=3), now=lately)
    with seller.service.client(token) as client, reading(client) as reader:
        must_end(reader, lambda: seller.change(customer))


@pytest.mark.usefixtures("frequent_looks")
def test_a_stream_goes_on_with_a_credential_that_holds(seller: Seller) -> None:
    customer = seller.customer()
    with reading(seller.client, customer) as reader:
        for _ in range(3):
            time.sleep(0.5)
            number = seller.change(customer)
            assert reader.next()["id"] == str(number)


def test_one_key_has_so_many_streams_and_no_more(seller: Seller) -> None:
    customer = seller.customer()
    with reading(seller.client, customer):
        with reading(seller.client, customer):
            answer = seller.client.get(URL, params={"customer_id": customer})
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "TOO_MANY_STREAMS")
            assert answer.headers["Retry-After"] == "15"

        def one_more_opens() -> bool:
            with seller.client.stream("GET", URL, params={"customer_id": customer}) as again:
                return again.status_code == 200

        wait_for("a place is free again", one_more_opens)


def test_streams_end_in_good_order_with_the_server(seller: Seller) -> None:
    """Our own process, by SIGTERM: clients see the end of the stream, not a broken connection."""
    customer, port = seller.customer(), free_port()
    settings = seller.service.settings
    command = [sys.executable, "-m", "cli.main", "api"]
    process = subprocess.Popen(
        command, env={**os.environ, **environment(settings, port)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=seller.client.headers, timeout=30) as client:
            wait_for("the API listens", lambda: _answers(client), timeout_s=60)
            with reading(client, customer) as reader:
                number = seller.change(customer)
                assert reader.next()["id"] == str(number)
                process.send_signal(signal.SIGTERM)
                with pytest.raises(EOFError):
                    reader.next()
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert b"Finished server process" in output
    assert b"without completing response" not in output


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False
