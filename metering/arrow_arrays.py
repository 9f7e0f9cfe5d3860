"""Arrow's columns as numpy sees them, without copies."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def as_mask(values: pa.Array | pa.ChunkedArray) -> Mask:
    """Return booleans as numpy has them; null is false."""
    mask: Mask = as_array(values).fill_null(False).to_numpy(zero_copy_only=False)
    return mask.copy() if not mask.flags.writeable else mask


def as_array(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    if not isinstance(values, pa.ChunkedArray):
        return values
    return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()


def text_parts(texts: pa.StringArray) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return where each text begins (and, last, ends) in the bytes of all."""
    _, offsets, data = texts.buffers()
    begins = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return begins, np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
