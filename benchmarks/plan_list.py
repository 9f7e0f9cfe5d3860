"""The public list of plans from the cache: answers a second of one process, all the same bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from benchmarks.figures import Figure, WrongNumbers
from benchmarks.http_load import at_full_speed, request
from benchmarks.load import ORGANIZATION
from benchmarks.session import Session
from benchmarks.tenant import make_tenant
from benchmarks.workers import running_api
from runtime.settings import Settings
from sinks.postgres.access import open_postgres
from sinks.postgres.plans import activate_plan, create_plan

_CONNECTIONS: Final = 16
_PLANS: Final = 12


def plan_list(session: Session) -> Iterator[Figure]:
    """Ask for a list of plans in several currencies over and over."""
    requests = session.options.scaled(60_000, 2_000)
    with session.engines.fresh(session.empty_log()) as settings:
        asyncio.run(_sell(settings, make_tenant(settings).id))
        bodies: set[bytes] = set()

        def check(_: int, body: bytes) -> None:
            bodies.add(body)
            if len(bodies) != 1:
                raise WrongNumbers("the answers differ")

        asked = [request("GET", f"/api/v1/plans?organization={ORGANIZATION}")] * requests
        with running_api(settings) as child:
            before_s = child.cpu_seconds()
            measured = asyncio.run(at_full_speed(child.url, asked, connections=_CONNECTIONS, check=check))
            cpu_us = (child.cpu_seconds() - before_s) / requests * 1e6
    size = len(bodies.pop())
    yield Figure(
        "plan_list",
        measured.a_second,
        "requests/s",
        target=3_000,
        on={"plans": _PLANS, "bytes": size, "connections": _CONNECTIONS, "requests": requests},
        details={
            "request_ms_p50": round(measured.ms(0.5), 2),
            "request_ms_p99": round(measured.ms(0.99), 2),
            "cpu_us_per_request": {"api": round(cpu_us, 1)},
        },
    )


async def _sell(settings: Settings, organization_id: str) -> None:
    async with open_postgres(settings.postgres, service="bench") as connection:
        for number in range(_PLANS):
            document = _document(number)
            slug, name = str(document["slug"]), str(document["name"])
            row = await create_plan(
                connection, organization_id=organization_id, slug=slug, name=name, document=document
            )
            prices = {price["slug"]: f"price_{slug}_{price['slug']}" for price in document["prices"]}
            await activate_plan(connection, row, stripe_product_id=f"prod_{slug}", stripe_prices=prices)


def _document(number: int) -> dict[str, Any]:
    amounts = {"usd": {"amount": f"{10 + number}.00"}, "eur": {"amount": f"{9 + number}.00"}}
    return {
        "slug": f"plan-{number}",
        "name": f"Plan {number}",
        "description": "What teams of this size need.",
        "features": [{"slug": "api_calls", "limit": {"meter": "api_calls", "quantity": "1000000", "mode": "hard"}}],
        "prices": [
            {"slug": "base", "kind": "flat", "interval": "month", "currencies": amounts},
            {"slug": "seats", "kind": "per_seat", "interval": "month", "currencies": amounts},
        ],
    }
