"""What the read-only user of dashboards may do; chdb itself has no users."""

from __future__ import annotations

import re

from devstack.clickhouse_server.config import Reader
from devstack.clickhouse_server.engine import EngineConnection, EngineError, Statement

_READONLY = "Code: 164. DB::Exception: {reason} (READONLY)"
_DENIED = "Code: 497. DB::Exception: Not enough privileges: {reason} (ACCESS_DENIED)"
_ALLOWED = re.compile(r"(select|with|show|describe|desc|exists)\b", re.IGNORECASE)
_COMMENTS = re.compile(r"\s+|--[^\n]*|/\*.*?\*/", re.DOTALL)


def reader_settings(reader: Reader, database: str) -> dict[str, str]:
    """Return the settings of the reader's connections; `readonly` is last because it forbids every later SET."""
    return {
        "max_result_rows": str(reader.max_result_rows),
        "result_overflow_mode": "throw",
        "max_execution_time": str(reader.max_execution_time_s),
        "readonly": "1",
    }


def check_read(connection: EngineConnection, statement: Statement) -> None:
    """Refuse everything but one reading statement: what GET may carry."""
    kind, count = connection.classify(statement.sql)
    if statement.rows is not None or kind not in ("READ_ONLY", "UNKNOWN") or count > 1:
        raise EngineError(_READONLY.format(reason="Only one statement that reads is allowed here."))


class ReaderGuard:
    """Refuses what the dashboards' user may not do, before the engine sees it."""

    def __init__(self, database: str) -> None:
        self._database = database

    def __call__(self, connection: EngineConnection, statement: Statement) -> None:
        """Raise EngineError unless this statement only reads our database."""
        check_read(connection, statement)
