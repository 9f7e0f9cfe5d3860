from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import stripe
from pydantic import SecretStr

from runtime.errors import InvalidToken, MeterstreamError, PayloadTooLarge, RefusedToStart, SchemaValidation
from sinks.stripe.webhooks import MAX_BYTES, SnapshotEvent, ThinEvent, verify

_NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
_NEW, _OLD, _FOREIGN = "whsec_new_4hG7", "whsec_old_9kQ2", "whsec_foreign_1xZ5"
_SECRETS = [SecretStr(_NEW), SecretStr(_OLD)]
_SNAPSHOT: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "type": "coupon.updated",
    "created": 1_795_000_000,
    "livemode": False,
    "api_version": "2026-10-28.endive",
    "data": {"object": {"id": "c", "object": "coupon", "percent_off": 12.5}, "previous_attributes": {"name": "ä"}},
}
_THIN: dict[str, Any] = {
    "id": "evt_2",
    "object": "v2.core.event",
    "type": "v1.billing.meter.error_report_triggered",
    "created": "2026-11-23T11:59:58.123Z",
    "livemode": True,
    "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"},
}


def _raw(event: Any) -> bytes:
    return json.dumps(event, indent=2, ensure_ascii=False).encode()


def _header(raw: bytes, secret: str = _NEW, at: datetime = _NOW) -> str:
    return str(
        stripe.WebhookSignature.generate_signature_header(  # type: ignore[no-untyped-call]
            raw.decode(), secret, timestamp=int(at.timestamp())
        )
    )


def _refusal(raw: bytes, header: str | None, now: datetime = _NOW) -> MeterstreamError:
    with pytest.raises(MeterstreamError) as refused:
        verify(raw, header, _SECRETS, now)
    return refused.value


def test_a_snapshot_is_read() -> None:
    raw = _raw(_SNAPSHOT)
    event = verify(raw, _header(raw), _SECRETS, _NOW)
    assert isinstance(event, SnapshotEvent)
    assert (event.id, event.type, event.livemode) == ("evt_1", "coupon.updated", False)
    assert event.created_at == datetime.fromtimestamp(1_795_000_000, UTC)
    assert event.api_version == "2026-10-28.endive"
    assert event.object["percent_off"] == Decimal("12.5")
    assert event.previous_attributes == {"name": "ä"}


def test_a_thin_event_is_read() -> None:
    raw = _raw(_THIN)
    event = verify(raw, _header(raw), _SECRETS, _NOW)
    assert isinstance(event, ThinEvent)
    assert (event.id, event.type, event.livemode) == ("evt_2", "v1.billing.meter.error_report_triggered", True)
    assert event.created_at == datetime(2026, 11, 23, 11, 59, 58, 123_000, UTC)
    assert event.related_object == _THIN["related_object"]


@pytest.mark.parametrize("offset_s", [-300, -299, 0, 299, 300])
@pytest.mark.parametrize("secret", [_NEW, _OLD])
def test_both_secrets_of_a_rotation_are_good_within_the_tolerance(secret: str, offset_s: int) -> None:
    raw = _raw(_SNAPSHOT)
    assert verify(raw, _header(raw, secret), _SECRETS, _NOW + timedelta(seconds=offset_s)).id == "evt_1"


def test_one_good_signature_among_others_is_enough() -> None:
    raw = _raw(_SNAPSHOT)
    good, foreign = _header(raw), _header(raw, _FOREIGN)
    header = f"{foreign}, v0=ab,{good.partition(',')[2]}"
    assert verify(raw, header, _SECRETS, _NOW).id == "evt_1"


_RAW = _raw(_SNAPSHOT)
_GOOD = _header(_RAW)
_SIGNATURE = _GOOD.partition(",")[2]


