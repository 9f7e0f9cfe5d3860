"""Exact money: whole minor units of one currency. Every amount of the domain is made, added, split and rounded here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation
from functools import total_ordering
from typing import Final

from billing.currencies import charge_step, decimals, read_currency
from runtime.errors import InvalidInput

MAX_MINOR: Final = 10**15
"""Far above what Stripe charges (12 digits), far below where anything overflows."""

EXACT: Final = Context(prec=100, rounding=ROUND_HALF_UP, Emin=-999_999, Emax=999_999, traps=[InvalidOperation, Inexact])
"""Products and sums of quantities and unit amounts fit in it; what does not raises instead of being rounded."""

_PLAIN: Final = re.compile(r"-?\d{1,24}(?:\.\d{1,24})?", re.ASCII)


@total_ordering
@dataclass(frozen=True, slots=True)
class Money:
    """An amount of one currency; negative amounts are credits."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        check_minor(self.amount_minor, "amount_minor", negative=True)
        object.__setattr__(self, "currency", read_currency(self.currency))

    def __add__(self, other: Money) -> Money:
        return Money(self.amount_minor + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.amount_minor - self._same(other), self.currency)

    def __neg__(self) -> Money:
        return Money(-self.amount_minor, self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.amount_minor < self._same(other)

    def __str__(self) -> str:
        """Return the amount in major units and the code: `12.50 USD`."""
        return f"{to_major(self.amount_minor, self.currency)} {self.currency.upper()}"

    def allocate(self, weights: Sequence[int | Decimal]) -> tuple[Money, ...]:
        """Split by weights, losing no unit. Raises: InvalidInput."""
        return tuple(Money(part, self.currency) for part in allocate(self.amount_minor, weights))

    def chargeable(self) -> Money:
        """Round half up to what Stripe takes in this currency (`charge_step`)."""
        step = charge_step(self.currency)
        return Money(round_half_up(Decimal(self.amount_minor) / step) * step, self.currency)

    @classmethod
    def from_major(cls, amount: Decimal | int | str, currency: str, field: str = "amount") -> Money:
        """Read major units: `12.50`. Raises: InvalidInput for fractions of a minor unit."""
        code = read_currency(currency)
        return cls(whole_minor(read_major(amount, code, field), code, field), code)

    def _same(self, other: Money) -> int:
        if other.currency != self.currency:
            raise InvalidInput(
                f"{other.currency} does not mix with {self.currency}; use one currency", field="currency"
            )
        return other.amount_minor


def check_minor(amount: object, field: str, *, negative: bool = False) -> None:
    """Hold an amount to whole minor units in range. Raises: InvalidInput."""
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise InvalidInput(f"{field}: {amount!r} is not whole minor units; write an int such as 1250", field=field)
    if amount < 0 and not negative:
        raise InvalidInput(f"{field}: {amount} is negative; write 0 or more", field=field)
    if abs(amount) > MAX_MINOR:
        raise InvalidInput(f"{field}: {amount} is too large; at most {MAX_MINOR} minor units", field=field)


def read_decimal(value: object, field: str) -> Decimal:
    """Read a plain number exactly: Decimal, int or text, never a float. Raises: InvalidInput."""
    if isinstance(value, (Decimal, int)) and not isinstance(value, bool):
        text = format(Decimal(value), "f")
    else:
        text = value if isinstance(value, str) else ""
    if not _PLAIN.fullmatch(text):
        hint = "it was read as a float, which is not exact: quote it" if isinstance(value, float) else "write '12.50'"
        raise InvalidInput(f"{field}: {str(value)[:40]!r} is no plain decimal number; {hint}", field=field)
    return Decimal(text)


def read_major(value: object, currency: str, field: str) -> Decimal:
    """Read major units as exact minor units, which may have a fraction. Raises: InvalidInput."""
    return EXACT.scaleb(read_decimal(value, field), decimals(currency))


def whole_minor(amount: Decimal, currency: str, field: str) -> int:
    """Return minor units as an int. Raises: InvalidInput when there is a fraction."""
    if amount != amount.to_integral_value():
        step = to_major(1, currency)
        raise InvalidInput(f"{field}: has a fraction of a minor unit; write a multiple of {step}", field=field)
    return int(amount)


def to_major(amount: int | Decimal, currency: str) -> str:
    """Write minor units as major ones: 1250 usd is `12.50`, 0.04 usd is `0.0004`."""
    major = EXACT.scaleb(Decimal(amount), -decimals(currency))
    shown = max(decimals(currency), -int(major.normalize(EXACT).as_tuple().exponent))
    return format(EXACT.quantize(major, Decimal(1).scaleb(-shown)), "f")


def round_half_up(amount: Decimal) -> int:
    """Round to a whole number, halves away from zero."""
    return int(amount.to_integral_value(rounding=ROUND_HALF_UP))


def prorate(amount: int | Decimal, part: int, whole: int) -> int:
    """Return amount × part / whole, rounded once, halves away from zero, in integers only."""
    numerator, denominator = (amount if isinstance(amount, Decimal) else Decimal(amount)).as_integer_ratio()
    doubled, divisor = 2 * abs(numerator) * part, denominator * whole
    rounded = (doubled + divisor) // (2 * divisor)
    return rounded if numerator >= 0 else -rounded


def allocate(total: int, weights: Sequence[int | Decimal]) -> tuple[int, ...]:
    """Split `total` by weights: the largest remainders, and among equals the first, get the units left over.

    Without any positive weight the shares are equal. Raises: InvalidInput.
    """
    if not weights or any(weight < 0 for weight in weights):
        raise InvalidInput("weights: write one or more, none negative", field="weights")
    ratios = [Decimal(weight).as_integer_ratio() for weight in weights]
    common = 1
    for _, denominator in ratios:
        common *= denominator
    units = [numerator * (common // denominator) for numerator, denominator in ratios]
    if not any(units):
        units = [1] * len(units)
    whole, sign = sum(units), -1 if total < 0 else 1
    shares = [divmod(abs(total) * unit, whole) for unit in units]
    left = abs(total) - sum(share for share, _ in shares)
    lucky = set(sorted(range(len(shares)), key=lambda index: -shares[index][1])[:left])
    return tuple(sign * (share + (index in lucky)) for index, (share, _) in enumerate(shares))
