"""One subscription among a million over HTTP, at a given rate: how long the slowest of a hundred take."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
import uuid
from collections.abc import Iterator
from typing import Final

import psycopg

from benchmarks.figures import Figure, WrongNumbers
from benchmarks.http_load import at_rate, request
from benchmarks.session import Session
from benchmarks.tenant import make_tenant
from benchmarks.workers import running_api
from runtime.settings import Settings

_CONNECTIONS: Final = 16
_RATE: Final = 500
_EACH: Final = 10
"""Subscriptions of a customer."""
_FILL_CUSTOMERS: Final = """
insert into customers (id, organization_id, user_id, stripe_customer_id, name, email)
select md5('customer ' || n)::uuid, %(organization_id)s, 'user-' || n, 'cus_' || n, 'Customer ' || n,
    'customer' || n || '@example.com'
from generate_series(0, %(customers)s - 1) n
"""
_FILL: Final = """
insert into subscriptions (id, organization_id, customer_id, stripe_subscription_id, status, currency, billing_cycle,
    quantity, current_period_start, current_period_end, mrr_minor, stripe_object, version, created_at)
select md5('subscription ' || n)::uuid, %(organization_id)s, md5('customer ' || n / %(each)s)::uuid, 'sub_' || n,
    (array['active', 'trialing', 'past_due', 'canceled'])[1 + n %% 4], 'usd', 'month', 1 + n %% 50,
    now() - interval '10 days', now() + interval '20 days', 1000 * (1 + n %% 50),
    jsonb_build_object(
        'id', 'sub_' || n, 'object', 'subscription', 'customer', 'cus_' || n / %(each)s, 'latest_invoice', 'in_' || n,
        'schedule', null, 'metadata', jsonb_build_object('meterstream_request', 'r' || n),
        'items', jsonb_build_object('object', 'list', 'data', jsonb_build_array(jsonb_build_object(
            'id', 'si_' || n, 'quantity', 1 + n %% 50,
            'price', jsonb_build_object('id', 'price_1', 'unit_amount', 1000, 'recurring',
                jsonb_build_object('interval', 'month', 'interval_count', 1, 'usage_type', 'licensed'))))),
        'description', repeat(md5(n::text), 10)),
    1, now() - n * interval '1 second'
from generate_series(0, %(rows)s - 1) n
"""


def subscription_read(session: Session) -> Iterator[Figure]:
    """Store subscriptions by INSERT SELECT, then read one after the other at random."""
    rows = session.options.scaled(1_000_000, 10_000)
    reads = session.options.scaled(10_000, 500)
    with session.engines.fresh(session.empty_log()) as settings:
        tenant = make_tenant(settings)
        began = time.perf_counter()
        _fill(settings, tenant.id, rows)
        session.say(f"stored {rows:,} subscriptions in {time.perf_counter() - began:.0f} s")
        chance = random.Random(5)
        numbers = [chance.randrange(rows) for _ in range(reads)]

        def check(number: int, body: bytes) -> None:
            found, expected = json.loads(body), numbers[number]
            if (found["id"], found["quantity"]) != (_id(expected), 1 + expected % 50):
                raise WrongNumbers(f"{_id(expected)} was asked for, {body[:300]!r} is the answer")

        asked = [
            request("GET", f"/api/v1/subscriptions/{_id(number)}", Authorization=f"Bearer {tenant.key}")
            for number in numbers
        ]
        with running_api(settings) as child:
            before_s = child.cpu_seconds()
            measured = asyncio.run(at_rate(child.url, asked, a_second=_RATE, connections=_CONNECTIONS, check=check))
            cpu_us = (child.cpu_seconds() - before_s) / reads * 1e6
    yield Figure(
        "subscription_read_p99",
        measured.ms(0.99),
        "ms",
        target=10,
        on={"stored_subscriptions": rows, "reads": reads, "reads_a_second": _RATE, "connections": _CONNECTIONS},
        details={
            "ms_p50": round(measured.ms(0.5), 1),
            "ms_max": round(measured.ms(1.0), 1),
            "cpu_us_per_read": {"api": round(cpu_us, 1)},
        },
    )


def _id(number: int) -> str:
    """Return the id that Postgres gave to a number."""
    return str(uuid.UUID(hashlib.md5(f"subscription {number}".encode(), usedforsecurity=False).hexdigest()))


def _fill(settings: Settings, organization_id: str, rows: int) -> None:
    values = {"organization_id": organization_id, "rows": rows, "each": _EACH, "customers": -(-rows // _EACH)}
    with psycopg.connect(settings.postgres.url.get_secret_value(), autocommit=True) as connection:
        connection.execute(_FILL_CUSTOMERS, values)
        connection.execute(_FILL, values)
        connection.execute("vacuum analyze customers, subscriptions")
        # What filling has left to be written is not what is measured.
        connection.execute("checkpoint")
