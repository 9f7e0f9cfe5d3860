"""A broken byte in a fetched batch is found, wherever it is; what is whole passes."""

from __future__ import annotations

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from sinks.kafka.checksums import check_batches


def _batch(*values: bytes, compression: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=compression,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1_000_000,
    )
    for offset, value in enumerate(values):
        builder.append(offset, 1_700_000_000_000, b"key", value, [])
    return bytes(builder.build())


@pytest.mark.parametrize("compression", [0, 1])
def test_whole_batches_pass(compression: int) -> None:
    check_batches(_batch(b"a" * 500, b"b", compression=compression) + _batch(b"c"), "t-0")


@pytest.mark.parametrize("empty", [None, b"", b"short"])
def test_nothing_to_check(empty: bytes | None) -> None:
    check_batches(empty, "t-0")


def test_a_batch_that_the_fetch_size_cut_off_is_left_for_the_next_fetch() -> None:
    whole, cut = _batch(b"a"), _batch(b"b" * 100)
    check_batches(whole + cut[:-30], "t-0")


def test_every_broken_byte_behind_the_checksum_is_found() -> None:
    first, second = _batch(b"a" * 40), _batch(b"b" * 40)
    raw = first + second
    for at in range(len(first) + 17, len(raw)):
        broken = bytearray(raw)
        broken[at] ^= 0x10
        with pytest.raises(CorruptRecordException, match="t-0"):
            check_batches(bytes(broken), "t-0")
