"""Two organizations with rows in every table, and how their rows are told apart."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql

from sinks.postgres.access import API_ROLE, Access

# What belongs to no tenant: totals and the log's journal, of which the API reads the second, and Stripe's account.
NO_TENANT = {
    *("catalogue_version", "stream_positions", "stream_topics", "stream_blocks", "warehouse_loads"),
    "stripe_account",
}
# Of all tenants together, and guarded: for operators alone.
OF_OPERATORS = {"stripe_inbox", "job_cursors"}
# Whose a row is, where that is not its `organization_id`.
OWNERS = {
    "organizations": "id",
    "users": "regexp_replace(id, '^(member|user)-', '')",
    "dead_letter_decisions": "topic",
    "idempotency_keys": "owner",
}
SEED = Path(__file__).with_name("tenants.sql").read_text()


@dataclass(frozen=True)
class Tenant:
    """An organization with rows in every table."""

    tag: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def user(self) -> str:
        """Return the id of the user of one of its customers."""
        return f"user-{self.tag}"

    def owns(self, table: str) -> set[str]:
        """Return how a table names it."""
        named = {"users": self.tag, "dead_letter_decisions": self.tag, "idempotency_keys": f"organization:{self.id}"}
        return {named.get(table, self.id)}


A, B = Tenant("a"), Tenant("b")
NOBODY, OPERATOR = Access(), Access(operator=True)
IN_A, IN_B = Access(organization_id=A.id), Access(organization_id=B.id)
USER_A = Access(user_id=A.user)


@dataclass(frozen=True)
class Filled:
    """A database with both tenants."""

    url: str

    def rows(self, statement: str, values: Any = ()) -> list[tuple[Any, ...]]:
        """Ask as the owner, whom no policy holds."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement.encode(), values).fetchall()

    def tables(self, privilege: str = "select", role: str = API_ROLE) -> list[str]:
        """Return the tables of tenants that a role may touch in this way."""
        found = self.rows(
            "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
            " and has_table_privilege(%s, oid, %s) order by 1",
            (role, privilege),
        )
        return [name for (name,) in found if name not in NO_TENANT | OF_OPERATORS]

    def copy(self, table: str, overriding: str) -> bytes:
        """Return a statement that inserts a row given as JSON, with its id (`system`) or a new one (`user`)."""
        found = self.rows(
            "select column_name::text from information_schema.columns"
            " where table_schema = 'public' and table_name = %s and is_generated = 'NEVER'",
            (table,),
        )
        columns = ", ".join(f'"{name}"' for (name,) in found)
        return (
            f"insert into {table} ({columns}) overriding {overriding} value"
            f" select {columns} from json_populate_record(null::{table}, %s)"
        ).encode()


async def owners(connection: AsyncConnection, table: str) -> set[str]:
    """Return whose rows are seen."""
    owner = sql.SQL(OWNERS.get(table, "organization_id"))  # type: ignore[arg-type]
    cursor = await connection.execute(
        sql.SQL("select distinct ({})::text from {}").format(owner, sql.Identifier(table))
    )
    return {row[0] for row in await cursor.fetchall()}


def of_customers(filled: Filled) -> list[str]:
    """Return the tables of what hangs from a customer."""
    found = filled.rows(
        "select table_name::text from information_schema.columns join information_schema.tables"
        " using (table_schema, table_name) where table_schema = 'public' and column_name = 'customer_id'"
        " and table_type = 'BASE TABLE' order by 1"
    )
    return [name for (name,) in found]


class Undo(Exception):
    """Takes a transaction back."""
