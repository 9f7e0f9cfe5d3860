"""Sends a dead letter again: intent row → record → done. A crash in between leaves `redriving`, to be repeated."""

from __future__ import annotations

from dataclasses import replace

from psycopg import AsyncConnection

from api.access.actor import Actor
from api.stores import Stores
from metering.http_events import HttpEvent, check_for_http
from metering.partitions import home_partition
from metering.records import ORGANIZATION_HEADER
from metering.rejections import Code
from runtime.errors import BusinessLogicError, InsufficientPermissions, InvalidInput
from sinks.kafka.producer import OutgoingRecord
from sinks.postgres.access import Access
from sinks.postgres.audit import record
from sinks.postgres.dead_letters import RECORD_LEVEL, DeadLetterRow, intend_redrive, settle_redrive
from sinks.postgres.organizations import find_organization


async def redrive(
    stores: Stores,
    actor: Actor,
    row: DeadLetterRow,
    raw: bytes,
    *,
    event: bytes | None,
    organization: str | None,
) -> None:
    """Produce the record again, `event` instead of what came if given.

    1. The intent, with the body. A crash after it: the same request repeats the rest.
    2. The record. A crash after it: repeating makes a second one, equal to the first, which counts as its repeat.
    3. The mark that it is done.

    Raises: BusinessLogicError when it would not count, Unavailable when Kafka does not confirm.
    """
    if row.meter_id != RECORD_LEVEL:
        raise BusinessLogicError(
            "Only one meter could not read this event; it counts elsewhere, so its id is taken and a second record"
            " would be its duplicate. Send a correcting event under a new id, then discard this dead letter.",
            code="EVENT_ALREADY_COUNTED",
            meter=row.meter,
            event_id=row.event_id,
        )
    organization_id, slug = await _owner(stores, actor, row, organization)
    checked = _check(stores, row, _body(row, raw, event), slug)
    async with stores.postgres.acting(deciding(actor, organization_id)) as connection:
        await intend_redrive(connection, row.id, raw=checked.body, decided_by=actor.name)
        await record_decision(connection, actor, row, "redrive", organization_id=organization_id)
    subject = checked.event.subject
    outgoing = OutgoingRecord(
        home_partition(subject, stores.shape.partitions),
        subject.encode(),
        checked.body,
        [(ORGANIZATION_HEADER, slug.encode())],
    )
    await stores.producer.send_all([outgoing])
    async with stores.postgres.acting(actor.access) as connection:
        await settle_redrive(connection, row.id)


def deciding(actor: Actor, organization_id: str | None) -> Access:
    """Return who decides about a dead letter: an operator does it for whom it belongs to, whose audit log tells it."""
    return actor.access if organization_id is None else replace(actor.access, organization_id=organization_id)


async def record_decision(
    connection: AsyncConnection,
    actor: Actor,
    row: DeadLetterRow,
    verb: str,
    *,
    organization_id: str | None,
    reason: str | None = None,
) -> None:
    """Leave an audit row of a decision, `deciding`; what belongs to nobody stands at the dead letter alone."""
    if organization_id is None:
        return
    await record(
        connection,
        organization_id=organization_id,
        author=actor.author,
        action=f"dead_letter.{verb}",
        target=("dead_letter", str(row.id)),
        before={"state": row.state},
        after={"reason": reason} if reason else None,
    )


async def _owner(stores: Stores, actor: Actor, row: DeadLetterRow, named: str | None) -> tuple[str, str]:
    """Return whose event it becomes, by id and slug.

    A tenant's own; for an operator the record's, or the one that is named.
    """
    if actor.kind != "operator":
        organization_id, own = actor.tenant
        if named not in (None, own):
            raise InsufficientPermissions("A key sends events of its own organization only.", required="operator")
        return organization_id, own
    slug = named or row.organization
    if slug is None:
        raise InvalidInput("Nobody is known to own this record: name an organization.", field="organization")
    async with stores.postgres.acting(actor.access) as connection:
        found = None if "\x00" in slug else await find_organization(connection, slug=slug)
    if found is None or found.archived_at is not None:
        raise BusinessLogicError(f"No organization {slug[:80]!r} is in force.", code="UNKNOWN_ORGANIZATION")
    return found.id, slug


def _body(row: DeadLetterRow, raw: bytes, event: bytes | None) -> bytes:
    if event is not None:
        return event
    if row.raw_bytes > len(raw):
        raise BusinessLogicError(
            f"Only {len(raw)} of {row.raw_bytes} bytes are kept here: send the whole event along.", code="EVENT_NEEDED"
        )
    return raw


def _check(stores: Stores, row: DeadLetterRow, body: bytes, slug: str) -> HttpEvent:
    checked = check_for_http(body, organization=slug, now_ms=int(stores.clock().timestamp() * 1000))
    if not isinstance(checked, HttpEvent):
        raise BusinessLogicError(
            f"It would be rejected again: {checked.message}. Send a corrected event along.",
            code="STILL_REJECTED",
            reason=str(checked.code),
        )
    if row.code == Code.CONFLICT and checked.event.id == row.event_id:
        raise BusinessLogicError(
            "Its id was counted with another body, so it would be a conflict again: give it a new id.",
            code="STILL_REJECTED",
            reason=str(Code.CONFLICT),
        )
    return checked
