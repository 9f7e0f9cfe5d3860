"""Usage as Stripe takes it: whole numbers, each with an identifier that counts once."""

from __future__ import annotations

import asyncio
from datetime import datetime
from weakref import WeakValueDictionary

import stripe
from stripe.params.billing import MeterEventAdjustmentCreateParams, MeterEventCreateParams

from runtime.errors import ConflictError
from sinks.stripe.calls import Calls
from sinks.stripe.failures import METER_EVENT_EXISTS
from sinks.stripe.meters import CUSTOMER_FIELD, VALUE_FIELD


class MeterEvents:
    """Sends usage; one call at a time for a customer and meter, because Stripe refuses more (with 429)."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._events = client.v1.billing.meter_events
        self._adjustments = client.v1.billing.meter_event_adjustments
        self._calls = calls
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def send(self, *, identifier: str, event_name: str, customer: str, value: int, at: datetime) -> bool:
        """Report usage once per identifier (at most 100 characters); False if Stripe held that identifier already.

        Who repeats an identifier must repeat the rest too, `at` included: Stripe refuses the same key with other
        parameters. Stripe remembers identifiers for at least 24 hours, and counts later than it answers: a customer or
        value that it cannot use is told by a thin event only.
        """
        params: MeterEventCreateParams = {
            "event_name": event_name,
            "identifier": identifier,
            "timestamp": int(at.timestamp()),
            "payload": {CUSTOMER_FIELD: customer, VALUE_FIELD: str(value)},
        }
        async with self._turns.setdefault((customer, event_name), asyncio.Lock()):
            try:
                await self._calls.write(self._events.create_async, key=f"meter_event:{identifier}", params=params)
            except ConflictError as error:
                if error.code != METER_EVENT_EXISTS:
                    raise
                return False
        return True

    async def cancel(self, *, identifier: str, event_name: str) -> None:
        """Take back an event within 24 hours of its sending."""
        params: MeterEventAdjustmentCreateParams = {
            "event_name": event_name,
            "type": "cancel",
            "cancel": {"identifier": identifier},
        }
        key = f"meter_event_cancel:{identifier}"
        await self._calls.write(self._adjustments.create_async, key=key, params=params)
