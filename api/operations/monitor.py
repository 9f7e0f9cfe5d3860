"""Looks every few seconds at what readiness and metrics tell: lag, stalls, and whether the books agree."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from datetime import datetime

from api.operations.stalls import StallWatch
from api.stores import Stores
from runtime.errors import MeterstreamError
from runtime.logging import get_logger
from runtime.telemetry import Telemetry
from sinks.clickhouse.ledger import compare
from sinks.postgres import inbox, outbox
from sinks.postgres.access import Access
from sinks.postgres.job_cursors import RECONCILE_STRIPE, read_cursor
from sinks.postgres.ledger import find_differences, read_progress, read_recent_loads

log = get_logger(__name__)

_OPERATOR = Access(operator=True)
_EVERY_S = 5.0
# The ledger reads the journal: its cost grows with it, and a difference does not go away by itself.
_LEDGER_EVERY_S = 30.0
_COMPARED_LOADS = 1_000
# What the oldest row of each waits for; numbered as StallWatch numbers partitions.
_BOXES = ("inbox", "outbox")


@dataclass
class Findings:
    """What the last look found; `None` before the first."""

    looked_at_s: float | None = None
    """When, by `time.monotonic`."""
    metering_lag: dict[int, int] | None = None
    warehouse_lag: dict[int, int] | None = None
    metering_stalled: list[int] = field(default_factory=list)
    warehouse_stalled: list[int] = field(default_factory=list)
    billing_stalled: list[str] = field(default_factory=list)
    """What waits: inbox (Stripe's events), outbox (our changes)."""
    differences: list[str] | None = None


class Monitor:
    """A task beside the requests; one per process."""

    def __init__(self, stores: Stores, telemetry: Telemetry, *, whole_log: bool, stalled_after_s: float) -> None:
        self.findings = Findings()
        self._stores = stores
        self._telemetry = telemetry
        self._whole_log = whole_log
        self._metering = StallWatch(stalled_after_s=stalled_after_s)
        self._warehouse = StallWatch(stalled_after_s=stalled_after_s)
        self._billing = StallWatch(stalled_after_s=stalled_after_s)
        self._ledger_due_s = 0.0

    async def run(self) -> None:
        """Look for ever; a store that does not answer is readiness' own finding and no reason to stop."""
        while True:
            try:
                await self.look()
            except MeterstreamError as exc:
                log.warning("Could not look after lag and ledger", reason=exc.message)
            await asyncio.sleep(_EVERY_S)

    async def look(self) -> None:
        """Look once at lag and stalls, and at the ledger when it is due."""
        if self._stores.stripe is not None:
            # First: without Kafka, too, it tells what waits.
            await self._look_at_billing()
        await self._look_at_progress()
        if time.monotonic() >= self._ledger_due_s:
            await self.look_at_ledger()

    async def look_at_ledger(self) -> None:
        """Compare the books: Postgres' own, and ClickHouse's newest loads with them."""
        topic = self._stores.shape.topic
        async with self._stores.postgres.acting(_OPERATOR, snapshot=True) as connection:
            found = await find_differences(connection, topic, whole_log=self._whole_log)
            loads = await read_recent_loads(connection, topic, limit=_COMPARED_LOADS)
        differences = list(map(str, found))
        self.findings.differences = differences
        self._telemetry.ledger_differences.set(len(differences))
        differences += map(str, await self._stores.clickhouse.run(compare, loads))
        self._telemetry.ledger_differences.set(len(differences))
        self._ledger_due_s = time.monotonic() + _LEDGER_EVERY_S
        if differences:
            log.error("The ledger does not add up", differences=differences[:10], count=len(differences))

    async def _look_at_billing(self) -> None:
        async with self._stores.postgres.acting(_OPERATOR) as connection:
            oldest = (await inbox.find_oldest(connection), await outbox.find_oldest(connection))
            reconciled_at = await read_cursor(connection, RECONCILE_STRIPE)
        now = self._stores.clock()
        reconciled_age_s = math.inf if reconciled_at is None else (now - reconciled_at).total_seconds()
        self._telemetry.reconciled_age_s.set(reconciled_age_s)
        waiting: dict[int, int] = {}
        for box, (name, since) in enumerate(zip(_BOXES, oldest, strict=True)):
            age_s = 0.0 if since is None else max((now - since).total_seconds(), 0.0)
            self._telemetry.oldest_waiting_s.labels(name).set(age_s)
            if since is not None:
                waiting[box] = round(since.timestamp() * 1_000_000)
        # The oldest row is where the worker stands: as long as that changes it is slow, and not stalled.
        ends = {box: waiting[box] + 1 if box in waiting else 0 for box in range(len(_BOXES))}
        stalled = self._billing.observe(time.monotonic(), positions=waiting, ends=ends)
        self.findings.billing_stalled = [_BOXES[box] for box in stalled]
        self._telemetry.stalled.labels("billing").set(bool(stalled))

    async def _look_at_progress(self) -> None:
        # Positions first: what arrives in between is lag, never a position beyond the end.
        async with self._stores.postgres.acting(_OPERATOR) as connection:
            progress = await read_progress(connection, self._stores.shape.topic)
        ends = dict(enumerate(await self._stores.log_ends.read()))
        metered = {row.partition: row.position for row in progress}
        loaded = {row.partition: row.loaded_position or 0 for row in progress}
        now_s = time.monotonic()
        findings = self.findings
        findings.metering_stalled = self._metering.observe(now_s, positions=metered, ends=ends)
        findings.warehouse_stalled = self._warehouse.observe(now_s, positions=loaded, ends=metered)
        findings.metering_lag = {partition: max(end - metered.get(partition, 0), 0) for partition, end in ends.items()}
        findings.warehouse_lag = {partition: end - loaded[partition] for partition, end in metered.items()}
        findings.looked_at_s = now_s
        committed_at, loaded_at = [row.committed_at for row in progress], [row.loaded_at for row in progress]
        self._report("metering", findings.metering_lag, findings.metering_stalled, committed_at)
        self._report("warehouse", findings.warehouse_lag, findings.warehouse_stalled, loaded_at)

    def _report(self, app: str, lag: dict[int, int], stalled: list[int], moved_at: list[datetime | None]) -> None:
        for partition, records in lag.items():
            self._telemetry.lag_records.labels(app, str(partition)).set(records)
        self._telemetry.stalled.labels(app).set(bool(stalled))
        newest = max((at for at in moved_at if at is not None), default=None)
        if newest is not None:
            self._telemetry.last_commit_age_s.labels(app).set((self._stores.clock() - newest).total_seconds())