@pytest.mark.parametrize(
    ("why", "raw", "header", "code"),
    [
        ("tampered", _RAW.replace(b"evt_1", b"evt_9"), _GOOD, "WEBHOOK_SIGNATURE_INVALID"),
        ("serialised again", json.dumps(json.loads(_RAW)).encode(), _GOOD, "WEBHOOK_SIGNATURE_INVALID"),
        ("another secret", _RAW, _header(_RAW, _FOREIGN), "WEBHOOK_SIGNATURE_INVALID"),
        ("another time", _RAW, f"t={int(_NOW.timestamp()) + 1},{_SIGNATURE}", "WEBHOOK_SIGNATURE_INVALID"),
        ("no hex", _RAW, f"t={int(_NOW.timestamp())},v1=ä\ud800", "WEBHOOK_SIGNATURE_INVALID"),
        ("half of it", _RAW, _GOOD[:-1], "WEBHOOK_SIGNATURE_INVALID"),
        ("old", _RAW, _header(_RAW, at=_NOW - timedelta(seconds=301)), "WEBHOOK_TIMESTAMP_INVALID"),
        ("future", _RAW, _header(_RAW, at=_NOW + timedelta(seconds=301)), "WEBHOOK_TIMESTAMP_INVALID"),
        ("unsigned", _RAW, None, "WEBHOOK_SIGNATURE_MISSING"),
        ("empty", _RAW, "", "WEBHOOK_SIGNATURE_MISSING"),
        ("no time", _RAW, _SIGNATURE, "WEBHOOK_SIGNATURE_MALFORMED"),
        ("two times", _RAW, f"t=1,{_GOOD}", "WEBHOOK_SIGNATURE_MALFORMED"),
        ("no number", _RAW, f"t=now,{_SIGNATURE}", "WEBHOOK_SIGNATURE_MALFORMED"),
        ("a digit of another script", _RAW, f"t=١,{_SIGNATURE}", "WEBHOOK_SIGNATURE_MALFORMED"),
        ("endless", _RAW, f"t={'9' * 5_000},{_SIGNATURE}", "WEBHOOK_SIGNATURE_MALFORMED"),
        ("only v0", _RAW, _GOOD.replace("v1=", "v0="), "WEBHOOK_SIGNATURE_MALFORMED"),
        ("nonsense", _RAW, "nonsense", "WEBHOOK_SIGNATURE_MALFORMED"),
    ],
)
def test_what_stripe_did_not_sign_now_is_refused(why: str, raw: bytes, header: str | None, code: str) -> None:
    refusal = _refusal(raw, header)
    assert isinstance(refusal, InvalidToken), why
    assert refusal.code == code
    told = f"{refusal} {refusal!r} {refusal.details}"
    assert not any(secret in told for secret in (_NEW, _OLD, _FOREIGN))


@pytest.mark.parametrize(
    "event",
    [
        [],
        {},
        {**_SNAPSHOT, "object": "customer"},
        {**_SNAPSHOT, "id": None},
        {**_SNAPSHOT, "created": "2026"},
        {**_SNAPSHOT, "created": 10**20},
        {**_SNAPSHOT, "data": {}},
        {**_SNAPSHOT, "data": {"object": []}},
        {**_THIN, "created": 1_795_000_000},
        {**_THIN, "created": "2026-11-23T11:59:58"},
        {**_THIN, "related_object": "mtr_1"},
        {key: value for key, value in _THIN.items() if key != "livemode"},
    ],
)
def test_what_is_signed_and_no_event_is_refused(event: Any) -> None:
    raw = _raw(event)
    assert isinstance(_refusal(raw, _header(raw)), SchemaValidation)


@pytest.mark.parametrize("raw", [b"", b"{", b"[" * 50_000])
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    assert isinstance(_refusal(raw, _header(raw)), SchemaValidation)


def test_what_is_no_utf8_is_refused_although_signed() -> None:
    raw = b'{"id": "\xff"}'
    stamp = str(int(_NOW.timestamp()))
    mac = hmac.new(_NEW.encode(), stamp.encode() + b"." + raw, hashlib.sha256).hexdigest()
    assert isinstance(_refusal(raw, f"t={stamp},v1={mac}"), SchemaValidation)


def test_what_is_too_large_is_not_even_hashed() -> None:
    assert isinstance(_refusal(b" " * (MAX_BYTES + 1), None), PayloadTooLarge)


def test_without_a_secret_nothing_is_believed() -> None:
    with pytest.raises(RefusedToStart, match="METERSTREAM_STRIPE__WEBHOOK_SECRETS"):
        verify(_RAW, _GOOD, [], _NOW)
