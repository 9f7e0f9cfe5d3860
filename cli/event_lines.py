"""A file of events, one per line, cut into batches that fit one request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sinks.http_api.client import MAX_BYTES, MAX_EVENTS


@dataclass(frozen=True, slots=True)
class EventLine:
    """One line that is not blank; numbers count from 1, as editors do."""

    number: int
    body: bytes


def read_lines(file: Iterable[bytes]) -> Iterator[EventLine]:
    """Yield the lines without their ends; blank ones are passed over, and so is a byte order mark."""
    for number, line in enumerate(file, start=1):
        body = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
        if body:
            yield EventLine(number, body)


def in_batches(lines: Iterable[EventLine]) -> Iterator[list[EventLine]]:
    """Yield at most 1,000 lines and 4.5 MB at a time; a line that is longer comes alone."""
    batch: list[EventLine] = []
    size = 0
    for line in lines:
        length = len(line.body) + 1
        if batch and (len(batch) == MAX_EVENTS or size + length > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += length
    if batch:
        yield batch
