"""Cards and other means to pay: listed, added through a SetupIntent, made the default, detached."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack

import stripe
from stripe.params import (
    CustomerPaymentMethodListParams,
    CustomerUpdateParams,
    PaymentMethodAttachParams,
    SetupIntentCreateParams,
)

from sinks.stripe.calls import Calls, Json


class PaymentMethods:
    """Card numbers never reach us: a customer types them into Stripe's page or form."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._customers = client.v1.customers
        self._methods = client.v1.payment_methods
        self._intents = client.v1.setup_intents
        self._calls = calls

    def each(self, customer: str, **params: Unpack[CustomerPaymentMethodListParams]) -> AsyncIterator[Json]:
        """Yield what a customer can pay with."""
        return self._calls.each(self._customers.payment_methods.list_async, customer, params=params)

    async def get(self, method: str) -> Json:
        """Return a payment method. Raises: NotFoundError."""
        return await self._calls.read(self._methods.retrieve_async, method)

    async def start_adding(self, key: str, customer: str) -> Json:
        """Create a SetupIntent: the page that has its `client_secret` may add one payment method to the customer."""
        params: SetupIntentCreateParams = {
            "customer": customer,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "usage": "off_session",
        }
        return await self._calls.write(self._intents.create_async, key=key, params=params)

    async def get_intent(self, intent: str) -> Json:
        """Return a SetupIntent. Raises: NotFoundError."""
        return await self._calls.read(self._intents.retrieve_async, intent)

    async def attach(self, key: str, method: str, customer: str) -> Json:
        """Give a payment method to a customer. Raises: PaymentFailed if the bank refuses the card."""
        params: PaymentMethodAttachParams = {"customer": customer}
        return await self._calls.write(self._methods.attach_async, method, key=key, params=params)

    async def set_default(self, key: str, method: str, customer: str) -> Json:
        """Charge this one for invoices from now on; returns the customer."""
        params: CustomerUpdateParams = {"invoice_settings": {"default_payment_method": method}}
        return await self._calls.write(self._customers.update_async, customer, key=key, params=params)

    async def detach(self, key: str, method: str) -> Json:
        """Take a payment method from its customer, for good."""
        return await self._calls.write(self._methods.detach_async, method, key=key)
