"""Lists by creation, read a page at a time: from which end, of which time, and after which row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

Order = Literal["newest", "oldest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A page of a list by creation: the statements `list_newest` and `list_oldest` take its values."""

    order: Order = "newest"
    since: datetime | None = None
    """Created then or later."""
    until: datetime | None = None
    """Created before."""
    after: tuple[datetime, str] | None = None
    """Creation and id of the last row of the page before."""
    limit: int = 100

    @property
    def statement(self) -> str:
        """Return the name of the statement that reads it."""
        return f"list_{self.order}"

    def values(self) -> dict[str, Any]:
        """Return what the statement is asked with."""
        at, after_id = self.after or (None, None)
        return {"since": self.since, "until": self.until, "at": at, "after_id": after_id, "limit": self.limit}


NEWEST: Final = Listing()
