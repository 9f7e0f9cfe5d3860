"""Events, meters and logs for the tests of the domain."""

from __future__ import annotations

import json
from typing import Any

from metering.catalogue import Catalogue, Organization
from metering.meters import Meter, build_meter

ARRIVAL_MS = 1_795_428_000_000  # 2026-11-23T10:00:00Z
ORGANIZATION = Organization(id="00000000-0000-0000-0000-00000000000a", slug="acme")


def body(**changes: Any) -> dict[str, Any]:
    """Return a good event; a change to `...` takes the attribute away."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "app",
        "type": "request",
        "subject": "customer-1",
        "time": "2026-11-23T10:00:00Z",
        "data": {"tokens": 5},
    }
    event |= changes
    return {name: value for name, value in event.items() if value is not ...}


def raw_event(**changes: Any) -> bytes:
    """Return `body` as bytes."""
    return json.dumps(body(**changes)).encode()


def meter(aggregation: Any = "SUM", **changes: Any) -> Meter:
    """Return a meter of `request` events, made the official way."""
    arguments: dict[str, Any] = {
        "id": f"m-{aggregation}".lower(),
        "organization_id": ORGANIZATION.id,
        "slug": "a-meter",
        "event_type": "request",
        "aggregation": aggregation,
        "value_property": None if aggregation == "COUNT" else "$.tokens",
    }
    return build_meter(**(arguments | changes))


ALL_METERS = tuple(meter(name) for name in ("SUM", "COUNT", "UNIQUE_COUNT", "AVG", "MIN", "MAX", "LATEST"))
CATALOGUE = Catalogue(version=1, organizations=(ORGANIZATION,), meters=ALL_METERS)
