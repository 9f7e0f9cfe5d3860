"""Fetched batches of one partition that wait until the journal says what counted in them."""

from __future__ import annotations

from collections import deque

from metering.records import RecordBatch


class LoadShelf:
    """Holds consecutive batches up to a size; a batch that finds no room is let go, for the log still has it."""

    def __init__(self, *, max_records: int) -> None:
        self.max_records = max_records
        self.records = 0
        """How many records are held."""
        self._held: deque[RecordBatch] = deque()

    @property
    def is_full(self) -> bool:
        """Say whether another batch finds no room."""
        return self.records >= self.max_records

    @property
    def span(self) -> tuple[int, int] | None:
        """Return the positions between which the shelf has everything."""
        return (self._held[0].from_position, self._held[-1].to_position) if self._held else None

    def put(self, batch: RecordBatch) -> bool:
        """Hold a batch and say so. One that goes back replaces what is held: there was a seek."""
        end = self._held[-1].to_position if self._held else batch.from_position
        if batch.from_position < end:
            self.forget(end)
        elif batch.from_position > end or self.is_full:  # the batches between were let go
            return False
        self._held.append(batch)
        self.records += len(batch)
        return True

    def read(self, from_position: int, to_position: int) -> RecordBatch | None:
        """Return the records of [from_position, to_position), or None where the shelf lacks some."""
        if self.span is None or not self.span[0] <= from_position < to_position <= self.span[1]:
            return None
        return RecordBatch.join(
            [
                batch.slice(from_position, to_position)
                for batch in self._held
                if batch.to_position > from_position and batch.from_position < to_position
            ]
        )

    def forget(self, position: int) -> None:
        """Let go of what lies before a position."""
        while self._held and self._held[0].from_position < position:
            batch = self._held.popleft()
            self.records -= len(batch)
            if batch.to_position > position:
                rest = batch.slice(position, batch.to_position)
                self._held.appendleft(rest)
                self.records += len(rest)
