"""Dead letters as people handle them: listed, shown, re-driven, discarded. Blocks write them (`blocks`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import class_row

from runtime.errors import ConflictError, InvalidStateTransition, NotFoundError
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.postgres.rows import fetch_all, fetch_one

RECORD_LEVEL: Final = "00000000-0000-0000-0000-000000000000"
"""The `meter_id` of a dead letter that is the whole record."""

_SQL = load("dead_letters")
_ID = re.compile(r"(?P<topic>.+)-(?P<partition>[0-9]{1,4})-(?P<offset>[0-9]{1,18})(?:-(?P<meter>[0-9a-f]{32}))?")


@dataclass(frozen=True, slots=True)
class DeadLetterId:
    """The place of a record in the log and, where only one meter could not read it, that meter."""

    topic: str
    partition: int
    offset: int
    meter_id: str = RECORD_LEVEL

    @classmethod
    def parse(cls, text: str) -> DeadLetterId:
        """Read `topic-partition-offset[-meter]`, the meter as 32 hexadecimal digits. Raises: NotFoundError."""
        match = _ID.fullmatch(text)
        if match is None or "\x00" in text:
            raise NotFoundError(f"No dead letter {text[:300]!r}.", code="DEAD_LETTER_NOT_FOUND")
        digits = match["meter"]
        meter_id = RECORD_LEVEL
        if digits is not None:
            meter_id = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        return cls(match["topic"], int(match["partition"]), int(match["offset"]), meter_id)

    def __str__(self) -> str:
        place = f"{self.topic}-{self.partition}-{self.offset}"
        return place if self.meter_id == RECORD_LEVEL else f"{place}-{self.meter_id.replace('-', '')}"

    def as_parameters(self) -> dict[str, Any]:
        """Return the key as statements name it."""
        return {"topic": self.topic, "partition": self.partition, "offset": self.offset, "meter_id": self.meter_id}


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """A dead letter without its bytes, and what was decided about it."""

    topic: str
    partition: int
    position: int
    meter_id: str
    meter: str | None
    organization: str | None
    organization_id: str | None
    code: str
    message: str
    event_id: str | None
    arrival_at: datetime
    raw_bytes: int
    state: str
    """open, redriving, redriven or discarded."""
    reason: str | None
    decided_by: str | None
    decided_at: datetime | None

    @property
    def id(self) -> DeadLetterId:
        """Return its key."""
        return DeadLetterId(self.topic, self.partition, self.position, self.meter_id)


async def list_dead_letters(
    connection: AsyncConnection,
    *,
    organization_id: str | None,
    state: str | None = None,
    code: str | None = None,
    after: tuple[datetime, DeadLetterId] | None = None,
    limit: int = 100,
) -> list[DeadLetterRow]:
    """Return dead letters, newest first. `organization_id` None is the operators' view: all, also those of nobody."""
    after_at, after_id = after if after is not None else (None, DeadLetterId("", 0, 0))
    values = {
        "organization_id": organization_id,
        "state": state,
        "code": code,
        "limit": limit,
        "after_at": after_at,
        "after_topic": after_id.topic,
        "after_partition": after_id.partition,
        "after_offset": after_id.offset,
        "after_meter": after_id.meter_id,
    }
    return await fetch_all(connection, DeadLetterRow, _SQL["list"], values)


async def find_dead_letter(
    connection: AsyncConnection, key: DeadLetterId, *, organization_id: str | None
) -> tuple[DeadLetterRow, bytes]:
    """Return a dead letter and its first 64 KB. Raises: NotFoundError, also for another tenant's."""
    with translated_errors():
        async with connection.cursor(row_factory=class_row(DeadLetterRow)) as cursor:
            await cursor.execute(_SQL["find"], {**key.as_parameters(), "organization_id": organization_id})
            row = await cursor.fetchone()
        raw = await (await connection.execute(_SQL["raw"], key.as_parameters())).fetchone()
    if row is None:
        raise NotFoundError(f"No dead letter {str(key)[:300]!r}.", code="DEAD_LETTER_NOT_FOUND")
    return row, bytes(raw[0] or b"") if raw else b""


async def intend_redrive(connection: AsyncConnection, key: DeadLetterId, *, raw: bytes, decided_by: str) -> None:
    """Write down that `raw` is about to be produced; the same again is fine.

    Raises: ConflictError when another body is on its way, InvalidStateTransition when it is decided already.
    """
    values = {**key.as_parameters(), "raw": raw, "decided_by": decided_by}
    with translated_errors():
        row = await (await connection.execute(_SQL["intend"], values)).fetchone()
    if row is None:
        state = await _state(connection, key)
        if state == "redriving":
            raise ConflictError("This dead letter is being re-driven with another body.")
        raise _decided(state)


async def settle_redrive(connection: AsyncConnection, key: DeadLetterId) -> None:
    """Write down that the record is in the log."""
    with translated_errors():
        await connection.execute(_SQL["settle"], key.as_parameters())


async def discard_dead_letter(connection: AsyncConnection, key: DeadLetterId, *, reason: str, decided_by: str) -> None:
    """Decide that nothing is to be done about it; a second time changes nothing.

    Raises: InvalidStateTransition when it was re-driven.
    """
    values = {**key.as_parameters(), "reason": reason, "decided_by": decided_by}
    with translated_errors():
        row = await (await connection.execute(_SQL["discard"], values)).fetchone()
    if row is None:
        state = await _state(connection, key)
        if state != "discarded":
            raise _decided(state)


async def _state(connection: AsyncConnection, key: DeadLetterId) -> str:
    row = await fetch_one(connection, DeadLetterRow, _SQL["find"], {**key.as_parameters(), "organization_id": None})
    return "open" if row is None else row.state


def _decided(state: str) -> InvalidStateTransition:
    return InvalidStateTransition(f"This dead letter is {state} already.", state=state, allowed=["open"])
