"""RFC 3339 times in columns: the common form, many at once. Every other form is left to `times.parse_time`."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from metering.arrow_arrays import text_parts

_SHAPE: Final = b"dddd-dd-ddTdd:dd:dd"
_DIGITS: Final = np.array([i for i, char in enumerate(_SHAPE) if char == ord("d")])
_MARKS: Final = np.array([i for i, char in enumerate(_SHAPE) if char != ord("d")])
_LENGTHS: Final = (
    len("2026-01-31T23:59:59Z"),
    *range(len("2026-01-31T23:59:59.5Z"), len("2026-01-31T23:59:59.123456789Z") + 1),
)
_DAYS_IN_MONTH: Final = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_DAY_S: Final = 86_400


def parse_times(texts: pa.StringArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return µs since 1970 and whether each text is `YYYY-MM-DDTHH:MM:SS[.f…]Z` and a time that exists.

    Up to nine digits of fraction; those beyond the microsecond are cut. Null and all other texts: 0 and False.
    """
    times_us = np.zeros(len(texts), np.int64)
    parsed = np.zeros(len(texts), np.bool_)
    if not len(texts):
        return times_us, parsed
    begins, flat = text_parts(texts)
    lengths = np.diff(begins)
    for length in _LENGTHS:
        at = np.flatnonzero(lengths == length)
        if len(at):
            chars = flat[begins[at, None] + np.arange(length)]
            times_us[at], parsed[at] = _parse_equal_lengths(chars)
    return times_us, parsed


def _parse_equal_lengths(chars: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    columns = np.ascontiguousarray(chars.T)
    fraction = columns[len(_SHAPE) + 1 : -1]
    digits = columns[_DIGITS] - ord("0")  # anything below "0" wraps around to something above 9
    fits = (digits <= 9).all(axis=0) & (columns[-1] == ord("Z"))
    fits &= (columns[_MARKS] == np.frombuffer(_SHAPE, np.uint8)[_MARKS][:, None]).all(axis=0)
    micros: NDArray[np.int64] = np.zeros(len(chars), np.int64)
    if len(fraction):
        fits &= (columns[len(_SHAPE)] == ord(".")) & ((fraction - ord("0")) <= 9).all(axis=0)
        for place, row in enumerate(fraction[:6]):
            micros += (row.astype(np.int64) - ord("0")) * 10 ** (5 - place)
    number = digits.astype(np.int64)
    year = number[0] * 1000 + number[1] * 100 + number[2] * 10 + number[3]
    month, day, hour, minute, second = (number[i] * 10 + number[i + 1] for i in (4, 6, 8, 10, 12))
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    fits &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (hour <= 23) & (minute <= 59) & (second <= 59)
    fits &= day <= _DAYS_IN_MONTH[np.minimum(month, 12)] + (leap & (month == 2))
    seconds = _days_since_1970(year, month, day) * _DAY_S + hour * 3600 + minute * 60 + second
    return np.where(fits, seconds * 1_000_000 + micros, 0), fits


def _days_since_1970(year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count days as howardhinnant.github.io/date_algorithms.html#days_from_civil does: years begin in March."""
    year = year - (month <= 2)
    era, of_era = np.divmod(year, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days: NDArray[np.int64] = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    return days
