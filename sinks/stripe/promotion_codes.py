"""Promotion codes: the words that customers type to get a coupon."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Unpack

import stripe
from stripe.params import PromotionCodeCreateParams, PromotionCodeListParams, PromotionCodeUpdateParams

from sinks.stripe.calls import Calls, Json


class PromotionCodes:
    """Codes are case-insensitive and unique among the active ones."""

    def __init__(self, client: stripe.StripeClient, calls: Calls) -> None:
        self._codes = client.v1.promotion_codes
        self._calls = calls

    async def create(self, key: str, /, **params: Unpack[PromotionCodeCreateParams]) -> Json:
        """Create a code for a coupon."""
        return await self._calls.write(self._codes.create_async, key=key, params=params)

    async def get(self, promotion_code: str) -> Json:
        """Return a code by its id. Raises: NotFoundError."""
        return await self._calls.read(self._codes.retrieve_async, promotion_code)

    async def find(self, code: str) -> Json | None:
        """Return the active code that a customer typed, or None."""
        return await anext(self.each(code=code, active=True), None)

    async def set_active(self, key: str, promotion_code: str, *, active: bool) -> Json:
        """Take a code out of use, or back into it."""
        params: PromotionCodeUpdateParams = {"active": active}
        return await self._calls.write(self._codes.update_async, promotion_code, key=key, params=params)

    def each(self, **params: Unpack[PromotionCodeListParams]) -> AsyncIterator[Json]:
        """Yield codes, newest first."""
        return self._calls.each(self._codes.list_async, params=params)
