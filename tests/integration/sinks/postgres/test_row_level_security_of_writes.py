"""Nobody changes another's rows, adds one for them, or moves one to them: on every table, as the API's role."""

from __future__ import annotations

import json
from contextlib import suppress

import psycopg
import pytest
from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from runtime.errors import DatabaseError
from sinks.postgres.access import PostgresAccess
from tests.integration.sinks.postgres.two_tenants import (
    IN_A,
    NOBODY,
    OPERATOR,
    OWNERS,
    USER_A,
    A,
    B,
    Filled,
    Undo,
    of_customers,
)


async def changed(connection: AsyncConnection, filled: Filled, table: str, verb: str) -> set[str]:
    """Return whose rows a statement without a condition changes."""
    ((column,),) = filled.rows(
        "select column_name::text from information_schema.columns where table_name = %s and is_identity = 'NO'"
        " and table_schema = 'public' order by ordinal_position limit 1",
        (table,),
    )
    parts = {"table": sql.Identifier(table), "column": sql.Identifier(column)}
    statement = "update {table} set {column} = {column}" if verb == "update" else "delete from {table}"
    owner = sql.SQL(OWNERS.get(table, "organization_id"))  # type: ignore[arg-type]
    cursor = await connection.execute(sql.SQL(statement + " returning ({owner})::text").format(**parts, owner=owner))
    return {row[0] for row in await cursor.fetchall()}


@pytest.mark.parametrize("verb", ["update", "delete"])
async def test_nobody_changes_another_s_rows(postgres: PostgresAccess, filled: Filled, verb: str) -> None:
    own = {"users": {A.tag}, "idempotency_keys": {f"user:{A.user}"}}
    by_operators = {"dead_letter_decisions": {A.tag, B.tag}}
    tables = filled.tables(verb)
    assert tables
    for table in tables:
        for access, expected in (
            (NOBODY, set()),
            (IN_A, set() if table == "users" else A.owns(table)),
            (USER_A, own.get(table, set())),
            (OPERATOR, by_operators.get(table, set())),
        ):
            with suppress(Undo):
                async with postgres.acting(access) as connection:
                    seen = await changed(connection, filled, table, verb)
                    raise Undo
            assert seen == expected, (table, access)


async def test_nobody_adds_rows_for_another(postgres: PostgresAccess, filled: Filled) -> None:
    tables = filled.tables("insert")
    assert tables
    for table in tables:
        owner = OWNERS.get(table, "organization_id")
        with psycopg.connect(filled.url, row_factory=dict_row) as connection:
            found = connection.execute(
                f"select to_json(t)::text as row from {table} t where ({owner})::text = any(%s) limit 1".encode(),
                (list(B.owns(table)),),
            ).fetchone()
        assert found is not None
        copy = filled.copy(table, "system")
        for access in (NOBODY, IN_A, USER_A, OPERATOR):
            if access is OPERATOR and table == "dead_letter_decisions":
                continue  # theirs to decide
            with pytest.raises(DatabaseError, match="42501"):
                async with postgres.acting(access) as connection:
                    await connection.execute(copy, (found["row"],))


async def test_events_of_stripe_s_are_for_operators_alone(postgres: PostgresAccess, filled: Filled) -> None:
    insert = "insert into stripe_inbox (event_id, type, created_at, livemode, body) values (%s, 't', now(), false, '')"
    async with postgres.acting(OPERATOR) as connection:
        await connection.execute(insert.encode(), ("evt_1",))
    for access in (NOBODY, IN_A, USER_A):
        async with postgres.acting(access) as connection:
            seen = await (await connection.execute("select event_id from stripe_inbox")).fetchall()
            changed = await connection.execute("update stripe_inbox set state = 'parked'")
        assert (seen, changed.rowcount) == ([], 0)
        with pytest.raises(DatabaseError, match="42501"):
            async with postgres.acting(access) as connection:
                await connection.execute(insert.encode(), ("evt_2",))
    async with postgres.acting(OPERATOR) as connection:
        seen = await (await connection.execute("select event_id, state from stripe_inbox")).fetchall()
    assert seen == [("evt_1", "received")]


async def test_no_row_moves_to_another_or_to_another_s_customer(postgres: PostgresAccess, filled: Filled) -> None:
    ((foreign,),) = filled.rows("select id::text from customers where user_id = %s", (B.user,))
    tables = set(filled.tables("update")) & set(of_customers(filled))
    assert tables >= {"payment_methods", "subscriptions", "invoices", "invoice_lines", "checkouts"}
    for table in sorted(tables):
        for change, refusal in (
            (f"customer_id = '{foreign}'", "23503"),
            (f"organization_id = '{B.id}'", "42501"),
            (f"customer_id = '{foreign}', organization_id = '{B.id}'", "42501"),
        ):
            with pytest.raises(DatabaseError, match=refusal):
                async with postgres.acting(IN_A) as connection:
                    await connection.execute(f"update {table} set {change}".encode())
    with pytest.raises(DatabaseError, match="42501"):
        async with postgres.acting(IN_A) as connection:
            await connection.execute(b"update customers set organization_id = %s", (B.id,))


async def test_no_row_is_hung_on_another_s_customer(postgres: PostgresAccess, filled: Filled) -> None:
    ((foreign,),) = filled.rows("select id::text from customers where user_id = %s", (B.user,))
    tables = set(filled.tables("insert")) & set(of_customers(filled)) - set(filled.tables("update"))
    assert tables == {"subscription_changes", "outbox", "customer_subjects"}  # what may be updated is tried above
    for table in sorted(tables):
        ((row,),) = filled.rows(f"select to_json(t)::text from {table} t where organization_id = %s limit 1", (A.id,))
        hung = {**json.loads(row), "customer_id": foreign, "subject": "machine-2"}
        # The id is a new one, whatever is said.
        copy = filled.copy(table, "user")
        with pytest.raises(DatabaseError, match="23503"):
            async with postgres.acting(IN_A) as connection:
                await connection.execute(copy, (json.dumps(hung),))


def test_nobody_at_all_parts_a_row_from_its_customer_s_organization(filled: Filled) -> None:
    """Not even workers, or the owner: a table that hangs from customers without this promise fails here."""
    tables = of_customers(filled)
    assert len(tables) >= 9
    for table in tables:
        with psycopg.connect(filled.url) as connection, pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute(
                f"update {table} set organization_id = %s where organization_id = %s".encode(), (B.id, A.id)
            )
