"""The usage query over HTTP: one customer, 30 days by day, among as many stored values as asked for."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from benchmarks.figures import Figure, WrongNumbers, percentile
from benchmarks.load import subject_name
from benchmarks.session import Session
from benchmarks.tenant import Tenant, make_tenant
from benchmarks.workers import running_api
from runtime.clock import utc_now
from runtime.settings import Settings
from sinks.clickhouse.client import command, connect
from sinks.http_api.client import ApiClient

_SUBJECTS = 10_000
_DAYS = 30
_PART = 10_000_000
# Numbers scattered by a multiplier that is prime to their count: every subject has the same number of events.
_FILL = """
insert into meter_values
select {organization_id:UUID}, {meter_id:UUID}, 'SUM',
    'customer-' || leftPad(toString(number % 10000), 6, '0'),
    fromUnixTimestamp64Milli({from_ms:Int64} + toInt64(cityHash64(number) % {span_ms:Int64}), 'UTC'),
    number % 8, number, 0, toDecimal128(1 + number % 5000, 18), null, []
from numbers({start:UInt64}, {count:UInt64})
"""


def usage_query(session: Session) -> Iterator[Figure]:
    """Store values by INSERT SELECT, then ask one query after the other."""
    full = session.options.full
    rows = 100_000_000 if full else session.options.scaled(5_000_000, 200_000)
    queries = session.options.scaled(300, 30)
    kafka = session.empty_log()
    to_at = utc_now().replace(minute=0, second=0, microsecond=0)
    with session.engines.fresh(kafka) as settings:
        tenant = make_tenant(settings)
        began = time.perf_counter()
        _fill(settings, tenant, rows, to_at)
        session.say(f"stored {rows:,} values in {time.perf_counter() - began:.0f} s")
        with running_api(settings) as child:
            times_ms = asyncio.run(_ask(child.url, tenant, rows, to_at, queries))
    yield Figure(
        "usage_query_p99",
        percentile(times_ms, 0.99),
        "ms",
        target=50,
        on={"stored_values": rows, "subjects": _SUBJECTS, "days": _DAYS, "queries": queries},
        details={"ms_p50": round(percentile(times_ms, 0.5), 1), "ms_max": round(max(times_ms), 1)},
    )


def _fill(settings: Settings, tenant: Tenant, rows: int, to_at: datetime) -> None:
    from_ms = round((to_at - timedelta(days=_DAYS)).timestamp() * 1_000)
    client = connect(settings.clickhouse.model_copy(update={"query_timeout_s": 600.0}), service="bench")
    try:
        for start in range(0, rows, _PART):
            place = {"organization_id": tenant.id, "meter_id": tenant.meters[0].id, "from_ms": from_ms}
            span = {"span_ms": _DAYS * 86_400_000, "start": start, "count": min(_PART, rows - start)}
            command(client, _FILL, {**place, **span})
    finally:
        client.close()


async def _ask(url: str, tenant: Tenant, rows: int, to_at: datetime, queries: int) -> list[float]:
    chance = random.Random(6)
    times_ms: list[float] = []
    period = [("from", (to_at - timedelta(days=_DAYS)).isoformat()), ("to", to_at.isoformat()), ("window_size", "DAY")]
    path = f"/meters/{tenant.meters[0].slug}/query"
    async with ApiClient(url, tenant.key) as client:
        for number in range(queries + queries // 10):
            subject = chance.randrange(_SUBJECTS)
            began = time.perf_counter()
            answer = await client.get(path, [*period, ("subject", subject_name(subject))])
            if number >= queries // 10:  # after a warm-up
                times_ms.append((time.perf_counter() - began) * 1e3)
            _check(subject, answer["data"], rows)
    return times_ms


def _check(subject: int, windows: list[dict[str, str]], rows: int) -> None:
    """Recount one subject's values. Raises: WrongNumbers."""
    expected = sum(1 + number % 5_000 for number in range(subject, rows, _SUBJECTS))
    found = sum(int(window["value"]) for window in windows)
    if found != expected:
        raise WrongNumbers(f"{subject_name(subject)} used {found}, expected {expected}")
