"""Which records Arrow's JSON reader must not see: it would misread them, or crash, where the exact rules decide.

`columns` screens each range of records before it is parsed. Being listed here costs a record only speed.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from metering.exact_json import MAX_DEPTH

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Places = NDArray[np.int64]

_NEWLINE, _QUOTE, _COMMA, _MINUS, _BACKSLASH = b'\n",-\\'
_OPEN, _CLOSE = b"{}"
_CASE: Final = 0x20  # the bit that makes [ and ] of { and }, and E of e

# Texts that Arrow takes for decimals and JSON's grammar of numbers does not: +1, .5, -.5, 007; and 5. below.
_ODD_BEGINNING: Final = re.compile(rb'"(?:\+[0-9.]|-?\.[0-9]|-?0[0-9])[0-9.]*(?:[eE][+-]?[0-9]+)?"')
_ODD_END: Final = re.compile(rb'"-?[0-9]+\.(?:[eE][+-]?[0-9]+)?"')
# A large negative exponent in a decimal column makes pyarrow 26 read out of bounds.
_LARGE_EXPONENT: Final = re.compile(rb"[0-9.][eE]-[0-9]{3}")


class Lines:
    """Records joined by newlines, as bytes and as an array of them, with the place where each begins and ends."""

    __slots__ = ("ends", "flat", "joined", "starts")

    def __init__(self, values: list[bytes]) -> None:
        lengths = np.fromiter(map(len, values), np.int64, len(values))
        self.joined = b"\n".join(values) + b"\n"
        self.flat: Bytes = np.frombuffer(self.joined, np.uint8)
        self.ends: Places = np.cumsum(lengths + 1) - 1
        self.starts: Places = self.ends - lengths

    def holding(self, places: Places) -> Places:
        """Return the record of each place."""
        return np.searchsorted(self.ends, places)


def find_unsafe(values: list[bytes], lines: Lines, *, decimals: bool) -> Mask:
    """Mark the records that only the exact rules may read; none of `values` may be empty.

    What remains is one object a line, so that lines and records are the same, without NaN and Infinity, in UTF-8, at
    most MAX_DEPTH deep. `decimals` says that a column of decimals will be read: its parser has traps of its own.
    """
    flat = lines.flat
    unsafe: Mask = (flat[lines.starts] != _OPEN) | (flat[lines.ends - 1] != _CLOSE)
    places = [_control_characters(lines), _broken_closings(flat), _not_numbers(flat), _escaped_controls(lines)]
    for found in places:
        if len(found):
            unsafe[lines.holding(found)] = True
    _mark_deep(unsafe, lines)
    _mark_foreign_encodings(unsafe, values, lines)
    if decimals:
        _mark_odd_decimals(unsafe, values, lines)
    return unsafe


def _control_characters(lines: Lines) -> Places:
    """Find newlines inside records above all: they would shift every line that follows."""
    found = np.flatnonzero(lines.flat < 0x20)
    if len(found) == len(lines.ends):
        return found[:0]
    return np.setdiff1d(found, lines.ends, assume_unique=True)


def _broken_closings(flat: Bytes) -> Places:
    """Find closings that no comma, closing or end of record follows: a second value on the line is behind one.

    A second `null` would crash the reader. Closings inside strings are found too, which is harmless.
    """
    closings = np.flatnonzero((flat | _CASE) == _CLOSE)
    following = flat[closings + 1]  # the last byte of all is a newline
    fits = (following == _COMMA) | ((following | _CASE) == _CLOSE) | (following == _NEWLINE)
    broken: Places = closings[~fits]
    return broken


def _not_numbers(flat: Bytes) -> Places:
    """Find NaN, Inf and Infinity where a value may stand: the reader takes them, even in members that it ignores."""
    initials = np.flatnonzero((flat | 7) == 0x4F)  # H to O: I and N are among them
    initials = initials[np.isin(flat[initials], np.frombuffer(b"IN", np.uint8))]
    initials = initials[(initials > 0) & (initials < len(flat) - 3)]
    second, third = flat[initials + 1], flat[initials + 2]
    named = ((second == ord("a")) & (third == ord("N"))) | ((second == ord("n")) & (third == ord("f")))
    initials = initials[named]
    stands = np.isin(flat[initials - 1], np.frombuffer(b":,[ -", np.uint8))
    ends = np.isin(flat[initials + 3], np.frombuffer(b",}] i\n", np.uint8))  # not Information; i as in Infinity
    found: Places = initials[stands & ends]
    return found


def _escaped_controls(lines: Lines) -> Places:
    r"""Find `\u0000` to `\u009f`: NUL, controls, and digits or names in disguise."""
    if b"\\" not in lines.joined:
        return lines.ends[:0]
    flat = lines.flat
    escapes = np.flatnonzero(flat == _BACKSLASH)
    escapes = escapes[escapes < len(flat) - 4]
    zeros = (flat[escapes + 1] == ord("u")) & (flat[escapes + 2] == ord("0")) & (flat[escapes + 3] == ord("0"))
    found: Places = escapes[zeros & (flat[escapes + 4] <= ord("9"))]
    return found


def _mark_deep(unsafe: Mask, lines: Lines) -> None:
    openings = np.flatnonzero((lines.flat | _CASE) == _OPEN)
    if len(openings) > MAX_DEPTH:
        # A record has too many where an opening and the one MAX_DEPTH later are its own.
        last = openings[MAX_DEPTH:]
        first = openings[:-MAX_DEPTH]
        close = last - first < np.max(lines.ends - lines.starts)
        if close.any():
            record = lines.holding(first[close])
            unsafe[record[lines.holding(last[close]) == record]] = True


def _mark_foreign_encodings(unsafe: Mask, values: list[bytes], lines: Lines) -> None:
    if lines.joined.isascii():
        return
    try:
        lines.joined.decode()
    except UnicodeDecodeError:
        for i, value in enumerate(values):
            unsafe[i] |= not _is_utf8(value)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _mark_odd_decimals(unsafe: Mask, values: list[bytes], lines: Lines) -> None:
    """Look closely where an odd decimal may begin or end; most such places are in ids, dates and sentences."""
    flat, joined = lines.flat, lines.joined
    quotes = np.flatnonzero((flat[:-1] == _QUOTE) & (flat[1:] <= ord("0")) & (flat[1:] >= ord("+")))
    beginnings = quotes[flat[quotes + 1] != _COMMA]
    odd = [place for place in beginnings.tolist() if _ODD_BEGINNING.match(joined, place)]
    minuses = np.flatnonzero(flat == _MINUS)
    minuses = minuses[(flat[minuses - 1] | _CASE) == ord("e")]
    odd += [place for place in minuses.tolist() if _LARGE_EXPONENT.match(joined, place - 2)]
    if odd:
        unsafe[lines.holding(np.array(odd))] = True
    points = np.flatnonzero(flat == ord("."))
    points = points[np.isin(flat[points + 1], np.frombuffer(b'"eE', np.uint8)) & (flat[points - 1] <= ord("9"))]
    for record in np.unique(lines.holding(points)).tolist():
        unsafe[record] |= _ODD_END.search(values[record]) is not None
