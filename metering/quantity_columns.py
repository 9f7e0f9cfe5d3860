"""Quantities in columns of whole numbers: exact, and as fast as numpy adds integers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from metering.numbers import EXACT, FRACTION_DIGITS, INTEGER_DIGITS

Integers = NDArray[np.int64]

_BILLION: Final = 10**9
_SCALE: Final = 10**FRACTION_DIGITS
_LIMIT: Final = 10**INTEGER_DIGITS
_INT64: Final = 2**63


@dataclass(frozen=True, slots=True)
class Quantities:
    """Numbers as whole + nanos / 10**9 + attos / 10**18, where nanos and attos are in [0, 10**9)."""

    whole: Integers
    nanos: Integers
    attos: Integers

    @classmethod
    def of_integers(cls, values: pa.Array) -> Quantities:
        """Take int64 values; nulls become 0."""
        whole = values.fill_null(0).to_numpy()
        return cls(whole, np.zeros_like(whole), np.zeros_like(whole))

    @classmethod
    def of_decimals(cls, values: pa.Array) -> Quantities:
        """Take decimal128(29, 9) values; what null becomes means nothing."""
        low, high = decimal_words(values)
        whole, nanos = np.divmod(low, _BILLION)
        for at in np.flatnonzero(high != low >> 63).tolist():  # beyond nine billion
            whole[at], nanos[at] = _clamped_divmod((int(high[at]) << 64) | (int(low[at]) & (2**64 - 1)))
        return cls(whole, nanos, np.zeros_like(whole))

    @classmethod
    def of_exact(cls, values: Iterable[Decimal]) -> Quantities:
        """Take quantities as `numbers.parse_quantity` makes them."""
        scaled = [int(EXACT.multiply(value, Decimal(_SCALE))) for value in values]
        parts = [(number // _SCALE, number // _BILLION % _BILLION, number % _BILLION) for number in scaled]
        columns = np.array(parts, np.int64).reshape(-1, 3)
        return cls(columns[:, 0], columns[:, 1], columns[:, 2])

    def __len__(self) -> int:
        return len(self.whole)

    def fits(self) -> NDArray[np.bool_]:
        """Mark the quantities of at most INTEGER_DIGITS integer digits."""
        above = (self.whole > -_LIMIT) | ((self.whole == -_LIMIT) & ((self.nanos > 0) | (self.attos > 0)))
        fitting: NDArray[np.bool_] = above & (self.whole < _LIMIT)
        return fitting

    def chosen(self, at: NDArray[np.int64] | NDArray[np.bool_]) -> Quantities:
        """Return some of the rows."""
        return Quantities(self.whole[at], self.nanos[at], self.attos[at])

    def followed_by(self, others: Quantities) -> Quantities:
        """Return both, one after the other."""
        return Quantities(
            np.append(self.whole, others.whole),
            np.append(self.nanos, others.nanos),
            np.append(self.attos, others.attos),
        )

    def sort_keys(self) -> tuple[Integers, ...]:
        """Return keys for `np.lexsort`, the least significant first."""
        return self.attos, self.nanos, self.whole

    def sums(self, starts: NDArray[np.int64]) -> list[str]:
        """Return the canonical text of each group's sum; groups begin at `starts`."""
        whole = self.whole
        if len(self) * int(np.abs(whole).max(initial=0)) >= _INT64 // 2:  # and carries would go beyond 64 bits
            whole = whole.astype(object)
        attos = np.add.reduceat(self.attos, starts)
        nanos = np.add.reduceat(self.nanos, starts) + attos // _BILLION
        return _texts(np.add.reduceat(whole, starts) + nanos // _BILLION, nanos % _BILLION, attos % _BILLION)

    def texts(self) -> list[str]:
        """Return the canonical text of each quantity."""
        return _texts(self.whole, self.nanos, self.attos)

    def as_decimals(self) -> pa.Array:
        """Return decimal128(38, 18) values."""
        if not len(self):
            return pa.array([], pa.decimal128(38, 18))
        wide = pa.array(self.whole).cast(pa.decimal128(38, 18))
        low, high = decimal_words(wide)
        total = low.view(np.uint64) + (self.nanos * _BILLION + self.attos).view(np.uint64)
        words = np.column_stack((total.view(np.int64), high + (total < low.view(np.uint64))))
        return pa.Array.from_buffers(pa.decimal128(38, 18), len(self), [None, pa.py_buffer(words.tobytes())])


def no_quantities(count: int) -> Quantities:
    """Return zeros."""
    zeros = np.zeros(count, np.int64)
    return Quantities(zeros, zeros, zeros)


def decimal_words(values: pa.Array) -> tuple[Integers, Integers]:
    """Return the lower and upper 64 bits of decimal128 values, as signed numbers."""
    words = np.frombuffer(values.buffers()[1], np.int64).reshape(-1, 2)[values.offset : values.offset + len(values)]
    return words[:, 0].copy(), words[:, 1].copy()


def _clamped_divmod(number: int) -> tuple[int, int]:
    """Split into whole and nanos; what is too large for a quantity anyway only has to stay so."""
    whole, nanos = divmod(number, _BILLION)
    return max(-2 * _LIMIT, min(2 * _LIMIT, whole)), nanos


def _texts(whole: NDArray[np.int64], nanos: Integers, attos: Integers) -> list[str]:
    texts = list(map(str, whole.tolist()))
    simple = (attos == 0) & (nanos != 0) & (whole >= 0)
    at = np.flatnonzero(simple)
    digits = map(str, (nanos[at] + _BILLION).tolist())  # with a 1 in front, which keeps the zeros behind it
    for place, fraction in zip(at.tolist(), digits, strict=True):
        texts[place] += "." + fraction[1:].rstrip("0")
    for place in np.flatnonzero(~simple & ((nanos != 0) | (attos != 0))).tolist():
        texts[place] = _text(int(whole[place]) * _SCALE + int(nanos[place]) * _BILLION + int(attos[place]))
    return texts


def _text(scaled: int) -> str:
    """Write a number, given in units of the last fraction digit, that is not whole."""
    integer, fraction = divmod(abs(scaled), _SCALE)
    sign = "-" if scaled < 0 else ""
    return f"{sign}{integer}.{fraction:0{FRACTION_DIGITS}d}".rstrip("0")
