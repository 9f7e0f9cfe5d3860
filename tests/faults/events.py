"""A seeded stream of what real life sends: events of all meters, repeats, conflicts, bad bytes, wrong partitions."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from metering.partitions import home_partition
from metering.records import ORGANIZATION_HEADER
from tests.faults.bad_bodies import BAD_BODIES

ACME_METERS: list[dict[str, Any]] = [
    {"slug": "tokens", "event_type": "request", "aggregation": "SUM", "value_property": "$.tokens"},
    {"slug": "requests", "event_type": "request", "aggregation": "COUNT"},
    {"slug": "models", "event_type": "request", "aggregation": "UNIQUE_COUNT", "value_property": "$.model"},
    {"slug": "latency", "event_type": "request", "aggregation": "AVG", "value_property": "$.latency"},
    {"slug": "fastest", "event_type": "request", "aggregation": "MIN", "value_property": "$.latency"},
    {
        "slug": "slowest",
        "event_type": "request",
        "aggregation": "MAX",
        "value_property": "$.latency",
        "filters": [{"property": "$.region", "operator": "in", "value": ["eu", "us"]}],
    },
    {"slug": "seats", "event_type": "seats", "aggregation": "LATEST", "value_property": "$.seats"},
    {
        "slug": "tokens-by-model",
        "event_type": "request",
        "aggregation": "SUM",
        "value_property": "$.tokens",
        "group_by": {"model": "$.model", "region": "$.region"},
        "filters": [{"property": "$.tokens", "operator": "gte", "value": 100}],
    },
]
GLOBEX_METERS: list[dict[str, Any]] = [
    {"slug": "calls", "event_type": "request", "aggregation": "COUNT"},
    {"slug": "tokens", "event_type": "request", "aggregation": "SUM", "value_property": "$.tokens"},
]


class Identity(NamedTuple):
    """What makes an event that event, with the organization's slug."""

    organization: str
    subject: str
    source: str
    id: str


@dataclass(frozen=True, slots=True)
class Sending:
    """A record to be produced; `identity` only where the event must be counted once it is acknowledged."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    identity: Identity | None = None


@dataclass
class EventStream:
    """Endless; the same seed gives the same records (but for the clock in their times)."""

    seed: int
    partitions: int
    subjects: int = 200
    mess: float = 0.25
    """Share of the records that are anything but a new, well-formed event at home."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._sent: list[tuple[Sending, dict[str, Any]]] = []
        self._number = 0

    def __iter__(self) -> Iterator[Sending]:
        while True:
            if self._sent and self._random.random() < self.mess:
                yield self._messy()
            else:
                yield self.new_event()

    def new_event(self) -> Sending:
        """Return an event that was never sent before, at its home."""
        self._number += 1
        chance = self._random
        organization = chance.choice(("acme", "acme", "globex"))
        kind = chance.choice(("request", "request", "request", "seats", "unmetered"))
        body: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"{self.seed}-{self._number}",
            "source": chance.choice(("/app", "/batch")),
            "type": kind,
            "subject": f"customer-{chance.randrange(self.subjects)}",
            "data": self._data(kind),
        }
        if chance.random() < 0.9:
            body["time"] = self._time()
        in_header = chance.random() < 0.5
        if not in_header:
            body["organization"] = organization
        headers = ((ORGANIZATION_HEADER, organization.encode()),) if in_header else ()
        identity = Identity(organization, body["subject"], body["source"], body["id"])
        sending = self._sending(body, headers, identity)
        self._sent.append((sending, body))
        return sending

    def _messy(self) -> Sending:
        chance = self._random
        kind = chance.choice(("repeat", "repeat", "reformatted", "conflict", "bad", "away", "unknown", "late"))
        # Mostly of late, so that repeats meet the block in hand; sometimes of long ago.
        behind = min(len(self._sent), 300 if chance.random() < 0.8 else len(self._sent))
        sending, body = self._sent[-chance.randint(1, behind)]
        if kind == "repeat":
            return sending
        if kind == "reformatted":
            text = json.dumps(dict(reversed(body.items())), indent=1).encode()
            return Sending(sending.partition, sending.key, text, sending.headers, sending.identity)
        if kind == "conflict":
            return self._sending({**body, "data": {"tokens": -self._number}}, sending.headers, None)
        if kind == "away":
            fresh = self.new_event()
            return Sending(chance.randrange(self.partitions), None, fresh.value, fresh.headers, fresh.identity)
        if kind == "unknown":
            return self._sending({**body, "organization": "nobody"}, (), None)
        if kind == "late":
            days = chance.uniform(0.5, 40)
            fresh_body = {**body, "id": f"late-{self.seed}-{self._number}", "time": self._time(days)}
            return self._sending(fresh_body, sending.headers, None)
        raw, _ = chance.choice([bad for bad in BAD_BODIES if bad[0] is None or len(bad[0]) < 10_000])
        return Sending(chance.randrange(self.partitions), None, raw)

    def _sending(
        self, body: dict[str, Any], headers: tuple[tuple[str, bytes], ...], identity: Identity | None
    ) -> Sending:
        subject = str(body["subject"])
        text = json.dumps(body, separators=(",", ":")).encode()
        return Sending(home_partition(subject, self.partitions), subject.encode(), text, headers, identity)

    def _time(self, days_ago: float = 0.0) -> str:
        at = datetime.now(UTC) - timedelta(days=days_ago, seconds=self._random.uniform(0, 90))
        return at.isoformat(timespec=self._random.choice(("seconds", "milliseconds", "microseconds")))

    def _data(self, kind: str) -> dict[str, Any]:
        chance = self._random
        if kind == "seats":
            return {"seats": chance.randrange(100)}
        tokens: Any = chance.choice((chance.randrange(5_000), f"{chance.randrange(10**6)}.{chance.randrange(10**9)}"))
        if chance.random() < 0.02:
            tokens = chance.choice(("many", None, True, 10**40, [1]))  # a meter's dead letter, and counted elsewhere
        return {
            "tokens": tokens,
            "model": f"m-{chance.randrange(6)}",
            "region": chance.choice(("eu", "us", "asia")),
            "latency": round(chance.uniform(0, 9), 3),
        }
