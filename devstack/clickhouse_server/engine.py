"""The engine's connections: a pool on one data path, because a connection runs one query at a time."""

from __future__ import annotations

import queue
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from chdb import _chdb

# What changes the connection itself; a request has no session, so the connection is replaced afterwards.
_CHANGES_SESSION = re.compile(r"\s*(set|use|create\s+temporary|create\s+or\s+replace\s+temporary)\b", re.IGNORECASE)
_APPEND_BYTES = 64 << 20


class EngineError(Exception):
    """The engine refused: its own text, which begins with `Code: N. DB::Exception:`."""

    def __init__(self, text: str) -> None:
        match = re.match(r"(?:.*?failed: )?Code: (\d+)", text)
        self.code = int(match[1]) if match else 1002  # UNKNOWN_EXCEPTION
        super().__init__(text if match else f"Code: {self.code}. DB::Exception: {text}")


@dataclass(frozen=True)
class Statement:
    """One request: text, and rows for an INSERT whose FORMAT says how to read them."""

    sql: str
    output_format: str = "TabSeparated"
    database: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    rows: bytes | memoryview | None = None
    rows_format: str = ""


@dataclass(frozen=True)
class Outcome:
    """The answer's bytes, and the counts for `X-ClickHouse-Summary`."""

    body: bytes = b""
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    elapsed_s: float = 0.0


class Guard(Protocol):
    """Decides whether a connection may run a statement; raises EngineError if not."""

    def __call__(self, connection: EngineConnection, statement: Statement) -> None: ...


class EngineConnection:
    """One connection, which remembers the settings it has, so that equal requests send no SET."""

    def __init__(self, data_dir: Path, database: str, fixed: Mapping[str, str]) -> None:
        connect: Any = vars(_chdb)["connect"]  # compiled; carries no types
        self._raw = connect(str(data_dir))
        self._default_database = database
        self._database = ""
        self._settings: dict[str, str] = {}
        self.fixed = fixed
        if fixed:
            # `readonly` comes last: nothing can be changed after it, not even the database.
            self._use(database)
            self.raw_query("SET " + ", ".join(f"{key} = {_quoted(value)}" for key, value in fixed.items()))

    def close(self) -> None:
        """Let go of the data path."""
        self._raw.close()

    def classify(self, sql: str) -> tuple[str, int]:
        """Return what kind of statement this is (READ_ONLY, MUTATING, CONTROL, UNKNOWN) and how many there are."""
        found = self._raw.classify_query(sql, "")
        return found["query_class"].name, found["statement_count"]

    def raw_query(self, sql: str, output_format: str = "TabSeparated", parameters: Mapping[str, str] = {}) -> Any:
        """Run `sql` as it is."""
        try:
            result = self._raw.query(sql, output_format, params=dict(parameters))
        except RuntimeError as exc:
            raise EngineError(str(exc)) from exc
        if result.has_error():
            raise EngineError(result.error_message())
        return result

    def run(self, statement: Statement) -> Outcome:
        """Run one statement under its own database and settings."""
        if not self.fixed:
            self._use(statement.database or self._default_database)
            self._apply(statement.settings)
        if statement.rows is not None:
            return self._insert(statement)
        result = self.raw_query(statement.sql, statement.output_format, statement.parameters)
        return Outcome(
            body=result.bytes(),
            read_rows=result.rows_read(),
            read_bytes=result.bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            elapsed_s=result.elapsed(),
        )

    def _insert(self, statement: Statement) -> Outcome:
        rows = memoryview(statement.rows or b"")
        inserter = None
        try:
            inserter = self._raw.send_insert(statement.sql, statement.rows_format)
            for start in range(0, len(rows), _APPEND_BYTES):
                self._raw.insert_append(inserter, bytes(rows[start : start + _APPEND_BYTES]))
            open_inserter, inserter = inserter, None
            result = self._raw.insert_done(open_inserter)
        except RuntimeError as exc:
            if inserter is not None:
                self._raw.insert_cancel(inserter)
            raise EngineError(str(exc)) from exc
        return Outcome(
            written_rows=result.rows_written(), written_bytes=result.bytes_written(), elapsed_s=result.elapsed()
        )

    def _use(self, database: str) -> None:
        if database != self._database:
            self.raw_query("USE `" + database.replace("\\", "\\\\").replace("`", "\\`") + "`")
            self._database = database

    def _apply(self, settings: Mapping[str, str]) -> None:
        changes = [f"{key} = DEFAULT" for key in self._settings if key not in settings]
        changes += [f"{key} = {_quoted(value)}" for key, value in settings.items() if self._settings.get(key) != value]
        if changes:
            self.raw_query("SET " + ", ".join(changes))
            self._settings = dict(settings)


class EnginePool:
    """Connections on one data path, each set to what `fixed` says; one that differs or broke is replaced."""

    def __init__(self, data_dir: Path, database: str, size: int, fixed: Callable[[], Mapping[str, str]] = dict) -> None:
        self.size = size
        self._fixed = fixed
        self._new = partial(EngineConnection, data_dir, database)
        # Last in, first out: equal requests meet a connection that has their settings already.
        self._free: queue.LifoQueue[EngineConnection] = queue.LifoQueue()
        settings = fixed()
        for _ in range(size):
            self._free.put(self._new(settings))

    def run(self, statement: Statement, guard: Guard | None = None) -> Outcome:
        """Run one statement on a free connection; waits for one.

        Raises:
            EngineError: the guard or the engine refused.
        """
        with self._connection(replace=bool(_CHANGES_SESSION.match(statement.sql))) as connection:
            if guard is not None:
                guard(connection, statement)
            return connection.run(statement)

    def close(self) -> None:
        """Close every connection; queries in hand finish first."""
        for _ in range(self.size):
            self._free.get().close()

    @contextmanager
    def _connection(self, *, replace: bool) -> Iterator[EngineConnection]:
        wanted = self._fixed()
        connection = self._free.get()
        try:
            if connection.fixed != wanted:
                connection = self._replace(connection, wanted)
            yield connection
        except EngineError:
            replace = True  # A SET may have been applied in part.
            raise
        finally:
            if replace:
                connection = self._replace(connection, wanted)
            self._free.put(connection)

    def _replace(self, connection: EngineConnection, settings: Mapping[str, str]) -> EngineConnection:
        connection.close()
        return self._new(settings)


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
