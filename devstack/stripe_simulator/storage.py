"""What outlives the process: every object as one row of a sqlite file, written with the call that changed it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from devstack.stripe_simulator.failures import Obj

# The order of a row's insertion is the order of lists: `place` is kept when an object is written again.
_SCHEMA = "CREATE TABLE IF NOT EXISTS objects (kind TEXT, id TEXT, place INTEGER, body TEXT, PRIMARY KEY (kind, id))"
_WRITE = (
    "INSERT INTO objects (kind, id, place, body) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body"
)


class Storage:
    """Objects in a sqlite file; None keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._rows: sqlite3.Connection | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._rows = sqlite3.connect(path, isolation_level=None)
            # A killed process loses nothing this way; a machine without power may lose the last calls.
            self._rows.execute("PRAGMA journal_mode = WAL")
            self._rows.execute("PRAGMA synchronous = NORMAL")
            self._rows.execute(_SCHEMA)

    def load(self) -> Iterator[tuple[str, int, Obj]]:
        """Return every object with its kind and place, in the order of creation."""
        if self._rows is not None:
            for kind, place, body in self._rows.execute("SELECT kind, place, body FROM objects ORDER BY place"):
                yield kind, place, json.loads(body)

    def write(self, changed: Iterable[tuple[str, str, int, Obj | None]]) -> None:
        """Store (kind, id, place, object) rows, or remove those whose object is None, all or none."""
        if self._rows is None:
            return
        self._rows.execute("BEGIN")
        try:
            for kind, identifier, place, obj in changed:
                if obj is None:
                    self._rows.execute("DELETE FROM objects WHERE kind = ? AND id = ?", (kind, identifier))
                else:
                    body = json.dumps(obj, separators=(",", ":"))
                    self._rows.execute(_WRITE, (kind, identifier, place, body))
            self._rows.execute("COMMIT")
        except BaseException:
            self._rows.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Let go of the file."""
        if self._rows is not None:
            self._rows.close()
