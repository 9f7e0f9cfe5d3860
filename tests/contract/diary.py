"""What happened in a random story, to be told when it ends badly, and counted when it ends well."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime


class Diary:
    """Entries, and the features that a story had."""

    def __init__(self, title: str) -> None:
        self.features: Counter[str] = Counter()
        self._entries = [title]

    def note(self, at: datetime, text: str) -> None:
        """Add an entry."""
        self._entries.append(f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} {text}")

    def ending(self, text: str) -> str:
        """Return all of it, with an end."""
        return "\n".join([*self._entries, text])
