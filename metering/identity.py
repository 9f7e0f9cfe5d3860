"""What makes two records the same event: its identity, and whether their bodies say the same."""

from __future__ import annotations

from typing import Any, Final

import xxhash

from metering import exact_json

_SEPARATOR: Final = "\x00"  # refused in every part, so that no two identities share a text


def identity_key(organization_id: str, subject: str, source: str, event_id: str) -> bytes:
    """Return the 128-bit key of an identity: xxh3 of the UTF-8 parts joined by NUL, big-endian.

    `organization_id` is the id, not the slug: a slug may come back as another organization.
    """
    return bytes(xxhash.xxh3_128_digest(_SEPARATOR.join((organization_id, subject, source, event_id)).encode()))


def body_hash(raw: bytes) -> int:
    """Return the unsigned 64-bit xxh3 of a body as it came."""
    return int(xxhash.xxh3_64_intdigest(raw))


def same_body(raw_a: bytes, raw_b: bytes) -> bool:
    """Say whether two bodies of one identity are the same: equal bytes, else equal type, time as given, and data.

    Numbers are compared by value (`1`, `1.0` and `1e0` are one), `null` and missing data and time are one. Data that
    says a name twice equals nothing but its own bytes. This is an equivalence, so a repeat stands for its original.
    """
    if raw_a == raw_b:
        return True
    try:
        a, b = exact_json.loads(raw_a), exact_json.loads(raw_b)
    except exact_json.InvalidJson:
        return False
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return False
    return _equal(a.get("type"), b.get("type")) and _equal(a.get("time"), b.get("time")) and _equal(_data(a), _data(b))


def _data(body: dict[str, Any]) -> Any:
    data = body.get("data")
    return {} if data is None else data


def _equal(a: Any, b: Any) -> bool:
    if type(a) is not type(b) or a is exact_json.DUPLICATE:
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(value, b[name]) for name, value in a.items())
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(a == b)
