"""What is stored of an event of Stripe's."""

from __future__ import annotations

import json
from typing import Any

from sinks.stripe.webhooks import read_event
from sinks.stripe_events import inbox_event
from streams.stripe_event_routes import places_of


def _event(lines: int) -> dict[str, Any]:
    """Return an event of an invoice, with everything expanded, of about 1 KB a line."""
    invoice = {
        "id": "in_1",
        "object": "invoice",
        "customer": {"id": "cus_1", "object": "customer", "name": "Ada", "metadata": {"a": "b"}},
        "description": "x" * 5_000,
        "lines": {"object": "list", "data": [{"id": f"il_{n}", "description": "y" * 1_000} for n in range(lines)]},
        "parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_1"}},
    }
    return {
        "id": "evt_1",
        "object": "event",
        "type": "invoice.upcoming",
        "created": 1_800_000_000,
        "livemode": False,
        "data": {"object": invoice, "previous_attributes": {"lines": invoice["lines"]}},
    }


def test_an_event_is_stored_as_it_came() -> None:
    raw = json.dumps(_event(100), indent=1).encode()
    assert inbox_event(read_event(raw), raw).body == raw


def test_of_an_event_too_large_for_kafka_is_stored_what_it_is_about() -> None:
    raw = json.dumps(_event(2_000)).encode()
    stored = inbox_event(read_event(raw), raw)
    assert (stored.event_id, stored.object_id, stored.stripe_customer_id) == ("evt_1", "in_1", "cus_1")
    assert len(stored.body) < 1_000
    kept = read_event(stored.body)
    assert (kept.id, kept.type, kept.created_at) == ("evt_1", "invoice.upcoming", stored.created_at)
    assert places_of(kept.body) == places_of(read_event(raw).body)
