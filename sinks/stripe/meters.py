"""Stripe's meters: they sum what we report, and metered prices point at them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Literal, Unpack

import stripe
from stripe.params.billing import MeterCreateParams, MeterEventSummaryListParams, MeterListParams, MeterUpdateParams

from sinks.stripe.calls import Calls, Json

# Of the payload of a meter event.
CUSTOMER_FIELD: Final = "stripe_customer_id"
VALUE_FIELD: Final = "value"


class Meters:
    """A meter's event name is its own for ever; only an inactive one gives it free."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._meters = client.v1.billing.meters
        self._calls = calls

    async def create(
        self, key: str, *, event_name: str, display_name: str, formula: Literal["sum", "count", "last"] = "sum"
    ) -> Json:
        """Create a meter that reads what `MeterEvents.send` sends. Raises: a refusal if the event name is taken."""
        params: MeterCreateParams = {
            "event_name": event_name,
            "display_name": display_name,
            "default_aggregation": {"formula": formula},
            "customer_mapping": {"type": "by_id", "event_payload_key": CUSTOMER_FIELD},
            "value_settings": {"event_payload_key": VALUE_FIELD},
        }
        return await self._calls.write(self._meters.create_async, key=key, params=params)

    async def get(self, meter: str) -> Json:
        """Return a meter. Raises: NotFoundError."""
        return await self._calls.read(self._meters.retrieve_async, meter)

    def each(self, **params: Unpack[MeterListParams]) -> AsyncIterator[Json]:
        """Yield meters, newest first."""
        return self._calls.each(self._meters.list_async, params=params)

    async def find(self, event_name: str) -> Json | None:
        """Return the active meter of an event name, or None."""
        async for meter in self.each(status="active"):
            if meter["event_name"] == event_name:
                return meter
        return None

    async def rename(self, key: str, meter: str, display_name: str) -> Json:
        """Change the name that people see; nothing else of a meter can change."""
        params: MeterUpdateParams = {"display_name": display_name}
        return await self._calls.write(self._meters.update_async, meter, key=key, params=params)

    async def deactivate(self, key: str, meter: str) -> Json:
        """Take no more events; prices on it can be sold no more."""
        return await self._calls.write(self._meters.deactivate_async, meter, key=key)

    async def reactivate(self, key: str, meter: str) -> Json:
        """Take events again."""
        return await self._calls.write(self._meters.reactivate_async, meter, key=key)

    def summaries(self, meter: str, **params: Unpack[MeterEventSummaryListParams]) -> AsyncIterator[Json]:
        """Yield what Stripe has counted for a customer between two whole minutes; it lags behind what was sent."""
        return self._calls.each(self._meters.event_summaries.list_async, meter, params=params)
