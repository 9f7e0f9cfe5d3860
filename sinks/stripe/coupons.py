"""Coupons: what a discount takes off, and for how long."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Unpack

import stripe
from stripe.params import CouponCreateParams, CouponListParams

from sinks.stripe.calls import Calls, Json

_EXPAND: Final = ["applies_to", "currency_options"]


class Coupons:
    """A coupon is immutable but for its name; customers see promotion codes.

    Answers hold `applies_to` and `currency_options`, which Stripe leaves out unless asked.
    """

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._coupons = client.v1.coupons
        self._calls = calls

    async def create(self, key: str, /, **params: Unpack[CouponCreateParams]) -> Json:
        """Create a coupon. Raises: ConflictError if its `id` is taken."""
        params = {"expand": _EXPAND, **params}
        return await self._calls.write(self._coupons.create_async, key=key, params=params)

    async def get(self, coupon: str) -> Json:
        """Return a coupon. Raises: NotFoundError."""
        return await self._calls.read(self._coupons.retrieve_async, coupon, params={"expand": _EXPAND})

    async def delete(self, coupon: str) -> Json:
        """Give it to nobody any more; who has it keeps it."""
        return await self._calls.remove(self._coupons.delete_async, coupon)

    def each(self, **params: Unpack[CouponListParams]) -> AsyncIterator[Json]:
        """Yield coupons, newest first."""
        params = {"expand": [f"data.{field}" for field in _EXPAND], **params}
        return self._calls.each(self._coupons.list_async, params=params)
