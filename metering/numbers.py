"""Quantities: exact decimals of at most 15 integer and 18 fraction digits."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from typing import Final

INTEGER_DIGITS: Final = 15
FRACTION_DIGITS: Final = 18
ZERO: Final = Decimal(0)

_PRECISION = 76  # as ClickHouse's Decimal(76, 18): 10**43 quantities of the largest size fit into a sum
_TRAPS = [DivisionByZero, Inexact, InvalidOperation, Overflow]
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class InvalidQuantity(ValueError):
    """The value is no quantity; the text says why."""


def exact_context() -> Context:
    """Return a context of our own in which a result that does not fit raises instead of being rounded."""
    return Context(prec=_PRECISION, rounding=ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999, traps=list(_TRAPS))


EXACT: Final = exact_context()
"""For `EXACT.add(a, b)`, which works alike in every thread: a thread's own context, which `+` uses, is never asked.

Its flags are shared and mean nothing; do not read them."""


def exact_sum(values: Iterable[Decimal]) -> Decimal:
    """Add up without rounding, whatever the calling thread's decimal context says."""
    total = ZERO
    for value in values:
        total = EXACT.add(total, value)
    return total


def parse_quantity(value: object) -> Decimal:
    """Read a JSON number (int or Decimal) or its text as a quantity without trailing zeros, exponent at most 0.

    What counts is the value: `1e3`, `1.000` and `"1000.0"` fit; texts follow JSON's grammar of numbers (no `+`, no
    spaces, no leading zeros). Minus zero is zero.

    Raises: InvalidQuantity.
    """
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, int) and not isinstance(value, bool):
        number = Decimal(value)
    elif isinstance(value, str):
        number = _parse_text(value)
    else:
        raise InvalidQuantity(f"expected a number or a decimal string, got {_kind(value)}")
    if not number.is_finite():
        raise InvalidQuantity("NaN and Infinity are no quantities")
    return _fit(number)


def canonical_text(quantity: Decimal) -> str:
    """Write a quantity as people do: `1`, `0.5`, `-20`; no exponent, no trailing zeros, no minus zero."""
    text = format(quantity, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("", "-0", "-") else text


def _parse_text(text: str) -> Decimal:
    if _NUMBER.fullmatch(text) is None:
        raise InvalidQuantity("the string is not a decimal number")
    try:
        return Decimal(text, EXACT)
    except InvalidOperation:
        raise InvalidQuantity("the number's exponent is beyond reason") from None


def _fit(number: Decimal) -> Decimal:
    if number.is_zero():
        return ZERO
    if number.adjusted() >= INTEGER_DIGITS:
        raise InvalidQuantity(f"more than {INTEGER_DIGITS} integer digits")
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # finite
    last = len(digits)
    while exponent < 0 and digits[last - 1] == 0:
        last -= 1
        exponent += 1
    if -exponent > FRACTION_DIGITS:
        raise InvalidQuantity(f"more than {FRACTION_DIGITS} fraction digits")
    return number.quantize(Decimal((0, (1,), min(exponent, 0))), context=EXACT)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", dict: "an object", list: "an array", float: "a binary float"}
    return names.get(type(value), f"something unreadable ({type(value).__name__})")
