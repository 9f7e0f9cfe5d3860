"""The topics of Kafka by name; a shape that old readers cannot read is a new version, under a new name."""

from __future__ import annotations

from typing import Final

USAGE_EVENTS: Final = "usage.events.v1"
USAGE_ALERTS: Final = "usage.alerts.v1"
USAGE_REPORTS: Final = "usage.reports.v1"
STRIPE_EVENTS: Final = "stripe.events.v1"
BILLING_CHANGES: Final = "billing.changes.v1"
