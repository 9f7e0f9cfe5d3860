"""How a live table and its rebuilt twin compare; both stores' rebuilds tell it in this form."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TableComparison:
    """A derived table, live and rebuilt: number of rows, and an order-free checksum of them."""

    table: str
    live_rows: int
    live_checksum: str
    rebuilt_rows: int
    rebuilt_checksum: str

    @property
    def equal(self) -> bool:
        """Say whether both hold the same rows."""
        return (self.live_rows, self.live_checksum) == (self.rebuilt_rows, self.rebuilt_checksum)
