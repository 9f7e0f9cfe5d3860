"""What the read-only user of dashboards may do; chdb itself has no users and its SQL can read files.

Three nets: the connection is `readonly = 1` with limits and row filters; the statement must be one that reads; and
its syntax tree, as the engine itself parses it, may name nothing outside our database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from devstack.clickhouse_server.config import ServerConfig
from devstack.clickhouse_server.engine import EngineConnection, EngineError, EnginePool, Statement

_READONLY = "Code: 164. DB::Exception: {reason} (READONLY)"
_DENIED = "Code: 497. DB::Exception: Not enough privileges: {reason} (ACCESS_DENIED)"
_ROOTS = frozenset({"SelectWithUnionQuery", "DescribeQuery", "ShowTables", "ExistsTableQuery", "ExistsViewQuery"})
# What clients ask to draw their menus; the others tell about rows and queries of other tenants.
_SYSTEM_TABLES = frozenset({"columns", "databases", "functions", "numbers", "one", "settings", "tables", "time_zones"})
# Functions that reach files, dictionaries, other tables by a name in a string, the host, or models outside.
_FUNCTIONS = re.compile(
    r"file|joinget.*|dict.*|hascolumnintable|catboost.*|sleep.*|filesystem.*|getmacro|getserver.*|serveruuid|hostname|fqdn"
    r"|address.*|demangle|showcertificate|ai[a-z]+|structureto.*|mergetree.*|.*python.*",
    re.IGNORECASE,
)
_TRAILING_FORMAT = re.compile(r"\bFORMAT\s+[A-Za-z]\w*\s*;?\s*$", re.IGNORECASE)
_NODE = re.compile(r"(?P<indent> *)(?P<kind>[A-Za-z]+)(?: (?P<rest>.*?))??(?: \(alias .*\))?(?: \(children \d+\))?")
_ORGANIZATION_COLUMN = "organization_id"


class ReaderSettings:
    """What a reader's connection is set to: limits, row filters, and `readonly` last, as it forbids later SETs."""

    def __init__(self, config: ServerConfig, owner: EnginePool) -> None:
        self._config = config
        self._owner = owner

    def __call__(self) -> dict[str, str]:
        """Return them for the tables that exist now: a migration may have added one since the last query."""
        reader = self._config.reader
        settings = {
            "max_result_rows": str(reader.max_result_rows),
            "result_overflow_mode": "throw",
            "max_execution_time": str(reader.max_execution_time_s),
            "max_memory_usage": str(reader.max_memory_bytes),
        }
        if reader.organization is not None:
            condition = f"{_ORGANIZATION_COLUMN} = \\'{reader.organization}\\'"
            entries = ", ".join(f"'{table}': '{condition}'" for table in self._tables_with_organization())
            settings["additional_table_filters"] = "{" + entries + "}"
        return {**settings, "readonly": "1"}

    def _tables_with_organization(self) -> list[str]:
        found = self._owner.run(
            Statement(
                "SELECT database || '.' || table FROM system.columns "
                "WHERE database = {database:String} AND name = {column:String} ORDER BY 1",
                output_format="TSVRaw",
                parameters={"database": self._config.database, "column": _ORGANIZATION_COLUMN},
            )
        )
        return found.body.decode().split()


def check_read(connection: EngineConnection, statement: Statement) -> None:
    """Refuse everything but one reading statement: what GET may carry."""
    kind, count = connection.classify(statement.sql)
    if statement.rows is not None or kind != "READ_ONLY" or count != 1:
        raise EngineError(_READONLY.format(reason="Only one statement that reads is allowed here."))


class ReaderGuard:
    """Refuses what the dashboards' user may not do, before the engine runs it."""

    def __init__(self, database: str) -> None:
        self._database = database

    def __call__(self, connection: EngineConnection, statement: Statement) -> None:
        """Raise EngineError unless the statement only reads our database."""
        check_read(connection, statement)
        if statement.settings or statement.database not in ("", self._database):
            raise EngineError(_READONLY.format(reason="This user cannot change settings or the database."))
        sql = _TRAILING_FORMAT.sub("", statement.sql)
        tree = connection.raw_query(f"EXPLAIN AST {sql}", "TSVRaw", statement.parameters).bytes().decode()
        others = [
            name
            for name in connection.raw_query("SELECT name FROM system.databases", "TSVRaw").bytes().decode().split("\n")
            if name and name != self._database
        ]
        self._check_tree(tree, others)

    def _check_tree(self, tree: str, others: list[str]) -> None:
        nodes = list(_nodes(tree))
        root = nodes[0][0]
        # Also the case when the answer came in another format than asked for: then it is no tree to rely on.
        if root not in _ROOTS or nodes[0][2] != 0:
            raise EngineError(_READONLY.format(reason="Only SELECT, WITH, SHOW TABLES, DESCRIBE and EXISTS."))
        for (parent, _, _), (kind, name, _) in zip([("", "", 0), *nodes], nodes, strict=False):
            if kind == "Function" and parent == "TableExpression":
                raise EngineError(_DENIED.format(reason=f"table function {name}."))
            if kind in ("Function", "Identifier") and _FUNCTIONS.fullmatch(name):
                raise EngineError(_DENIED.format(reason=f"function {name}."))
            if kind == "ColumnsApplyTransformer":  # The tree does not show which function it applies.
                raise EngineError(_DENIED.format(reason="APPLY."))
            if kind in ("TableIdentifier", "Identifier"):
                self._check_name(name, others, bare_is_database=root not in ("SelectWithUnionQuery", "DescribeQuery"))

    def _check_name(self, name: str, others: list[str], *, bare_is_database: bool) -> None:
        for database in others:
            foreign = name.startswith(f"{database}.") or (bare_is_database and name == database)
            if foreign and not (database == "system" and name.removeprefix("system.") in _SYSTEM_TABLES):
                raise EngineError(_DENIED.format(reason=f"{name} is not in {self._database}."))


def _nodes(tree: str) -> Iterator[tuple[str, str, int]]:
    """Yield (kind, name, indent) of each line; a line's first child is the next line."""
    for line in tree.rstrip("\n").split("\n"):
        match = _NODE.fullmatch(line)
        if match is None:
            yield "", line, 0  # The rest of a literal that holds a line break.
        else:
            yield match["kind"], match["rest"] or "", len(match["indent"])
