"""The check of what claims to come from Stripe: signature, age and shape, on the bytes as they came.

Our own check and not the library's: several secrets at once, the future refused too, and both kinds of events.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias

from pydantic import SecretStr

from runtime.errors import InvalidToken, PayloadTooLarge, RefusedToStart, SchemaValidation
from sinks.stripe.calls import Json

TOLERANCE: Final = timedelta(seconds=300)
"""Stripe's own advice; also what a replay of a recorded request has."""
MAX_BYTES: Final = 1_000_000
"""Far above the largest events (an invoice with its lines), so that nobody makes us hash and parse much more."""
_LONGEST_HEADER: Final = 4_096


@dataclass(frozen=True, slots=True)
class SnapshotEvent:
    """An event that carries its object as it was then, in the API version of its endpoint."""

    id: str
    type: str
    created_at: datetime
    """In whole seconds: too coarse to order events by."""
    livemode: bool
    api_version: str | None
    object: Json
    previous_attributes: Json
    body: Json


@dataclass(frozen=True, slots=True)
class ThinEvent:
    """An event that only names what it is about (`object: v2.core.event`)."""

    id: str
    type: str
    created_at: datetime
    livemode: bool
    related_object: Json | None
    body: Json


WebhookEvent: TypeAlias = SnapshotEvent | ThinEvent


def verify(raw: bytes, header: str | None, secrets: Sequence[SecretStr], now: datetime) -> WebhookEvent:
    """Return the event if `header` (`Stripe-Signature`) signs these bytes with one of `secrets`, within `TOLERANCE`.

    Raises: InvalidToken (signature, age), PayloadTooLarge, SchemaValidation (no event), RefusedToStart (no secret).
    """
    if not secrets:
        raise RefusedToStart("No webhook secret is set: put it in METERSTREAM_STRIPE__WEBHOOK_SECRETS.")
    if len(raw) > MAX_BYTES:
        raise PayloadTooLarge("No event of Stripe's is that large.", limit=MAX_BYTES)
    signed_at, signatures = _read_header(header)
    if not _is_signed(raw, signed_at, signatures, secrets):
        raise InvalidToken(
            "No signature fits this body: it was changed on the way, or signed with a secret that we do not have.",
            code="WEBHOOK_SIGNATURE_INVALID",
        )
    age_s = now.timestamp() - int(signed_at)
    if abs(age_s) > TOLERANCE.total_seconds():
        when = "too long ago" if age_s > 0 else "in the future: one of the two clocks is wrong"
        raise InvalidToken(f"The event was signed {when}.", code="WEBHOOK_TIMESTAMP_INVALID", age_s=round(age_s))
    return read_event(raw)


def _read_header(header: str | None) -> tuple[str, list[str]]:
    """Return the time of signing, as written, and the `v1` signatures; other schemes are not ours to judge."""
    if not header:
        raise InvalidToken("The header Stripe-Signature is missing.", code="WEBHOOK_SIGNATURE_MISSING")
    pairs = [part.strip().partition("=") for part in header[:_LONGEST_HEADER].split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1"]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit() and len(times[0]) <= 12) or not signatures:
        raise InvalidToken(
            "The header Stripe-Signature must hold one t= (seconds) and a v1=.", code="WEBHOOK_SIGNATURE_MALFORMED"
        )
    return times[0], signatures


def _is_signed(raw: bytes, signed_at: str, signatures: Sequence[str], secrets: Sequence[SecretStr]) -> bool:
    signed = signed_at.encode() + b"." + raw
    for secret in secrets:
        expected = hmac.new(secret.get_secret_value().encode(), signed, hashlib.sha256).hexdigest().encode()
        if any(hmac.compare_digest(expected, signature.encode("utf-8", "replace")) for signature in signatures):
            return True
    return False


def read_event(raw: bytes) -> WebhookEvent:
    """Return an event that was verified before, such as one from Kafka. Raises: SchemaValidation."""
    try:
        body = json.loads(raw.decode("utf-8"), parse_float=Decimal)
    except (UnicodeDecodeError, ValueError, RecursionError) as exc:
        raise SchemaValidation("The event is no JSON in UTF-8.") from exc
    kind = body.get("object") if isinstance(body, dict) else None
    if kind not in ("event", "v2.core.event"):
        raise SchemaValidation("The body is no event: `object` must be `event` or `v2.core.event`.", field="object")
    try:
        return _snapshot(body) if kind == "event" else _thin(body)
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        raise SchemaValidation(f"The event lacks a field or has a wrong one: {type(exc).__name__} {exc}"[:200]) from exc


def _snapshot(body: Json) -> SnapshotEvent:
    data = _typed(body["data"], dict)
    return SnapshotEvent(
        id=_typed(body["id"], str),
        type=_typed(body["type"], str),
        created_at=datetime.fromtimestamp(_typed(body["created"], int), UTC),
        livemode=_typed(body["livemode"], bool),
        api_version=body.get("api_version"),
        object=_typed(data["object"], dict),
        previous_attributes=_typed(data.get("previous_attributes") or {}, dict),
        body=body,
    )


def _thin(body: Json) -> ThinEvent:
    related = body.get("related_object")
    created_at = datetime.fromisoformat(_typed(body["created"], str))
    if created_at.tzinfo is None:
        raise ValueError("created has no zone")
    return ThinEvent(
        id=_typed(body["id"], str),
        type=_typed(body["type"], str),
        created_at=created_at.astimezone(UTC),
        livemode=_typed(body["livemode"], bool),
        related_object=None if related is None else _typed(related, dict),
        body=body,
    )


def _typed(value: Any, kind: type[Any]) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{kind.__name__} expected, not {type(value).__name__}")
    return value
