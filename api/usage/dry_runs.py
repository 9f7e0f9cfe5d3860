"""Tries a meter on events that came already: what it would have read, and where it would have failed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from metering.events import load_body
from metering.meters import Meter
from metering.numbers import canonical_text
from metering.readings import Reading, read_meter
from metering.rejections import MeterSkip, Rejection

_EXAMPLES: Final = 5


def try_meter(meter: Meter, events: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
    """Return how many of the events (id, body) the meter reads, filters out or cannot read, with examples."""
    outcomes: Counter[str] = Counter()
    hits: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    codes: Counter[str] = Counter()
    for event_id, body in events:
        outcome, example = _try_event(meter, event_id, body)
        outcomes[outcome] += 1
        if outcome == "failures":
            codes[example["code"]] += 1
            failures.append(example)
        elif outcome == "hits" and len(hits) < _EXAMPLES:
            hits.append(example)
    return {
        "events": outcomes.total(),
        "hits": outcomes["hits"],
        "filtered": outcomes["filtered"],
        "failures": outcomes["failures"],
        "failure_codes": dict(codes),
        "hit_examples": hits,
        "failure_examples": failures[:_EXAMPLES],
    }


def _try_event(meter: Meter, event_id: str, raw: bytes) -> tuple[str, dict[str, Any]]:
    body = load_body(raw)
    # Stored events were read once already; one that cannot be read now was written by other rules.
    data = {} if isinstance(body, Rejection) else body.get("data") or {}
    reading = read_meter(meter, data)
    if reading is None:
        return "filtered", {}
    if isinstance(reading, MeterSkip):
        return "failures", {"id": event_id, "code": str(reading.code), "message": reading.message}
    return "hits", {
        "id": event_id,
        "value": _value(reading),
        "groups": dict(zip(meter.group_by, reading.groups, strict=True)),
    }


def _value(reading: Reading) -> str | None:
    return reading.text if reading.quantity is None else canonical_text(reading.quantity)
