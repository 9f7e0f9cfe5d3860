"""The domain's own slow rules in place of the whole stack: what the demo's plan is held against."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from devstack.demo.meters import DemoMeter
from devstack.demo.recount import Cell, Numbers
from devstack.demo.sendings import Sending, Tally, Way
from metering.blocks import Outcome
from metering.catalogue import Catalogue, Organization
from metering.http_events import check_for_http
from metering.meters import Meter, build_meter
from metering.partitions import home_partition
from metering.recount import LogRecord, MemoryCounter, merge_totals
from metering.rejections import Rejection
from metering.totals import Partial, combine

PARTITIONS = 4


class MemoryStack:
    """The domain's slow counters in place of the whole stack."""

    def __init__(self, meters: Sequence[DemoMeter], *, now: datetime) -> None:
        self.now_ms = int(now.timestamp() * 1000)
        organization = Organization(id="00000000-0000-0000-0000-000000000001", slug="demo")
        built = tuple(_build(meter, organization.id) for meter in meters)
        self.catalogue = Catalogue(version=1, organizations=(organization,), meters=built)
        self.counters = [MemoryCounter(partition, PARTITIONS) for partition in range(PARTITIONS)]
        self.refused: Counter[str] = Counter()
        self.offsets = [0] * PARTITIONS

    def send(self, sending: Sending) -> None:
        body, header = sending.body, sending.organization
        if sending.way is Way.HTTP:
            assert body is not None
            checked = check_for_http(body, organization="demo", now_ms=self.now_ms)
            if isinstance(checked, Rejection):
                self.refused[str(checked.code)] += 1
                return
            body, header = checked.body, "demo"
        partition = home_partition(sending.key, PARTITIONS)
        if sending.way is Way.LIBRDKAFKA:  # which mostly misses
            strayed = (partition + 1) % PARTITIONS
            forwarded = self._append(strayed, body, header) is Outcome.FORWARDED
            assert forwarded == sending.is_forwarded(strayed, PARTITIONS)
            if not forwarded:
                return
        self._append(partition, body, header)

    def _append(self, partition: int, body: bytes | None, header: str | None) -> Outcome:
        offset = self.offsets[partition]
        self.offsets[partition] += 1
        record = LogRecord(offset, self.now_ms, body, header.encode() if header else None)
        return self.counters[partition].count(record, self.catalogue).outcome

    def tally(self, sent: int) -> Tally:
        verdicts = [verdict for counter in self.counters for verdict in counter.verdicts]
        outcomes = Counter(verdict.outcome for verdict in verdicts)
        return Tally(
            sent=sent,
            refused=self.refused,
            dead_letters=Counter(str(v.rejection.code) for v in verdicts if v.rejection),
            duplicates=outcomes[Outcome.DUPLICATE],
            counted=outcomes[Outcome.COUNTED],
            skipped=Counter((meter, str(skip.code)) for v in verdicts for meter, skip in v.skips),
        )

    def hourly(self, slug: str) -> Numbers:
        """Return a meter's number of every customer and hour."""
        (meter,) = (meter for meter in self.catalogue.meters if meter.slug == slug)
        parts: defaultdict[Cell, list[Partial]] = defaultdict(list)
        for key, total in merge_totals(self.counters).items():
            if key.meter_id == meter.id:
                hour = datetime.fromtimestamp(key.minute // 60 * 3600, UTC)
                parts[Cell(hour, key.subject)].append(total)
        values = {cell: combine(meter.aggregation, totals).value() for cell, totals in parts.items()}
        return {cell: Decimal(value) for cell, value in values.items() if value is not None}


def _build(meter: DemoMeter, organization_id: str) -> Meter:
    request = meter.request()
    del request["name"]
    return build_meter(id=meter.slug, organization_id=organization_id, **request)
