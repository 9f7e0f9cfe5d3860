"""The slow, obvious counter: what tests and recounts hold the fast path against. One record at a time, all in memory.

The order of decisions, which every implementation follows:
1. headers (INVALID_HEADER) → 2. the event itself → 3. a record that is not at home is forwarded, though only once
(NOT_AT_HOME), and nothing more is decided there → 4. the organization at this place (UNKNOWN_ORGANIZATION) → 5. repeat
or conflict → 6. the meters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from metering.blocks import Outcome
from metering.catalogue import Catalogue, Organization
from metering.events import UsageEvent, parse_event, read_first_arrival, read_organization_header
from metering.first_seen import Seen, Sighting, judge, refresh
from metering.identity import body_hash, identity_key, same_body
from metering.partitions import home_partition
from metering.readings import Reading, read_meter
from metering.rejections import Code, MeterSkip, Rejection
from metering.totals import Partial, Place, combine

_MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record as the log holds it; `arrival_ms` is the broker's stamp, headers are bytes or None."""

    offset: int
    arrival_ms: int
    raw: bytes | None
    organization: bytes | None = None
    first_arrival: bytes | None = None


class TotalKey(NamedTuple):
    """What a total is of; `minute` counts from 1970."""

    organization_id: str
    subject: str
    meter_id: str
    minute: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one record; `skips` are the meters, by id, that could not read a counted one."""

    offset: int
    outcome: Outcome
    rejection: Rejection | None = None
    skips: tuple[tuple[str, MeterSkip], ...] = ()


@dataclass
class MemoryCounter:
    """Counts one partition, records in the order of their offsets."""

    partition: int
    partitions: int
    default_organization: str | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    totals: dict[TotalKey, Partial] = field(default_factory=dict)
    _seen: dict[bytes, Seen] = field(default_factory=dict)
    _bodies: dict[int, bytes] = field(default_factory=dict)

    def count(self, record: LogRecord, catalogue: Catalogue) -> Verdict:
        """Decide one record and add it to the totals."""
        verdict = self._decide(record, catalogue)
        self.verdicts.append(verdict)
        return verdict

    def _decide(self, record: LogRecord, catalogue: Catalogue) -> Verdict:
        arrival_ms = read_first_arrival(record.first_arrival, record.arrival_ms)
        if isinstance(arrival_ms, Rejection):
            return _rejected(record, arrival_ms)
        event = self._read(record, arrival_ms)
        if isinstance(event, Rejection):
            return _rejected(record, event)
        home = home_partition(event.subject, self.partitions)
        if home != self.partition:
            return self._forward(record, event, home)
        organization = catalogue.organization_by_slug(event.organization, self.partition, record.offset)
        if organization is None:
            reason = f"no organization {event.organization!r} here"
            return _rejected(record, Rejection(Code.UNKNOWN_ORGANIZATION, reason, event.id))
        assert record.raw is not None
        sighting = self._sight(event, organization, record.offset, arrival_ms, record.raw)
        if sighting is Sighting.CONFLICT:
            reason = "this id was counted within 36 days with another body"
            return _rejected(record, Rejection(Code.CONFLICT, reason, event.id))
        if sighting is Sighting.REPEAT:
            return Verdict(record.offset, Outcome.DUPLICATE)
        skips = self._meter(event, organization, record.offset, catalogue)
        return Verdict(record.offset, Outcome.COUNTED, skips=skips)

    def _forward(self, record: LogRecord, event: UsageEvent, home: int) -> Verdict:
        if record.first_arrival is None:
            return Verdict(record.offset, Outcome.FORWARDED)
        reason = f"forwarded to partition {self.partition}, but its home is {home}"
        return _rejected(record, Rejection(Code.NOT_AT_HOME, reason, event.id))

    def _read(self, record: LogRecord, arrival_ms: int) -> UsageEvent | Rejection:
        slug = read_organization_header(record.organization)
        if isinstance(slug, Rejection):
            return slug
        return parse_event(
            record.raw, organization=slug, arrival_ms=arrival_ms, default_organization=self.default_organization
        )

    def _sight(
        self, event: UsageEvent, organization: Organization, offset: int, arrival_ms: int, raw: bytes
    ) -> Sighting:
        key = identity_key(organization.id, event.subject, event.source, event.id)
        seen = self._seen.get(key)
        sighting = judge(arrival_ms, seen, lambda earlier: same_body(self._bodies[earlier.offset], raw))
        if sighting is Sighting.NEW:
            self._seen[key] = Seen(offset, arrival_ms, body_hash(raw))
            self._bodies[offset] = raw
        elif sighting is Sighting.REPEAT:
            assert seen is not None
            self._seen[key] = refresh(seen, arrival_ms)
        return sighting

    def _meter(
        self, event: UsageEvent, organization: Organization, offset: int, catalogue: Catalogue
    ) -> tuple[tuple[str, MeterSkip], ...]:
        skips: list[tuple[str, MeterSkip]] = []
        for meter in catalogue.meters_for(organization.id, event.type, self.partition, offset):
            reading = read_meter(meter, event.data)
            if isinstance(reading, MeterSkip):
                skips.append((meter.id, reading))
            elif isinstance(reading, Reading):
                key = TotalKey(organization.id, event.subject, meter.id, event.time_us // _MINUTE_US)
                total = self.totals.setdefault(key, Partial(meter.aggregation))
                total.add(reading, Place(event.time_us, self.partition, offset))
        return tuple(skips)


def recount(
    partition: int,
    partitions: int,
    records: Iterable[LogRecord],
    catalogue: Catalogue,
    default_organization: str | None = None,
) -> MemoryCounter:
    """Count a partition's records from the first on; the answer holds verdicts and totals."""
    counter = MemoryCounter(partition, partitions, default_organization)
    for record in records:
        counter.count(record, catalogue)
    return counter


def merge_totals(counters: Iterable[MemoryCounter]) -> dict[TotalKey, Partial]:
    """Return the totals of several partitions as one, leaving theirs as they are."""
    merged: dict[TotalKey, Partial] = {}
    for counter in counters:
        for key, total in counter.totals.items():
            merged[key] = combine(total.aggregation, [merged[key], total] if key in merged else [total])
    return merged


def _rejected(record: LogRecord, rejection: Rejection) -> Verdict:
    return Verdict(record.offset, Outcome.REJECTED, rejection)
