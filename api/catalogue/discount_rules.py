"""Whether a discount code is good for a purchase, and what it takes off; the rule is `billing.discounts`'."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from api.stores import Stores
from billing.discounts import Discount, reduce_amounts, require_redeemable
from billing.offers import Bought
from billing.periods import add_months
from billing.rating import rate_quantity
from runtime.errors import NotFoundError, RateLimited, Unavailable
from sinks.postgres.access import Access
from sinks.postgres.discount_codes import DiscountCodeRow, count_redemptions, find_by_code


async def usable_code(stores: Stores, code: str, *, organization_id: str, plan: str, currency: str) -> DiscountCodeRow:
    """Return a code that a customer typed, if a plan in a currency may be bought with it.

    Raises: NotFoundError DISCOUNT_CODE_UNKNOWN; BusinessLogicError DISCOUNT_CODE_EXPIRED, …_EXHAUSTED, …_NOT_FOR_PLAN,
    …_NOT_FOR_CURRENCY.
    """
    # Customers know codes by having been told; the list of them is the organization's alone.
    async with stores.postgres.acting(Access(organization_id=organization_id)) as connection:
        row = await find_by_code(connection, code, organization_id=organization_id)
    if row is None:
        raise NotFoundError(
            f"There is no discount code {code!r}: check how it is written.", code="DISCOUNT_CODE_UNKNOWN"
        )
    redemptions = await _redemptions(stores, row)
    require_redeemable(row.coupon(), now=stores.clock(), currency=currency, plans=[plan], redemptions=redemptions)
    return row


def taken_off(
    row: DiscountCodeRow, bought: Sequence[Bought], *, plan: str, currency: str, now: datetime
) -> tuple[int, int]:
    """Return what a first whole period costs ahead, in minor units, and what the code takes off that."""
    coupon = row.coupon()
    amounts = [
        (plan, rate_quantity(each.price, currency, each.quantity).amount)
        for each in bought
        if each.quantity is not None
    ]
    discount = Discount(coupon, now, add_months(now, coupon.months) if coupon.months else None)
    reductions = reduce_amounts([discount], amounts, currency=currency, at=now)
    return sum(amount for _, amount in amounts), sum(sum(reduction.shares) for reduction in reductions)


async def _redemptions(stores: Stores, row: DiscountCodeRow) -> int:
    """Return how often a code was redeemed: by Stripe's count, or the last one where Stripe does not answer."""
    if row.max_redemptions is None or row.stripe_promotion_code_id is None or stores.stripe is None:
        return row.redemptions
    with suppress(Unavailable, RateLimited):
        held = await stores.stripe.promotion_codes.get(row.stripe_promotion_code_id)
        counted = int(held["times_redeemed"])
        if counted != row.redemptions:
            async with stores.postgres.acting(Access(organization_id=row.organization_id)) as connection:
                await count_redemptions(connection, row.id, counted)
        return counted
    return row.redemptions
