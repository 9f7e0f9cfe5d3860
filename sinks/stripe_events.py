"""One event of Stripe's between the stores: as it was verified, as it is kept in Postgres, as it goes through Kafka."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from metering.partitions import home_partition
from sinks.kafka.producer import MAX_RECORD_BYTES, OutgoingRecord
from sinks.postgres.inbox import InboxEvent
from sinks.stripe.webhooks import ThinEvent, WebhookEvent

_LONGEST_TEXT: Final = 255
# The key is an id or the like.
_MOST_BYTES: Final = MAX_RECORD_BYTES - 4 * _LONGEST_TEXT
# data.object.parent.subscription_details.subscription is the deepest that is looked for.
_LEVELS: Final = 5


def inbox_event(event: WebhookEvent, raw: bytes) -> InboxEvent:
    """Return what is stored of an event: all of it, unless Kafka takes nothing so large."""
    if isinstance(event, ThinEvent):
        object_id = None if event.related_object is None else _text(event.related_object.get("id"))
        customer_id = None
    else:
        object_id = _text(event.object.get("id"))
        is_customer = event.object.get("object") == "customer"
        customer_id = object_id if is_customer else _reference(event.object.get("customer"))
    body = raw if len(raw) <= _MOST_BYTES else msgspec.json.encode(_shortened(event.body, _LEVELS))
    return InboxEvent(event.id, event.type, event.created_at, event.livemode, object_id, customer_id, body)


def outgoing_record(event: InboxEvent, partitions: int) -> OutgoingRecord:
    """Return the record of an event: what belongs to one customer goes to one partition."""
    key = event.stripe_customer_id or event.object_id or event.event_id
    return OutgoingRecord(home_partition(key, partitions), key.encode(), event.body, [])


def _shortened(value: Any, levels: int) -> Any:
    """Return what says which objects an event is about, which is all that is needed of it: no lists, no long texts."""
    if isinstance(value, dict):
        if levels == 0:
            return _reference(value)
        return {name: _shortened(each, levels - 1) for name, each in value.items()}
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else None
    return value if value is None or isinstance(value, bool | int) else None


def _reference(value: Any) -> str | None:
    return _text(value.get("id")) if isinstance(value, dict) else _text(value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
