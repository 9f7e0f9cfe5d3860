"""The two ways of `meterstream emit`: each takes a batch of lines and says which of them it did not take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cli.event_lines import EventLine
from metering.events import load_body, parse_event
from metering.partitions import home_partition
from metering.records import ORGANIZATION_HEADER
from metering.rejections import Rejection
from runtime.clock import utc_now
from runtime.errors import RateLimited, Unavailable
from sinks.http_api.client import ApiClient
from sinks.kafka.producer import EventProducer, OutgoingRecord

_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that was not taken."""

    line: int
    id: str | None
    code: str
    message: str


class Emitter(Protocol):
    """A way in."""

    async def emit(self, lines: Sequence[EventLine]) -> list[Refused]:
        """Return once all but the returned lines are stored. Raises: Unavailable."""


@dataclass(frozen=True, slots=True)
class HttpEmitter:
    """Through the API, which checks every event; only what is no JSON object is refused here."""

    api: ApiClient

    async def emit(self, lines: Sequence[EventLine]) -> list[Refused]:
        """Return once all but the returned lines are stored. Raises: Unavailable, ApiRefusal."""
        refused: list[Refused] = []
        sent: list[EventLine] = []
        for line in lines:
            body = load_body(line.body)
            if isinstance(body, Rejection):
                refused.append(_refused(line, body))
            else:
                sent.append(line)
        if sent:
            answer = await self.api.send_events([line.body for line in sent])
            refused += [Refused(sent[r.index].number, r.id, r.code, r.message) for r in answer.rejected]
        return refused


@dataclass(frozen=True, slots=True)
class KafkaEmitter:
    """Straight to the subjects' home partitions; what would become a dead letter is refused here.

    All but one thing: whether the organization exists, only the workers know.
    """

    producer: EventProducer
    partitions: int
    organization: str | None
    default_organization: str | None
    give_up_s: float = 60.0

    async def emit(self, lines: Sequence[EventLine]) -> list[Refused]:
        """Return once all but the returned lines are stored. Raises: Unavailable."""
        refused: list[Refused] = []
        records: list[OutgoingRecord] = []
        header = [] if self.organization is None else [(ORGANIZATION_HEADER, self.organization.encode())]
        for line in lines:
            event = parse_event(
                line.body,
                organization=self.organization,
                arrival_ms=int(utc_now().timestamp() * 1000),
                default_organization=self.default_organization,
            )
            if isinstance(event, Rejection):
                refused.append(_refused(line, event))
            else:
                home = home_partition(event.subject, self.partitions)
                records.append(OutgoingRecord(home, event.subject.encode(), line.body, header))
        await self._store(records)
        return refused

    async def _store(self, records: Sequence[OutgoingRecord]) -> None:
        deadline = time.monotonic() + self.give_up_s
        while True:
            try:
                await self.producer.send_all(records)
                return
            except (Unavailable, RateLimited):
                # Repeating is safe: what was stored already is a duplicate, which counts once.
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_PAUSE_S)


def _refused(line: EventLine, rejection: Rejection) -> Refused:
    return Refused(line.number, rejection.event_id, str(rejection.code), rejection.message)
