"""One event of Stripe's between the stores: as it was verified, as it is kept in Postgres, as it goes through Kafka."""

from __future__ import annotations

from typing import Any

from metering.partitions import home_partition
from sinks.kafka.producer import OutgoingRecord
from sinks.postgres.inbox import InboxEvent
from sinks.stripe.webhooks import ThinEvent, WebhookEvent


def inbox_event(event: WebhookEvent, raw: bytes) -> InboxEvent:
    """Return what is stored of an event."""
    if isinstance(event, ThinEvent):
        object_id = None if event.related_object is None else _text(event.related_object.get("id"))
        customer_id = None
    else:
        object_id = _text(event.object.get("id"))
        is_customer = event.object.get("object") == "customer"
        customer_id = object_id if is_customer else _reference(event.object.get("customer"))
    return InboxEvent(event.id, event.type, event.created_at, event.livemode, object_id, customer_id, raw)


def outgoing_record(event: InboxEvent, partitions: int) -> OutgoingRecord:
    """Return the record of an event: what belongs to one customer goes to one partition."""
    key = event.stripe_customer_id or event.object_id or event.event_id
    return OutgoingRecord(home_partition(key, partitions), key.encode(), event.body, [])


def _reference(value: Any) -> str | None:
    return _text(value.get("id")) if isinstance(value, dict) else _text(value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
