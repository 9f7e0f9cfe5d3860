"""Readiness and metrics see it when nobody follows Stripe."""

from __future__ import annotations

import asyncio
import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from streams.billing_worker import run_billing
from tests.engines import TestStack, wait_for
from tests.integration.api.selling.running import selling_service
from tests.integration.api.service import Service
from tests.integration.stripe.simulator_process import SimulatorProcess

_EVENT = """
insert into stripe_inbox (event_id, type, created_at, livemode, body)
values (%s, 'price.created', now(), false, convert_to(%s, 'UTF8'))
"""
_BODY = (
    '{"id": "%s", "object": "event", "type": "price.created", "created": 1, "livemode": false, "data": {"object": {}}}'
)
_CHANGE = (
    "with buyer as (insert into customers (organization_id) values (%s) returning organization_id, id)"
    " insert into outbox (organization_id, customer_id, kind, payload)"
    " select organization_id, id, 'test', '{}' from buyer"
)
_PATIENCE_S = 60


@pytest.fixture
def service(stack: TestStack, stripe_process: SimulatorProcess) -> Iterator[Service]:
    """An API of this test alone, which soon calls a worker stalled."""
    with selling_service(stack, stripe_process, stalled_after_s=1.0) as running:
        yield running


@contextmanager
def billing_worker(service: Service) -> Iterator[None]:
    """Follow Stripe in a thread until the block ends."""
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(run_billing(service.settings, stop)))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def ages(client: httpx.Client) -> dict[str, float]:
    """Return how long the oldest of each box waits."""
    found = re.findall(r'^meterstream_oldest_waiting_seconds\{box="(\w+)"\} (\S+)$', client.get("/metrics").text, re.M)
    return {box: float(age_s) for box, age_s in found}


def waiting(service: Service) -> tuple[int, int]:
    """Return how many events and changes wait."""
    (counts,) = service.sql(
        "select (select count(*) from stripe_inbox where state = 'received'),"
        " (select count(*) from outbox where sent_at is null)"
    )
    return counts[0], counts[1]


def test_a_billing_worker_that_is_gone_is_seen(service: Service) -> None:
    service.key("acme")
    organization = service.organization_id("acme")
    with service.client() as client:

        def part() -> tuple[bool, str | None]:
            found = client.get("/readyz").json()["parts"]["billing"]
            return found["ok"], found["reason"]

        def something_happens(event: str) -> None:
            service.sql(_EVENT, event, _BODY % event)
            service.sql(_CHANGE, organization)

        with billing_worker(service):
            something_happens("evt_1")
            wait_for("all is done", lambda: waiting(service) == (0, 0), timeout_s=_PATIENCE_S)
            wait_for("billing is ready", lambda: part() == (True, None), timeout_s=_PATIENCE_S)
        something_happens("evt_2")
        reason = "Stripe's events and changes of ours wait and nothing moves: is a billing worker running?"
        wait_for("the stall is seen", lambda: part() == (False, reason), timeout_s=_PATIENCE_S)
        assert client.get("/readyz").status_code == 503
        assert min(ages(client).values()) > 0
        with billing_worker(service):
            wait_for("billing is ready again", lambda: part() == (True, None), timeout_s=_PATIENCE_S)
            assert ages(client) == {"inbox": 0, "outbox": 0}


def test_how_long_ago_stripe_was_asked_for_what_it_could_not_deliver_is_seen(service: Service) -> None:
    with service.client() as client:

        def age_s() -> float:
            (found,) = re.findall(r"^meterstream_reconciled_age_seconds (\S+)$", client.get("/metrics").text, re.M)
            return float(found)

        wait_for("it is seen that nobody ever did", lambda: age_s() == math.inf, timeout_s=_PATIENCE_S)
        service.sql("insert into job_cursors values ('reconcile_stripe', now() - interval '90 minutes')")
        wait_for("it is seen when somebody did", lambda: 5_400 <= age_s() < 5_500, timeout_s=_PATIENCE_S)
