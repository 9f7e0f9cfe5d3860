"""Coupons, their redemption, and what they take off an invoice.

Discounts stack in the order in which the subscription lists them, each on what the ones before it have left. A
percentage is taken of every line and rounded half up; an amount is capped at what is left and spread over the lines by
their amounts, losing no unit. Sources: docs.stripe.com/billing/subscriptions/coupons, …/api/coupons/create.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import accumulate, pairwise

from billing.currencies import read_currency
from billing.money import EXACT, check_minor, round_half_up
from billing.periods import add_months, utc_second
from runtime.errors import BusinessLogicError, InvalidInput


class Duration(StrEnum):
    """How long a redeemed coupon lasts: one invoice, some months, or for good."""

    ONCE = "once"
    REPEATING = "repeating"
    FOREVER = "forever"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupon:
    """Either a percentage or an amount a currency. Raises: InvalidInput."""

    code: str
    percent_off: Decimal | None = None
    amounts_off: Mapping[str, int] = field(default_factory=dict, hash=False)
    duration: Duration = Duration.ONCE
    months: int | None = None
    redeem_by: datetime | None = None
    max_redemptions: int | None = None
    plans: frozenset[str] = frozenset()
    """Slugs of the plans whose lines it reduces; none means all."""

    def __post_init__(self) -> None:
        if (self.percent_off is None) == (not self.amounts_off):
            raise InvalidInput("percent_off: write either percent_off or amounts_off", field="percent_off")
        if self.percent_off is not None and not 0 < self.percent_off <= 100:
            raise InvalidInput(f"percent_off: {self.percent_off}; write more than 0, at most 100", field="percent_off")
        for currency, amount in self.amounts_off.items():
            read_currency(currency, "amounts_off")
            check_minor(amount, f"amounts_off.{currency}")
        if (self.duration is Duration.REPEATING) != (self.months is not None):
            raise InvalidInput("months: write it for repeating coupons, and only for them", field="months")
        if self.months is not None and self.months < 1:
            raise InvalidInput(f"months: {self.months}; write 1 or more", field="months")
        if self.redeem_by is not None:
            object.__setattr__(self, "redeem_by", utc_second(self.redeem_by, "redeem_by"))
        if self.max_redemptions is not None and self.max_redemptions < 1:
            raise InvalidInput(f"max_redemptions: {self.max_redemptions}; write 1 or more", field="max_redemptions")


@dataclass(frozen=True, slots=True)
class Discount:
    """A redeemed coupon, from `start` to before `end`."""

    coupon: Coupon
    start: datetime
    end: datetime | None = None

    def active_at(self, instant: datetime) -> bool:
        """Say whether an invoice of that instant is reduced."""
        return self.start <= instant and (self.end is None or instant < self.end)


@dataclass(frozen=True, slots=True)
class Reduction:
    """What a discount takes off each line, in the lines' order."""

    code: str
    shares: tuple[int, ...]


def redeem(coupon: Coupon, *, now: datetime, currency: str, plans: Sequence[str], redemptions: int) -> Discount:
    """Redeem a coupon for a subscription to `plans`; `redemptions` counts the earlier ones of all customers.

    Raises: BusinessLogicError, as `require_redeemable`.
    """
    require_redeemable(coupon, now=now, currency=currency, plans=plans, redemptions=redemptions)
    now = utc_second(now)
    return Discount(coupon, now, add_months(now, coupon.months) if coupon.months else None)


def require_redeemable(coupon: Coupon, *, now: datetime, currency: str, plans: Sequence[str], redemptions: int) -> None:
    """Let pass what a coupon is good for; each refusal has a code of its own.

    `redeem_by` and `max_redemptions` limit redeeming, not how long a discount lasts; at `redeem_by` it is over, as at
    Stripe. Raises: BusinessLogicError DISCOUNT_CODE_EXPIRED, …_EXHAUSTED, …_NOT_FOR_PLAN, …_NOT_FOR_CURRENCY.
    """
    if coupon.redeem_by is not None and utc_second(now) >= coupon.redeem_by:
        raise BusinessLogicError(
            f"The discount code {coupon.code} could be used until {coupon.redeem_by.isoformat()}: go on without it.",
            code="DISCOUNT_CODE_EXPIRED",
            redeem_by=coupon.redeem_by.isoformat(),
        )
    if coupon.max_redemptions is not None and redemptions >= coupon.max_redemptions:
        raise BusinessLogicError(
            f"The discount code {coupon.code} has been used {coupon.max_redemptions} times, the most: go on without"
            " it.",
            code="DISCOUNT_CODE_EXHAUSTED",
            max_redemptions=coupon.max_redemptions,
        )
    if coupon.plans and coupon.plans.isdisjoint(plans):
        names = sorted(coupon.plans)
        raise BusinessLogicError(
            f"The discount code {coupon.code} is for {' and '.join(names)}: choose such a plan, or go on without it.",
            code="DISCOUNT_CODE_NOT_FOR_PLAN",
            plans=names,
        )
    if coupon.amounts_off and currency not in coupon.amounts_off:
        names = sorted(coupon.amounts_off)
        raise BusinessLogicError(
            f"The discount code {coupon.code} is for payments in {' or '.join(names)}:"
            " choose such a currency, or go on without it.",
            code="DISCOUNT_CODE_NOT_FOR_CURRENCY",
            currencies=names,
        )


def unspent(discounts: Sequence[Discount]) -> tuple[Discount, ...]:
    """Return what is left after an invoice: a `once` coupon is used up when its invoice is finalized."""
    return tuple(discount for discount in discounts if discount.coupon.duration is not Duration.ONCE)


def reduce_amounts(
    discounts: Sequence[Discount], amounts: Sequence[tuple[str, int]], *, currency: str, at: datetime
) -> tuple[Reduction, ...]:
    """Apply discounts to lines, given as (plan, amount ≥ 0)."""
    left = [amount for _, amount in amounts]
    reductions = []
    for discount in discounts:
        if not discount.active_at(at):
            continue
        eligible = [left[index] if _covers(discount, plan) else 0 for index, (plan, _) in enumerate(amounts)]
        shares = _shares(discount.coupon, eligible, currency)
        left = [amount - share for amount, share in zip(left, shares, strict=True)]
        reductions.append(Reduction(discount.coupon.code, shares))
    return tuple(reductions)


def _shares(coupon: Coupon, eligible: Sequence[int], currency: str) -> tuple[int, ...]:
    if coupon.percent_off is not None:
        part = EXACT.divide(coupon.percent_off, Decimal(100))
        return tuple(round_half_up(EXACT.multiply(part, Decimal(amount))) for amount in eligible)
    off = min(coupon.amounts_off.get(currency, 0), sum(eligible))
    return _spread(off, eligible)


def _spread(off: int, eligible: Sequence[int]) -> tuple[int, ...]:
    """Share an amount by the running sum of the lines, rounded down; the last line gets what is left.

    This is Stripe's documented example: 5.00 off 10.00 and 20.00 is 1.66 and 3.34 (…/billing/subscriptions/prorations).
    """
    total = sum(eligible)
    reached = [off * upto // total if total else 0 for upto in accumulate(eligible)]
    return tuple(upper - lower for lower, upper in pairwise([0, *reached]))


def _covers(discount: Discount, plan: str) -> bool:
    return not discount.coupon.plans or plan in discount.coupon.plans
