"""The warehouse's events per second: from Kafka to ClickHouse, when the journal is there already."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.books import Books
from benchmarks.engines import wait_until
from benchmarks.figures import Figure, WrongNumbers
from benchmarks.load import Expected
from benchmarks.session import Session
from benchmarks.tenant import Tenant, make_tenant
from benchmarks.workers import METERING, WAREHOUSE, running
from metering.meters import Aggregation
from runtime.settings import Settings
from sinks.clickhouse.client import connect, query

_TIMEOUT_S = 180.0


def warehouse(session: Session) -> Iterator[Figure]:
    """Meter a log, then, with metering stopped, load it."""
    log = session.filled_log(session.main_shape())
    with session.engines.fresh(log.kafka) as settings, Books(settings) as books:
        tenant = make_tenant(settings)
        with running(settings, "metering", METERING) as child:
            events = log.load.shape.events
            wait_until(
                "metering", lambda: child.pid and books.progress().records >= events, timeout_s=_TIMEOUT_S, every_s=0.2
            )
        expected = log.load.expected()
        counted = int(expected.counts.sum())
        with running(settings, "warehouse", WAREHOUSE) as child:
            wait_until("loading", lambda: child.pid and books.loaded() >= counted, timeout_s=_TIMEOUT_S, every_s=0.2)
            rss_mb, own_mb = child.memory_mb()
        _check(settings, tenant, expected)
        pace = books.loads()
        yield Figure(
            "warehouse",
            pace.a_second,
            "events/s",
            target=150_000,
            on={**log.named(), "meters": len(tenant.meters)},
            details={
                "measured_events": pace.records,
                "measured_s": round(pace.seconds, 2),
                "loads": pace.blocks,
                "worker_rss_mb": round(rss_mb),
                "worker_uss_mb": round(own_mb),
            },
        )


def _check(settings: Settings, tenant: Tenant, expected: Expected) -> None:
    """Hold the rollup against the generator. Raises: WrongNumbers."""
    client = connect(settings.clickhouse, service="bench")
    try:
        rows = query(
            client,
            "select toString(meter_id), sum(events), sum(total) from meter_values_quarter_hourly group by meter_id",
        )
        (stored,) = query(client, "select count() from usage_events")
    finally:
        client.close()
    found = {str(meter_id): (int(events), int(total)) for meter_id, events, total in rows}
    counted, tokens = int(expected.counts.sum()), int(expected.sums.sum())
    wanted = {meter.id: (counted, tokens if meter.aggregation is Aggregation.SUM else 0) for meter in tenant.meters}
    if found != wanted or int(stored[0]) != counted:
        raise WrongNumbers(f"ClickHouse has {stored[0]} events and {found}; expected {counted} and {wanted}")
