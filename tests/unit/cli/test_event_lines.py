"""Files of events, cut into requests."""

from __future__ import annotations

import pytest

from cli.event_lines import EventLine, in_batches, read_lines

pytestmark = pytest.mark.unit


def test_lines_keep_their_numbers_and_blank_ones_are_passed_over() -> None:
    file = [b'\xef\xbb\xbf{"a": 1}\r\n', b"\n", b"  \t\n", b'{"b": 2}']
    assert list(read_lines(file)) == [EventLine(1, b'{"a": 1}'), EventLine(4, b'{"b": 2}')]


def test_a_batch_fits_a_request() -> None:
    lines = [EventLine(number, b"x" * 10) for number in range(2_500)]
    assert [len(batch) for batch in in_batches(lines)] == [1_000, 1_000, 500]
    long_lines = [EventLine(number, b"x" * 2_000_000) for number in range(5)] + [EventLine(5, b"x" * 6_000_000)]
    assert [len(batch) for batch in in_batches(long_lines)] == [2, 2, 1, 1]


def test_no_lines_are_no_batches() -> None:
    assert list(in_batches(read_lines([b"\n"]))) == []
