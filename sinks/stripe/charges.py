"""Charges: what a payment took, and what was taken back of it since."""

from __future__ import annotations

from collections.abc import AsyncIterator

import stripe
from stripe.params import ChargeListParams, DisputeListParams

from sinks.stripe.calls import Calls, Json


class Charges:
    """Refunds and disputes are made on Stripe's side; we only read."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._charges = client.v1.charges
        self._disputes = client.v1.disputes
        self._calls = calls

    def of_payment(self, payment_intent: str) -> AsyncIterator[Json]:
        """Yield the charges of a payment, newest first; `amount_refunded` is what was given back of each."""
        params: ChargeListParams = {"payment_intent": payment_intent}
        return self._calls.each(self._charges.list_async, params=params)

    def disputes_of_payment(self, payment_intent: str) -> AsyncIterator[Json]:
        """Yield the disputes of a payment, newest first."""
        params: DisputeListParams = {"payment_intent": payment_intent}
        return self._calls.each(self._disputes.list_async, params=params)
