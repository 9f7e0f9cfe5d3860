"""The rules of an event's envelope, for columns of events: says which rows surely keep them all.

`events.read_envelope` is the rule; what is not sure here is read again there, which also finds the words for a refusal.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from metering.arrow_arrays import Mask, as_array, as_mask, text_parts
from metering.events import RESERVED_TYPE_PREFIX
from metering.texts import MAX_TEXT
from metering.time_columns import parse_times
from metering.times import LOG_LIMITS

_REQUIRED: Final = ("id", "source", "type", "subject")
_OPTIONAL: Final = ("organization", "authorization")


def keeps_rules(table: pa.Table) -> Mask:
    """Mark the rows whose texts and types keep the rules; times and organizations are checked apart."""
    sound = as_mask(pc.equal(table["specversion"], "1.0"))
    sound &= as_mask(pc.is_null(table["data_base64"]))
    sound &= ~as_mask(pc.starts_with(table["type"], RESERVED_TYPE_PREFIX))
    for name in _REQUIRED:
        sound &= _are_texts(as_array(table[name]))
    for name in _OPTIONAL:
        column = as_array(table[name])
        if column.null_count < len(column):
            sound &= _are_texts(column) | as_mask(column.is_null())
    return sound


def read_times(table: pa.Table, arrivals_ms: NDArray[np.int64]) -> tuple[NDArray[np.int64], Mask]:
    """Return each row's time in µs, and whether it surely has one, in time for its arrival."""
    texts = as_array(table["time"])
    times_us, sound = parse_times(texts)
    if texts.null_count:
        missing = as_mask(texts.is_null())
        times_us = np.where(missing, arrivals_ms * 1000, times_us)
        sound |= missing
    sound &= times_us >= (arrivals_ms - LOG_LIMITS.past_ms) * 1000
    sound &= times_us <= (arrivals_ms + LOG_LIMITS.future_ms) * 1000
    return times_us, sound


def _are_texts(column: pa.StringArray) -> Mask:
    """Mark what surely is a text for `texts.text_problem`; bytes are counted, never fewer than characters."""
    if not len(column):
        return np.zeros(0, np.bool_)
    begins, flat = text_parts(column)
    lengths = np.diff(begins)
    sound: Mask = (lengths > 0) & (lengths <= MAX_TEXT)  # null is empty
    used = flat[begins[0] : begins[-1]]
    control = (used < 0x20) | (used == 0x7F)
    if used.size and used.max() >= 0x80:
        control[:-1] |= (used[:-1] == 0xC2) & (used[1:] < 0xA0)  # U+0080 to U+009F
    if control.any():
        places = np.flatnonzero(control) + begins[0]
        sound[np.searchsorted(begins, places, side="right") - 1] = False
    return sound
