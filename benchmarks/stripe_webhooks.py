"""Stripe's events over HTTP: taken a second by one process, and how long each takes at a given rate. All are stored."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Final

import psycopg

from benchmarks.figures import Figure, WrongNumbers
from benchmarks.http_load import Measured, at_full_speed, at_rate, request
from benchmarks.session import Session
from benchmarks.workers import running_api
from runtime.settings import Settings

_CONNECTIONS: Final = 32
_RATE: Final = 1_000


def stripe_webhooks(session: Session) -> Iterator[Figure]:
    """Send events of 500 customers, each with its signature, at full speed and then at a rate."""
    count = session.options.scaled(20_000, 500)
    with session.engines.fresh(session.empty_log()) as settings:
        with running_api(settings) as child:
            asyncio.run(at_full_speed(child.url, _events(settings, "warm", 200), connections=4, check=_received))
            before_s = child.cpu_seconds()
            speed = asyncio.run(_at_full_speed(child.url, _events(settings, "speed", count)))
            cpu_us = (child.cpu_seconds() - before_s) / count * 1e6
            paced = asyncio.run(_paced(child.url, _events(settings, "paced", count)))
        stored = _stored(settings)
    if stored != 200 + 2 * count:
        raise WrongNumbers(f"{200 + 2 * count} events were answered with 200, {stored} are stored")
    on = {"events": count, "connections": _CONNECTIONS}
    yield Figure(
        "stripe_webhooks",
        speed.a_second,
        "events/s",
        target=1_000,
        on=on,
        details={
            "request_ms_p50": round(speed.ms(0.5), 1),
            "request_ms_p99": round(speed.ms(0.99), 1),
            "cpu_us_per_event": {"api": round(cpu_us, 1)},
        },
    )
    yield Figure(
        "stripe_webhook_p99",
        paced.ms(0.99),
        "ms",
        target=25,
        on={**on, "events_a_second": _RATE},
        details={"ms_p50": round(paced.ms(0.5), 1), "ms_max": round(paced.ms(1.0), 1), "stored": stored},
    )


async def _at_full_speed(url: str, events: list[bytes]) -> Measured:
    return await at_full_speed(url, events, connections=_CONNECTIONS, check=_received)


async def _paced(url: str, events: list[bytes]) -> Measured:
    return await at_rate(url, events, a_second=_RATE, connections=_CONNECTIONS, check=_received)


def _received(number: int, body: bytes) -> None:
    if json.loads(body) != {"received": True}:
        raise WrongNumbers(f"event {number} was answered with {body[:300]!r}")


def _events(settings: Settings, series: str, count: int) -> list[bytes]:
    """Return requests whose signatures are of now: they are good for five minutes."""
    secret = settings.stripe.webhook_secrets[0].get_secret_value().encode()
    now = int(time.time())
    return [_event(secret, now, f"{series}{number}", number) for number in range(count)]


def _event(secret: bytes, now: int, name: str, number: int) -> bytes:
    subscription = {
        "id": f"sub_{name}",
        "object": "subscription",
        "customer": f"cus_{number % 500}",
        "status": "active",
        "items": {"object": "list", "data": [{"id": f"si_{name}_{item}", "quantity": item} for item in range(5)]},
        "metadata": {f"key_{key}": "v" * 60 for key in range(15)},
    }
    body = json.dumps(
        {
            "id": f"evt_{name}",
            "object": "event",
            "type": "customer.subscription.updated",
            "created": now,
            "livemode": False,
            "api_version": "2026-10-28.endive",
            "data": {"object": subscription},
        }
    ).encode()
    signature = hmac.new(secret, str(now).encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {"Content_Type": "application/json", "Stripe_Signature": f"t={now},v1={signature}"}
    return request("POST", "/api/v1/webhooks/stripe", body, **headers)


def _stored(settings: Settings) -> int:
    with psycopg.connect(settings.postgres.url.get_secret_value()) as connection:
        row = connection.execute("select count(*) from stripe_inbox").fetchone()
    assert row is not None
    return int(row[0])
