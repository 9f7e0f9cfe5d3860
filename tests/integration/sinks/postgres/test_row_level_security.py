"""Nobody sees or changes another's rows: through one pooled connection, on every table, as the API's role."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row
from pydantic import SecretStr

from runtime.errors import DatabaseError
from runtime.settings import PostgresSettings
from sinks.postgres.access import API_ROLE, WORKER_ROLE, Access, PostgresAccess
from tests.engines import TestStack

# What belongs to no tenant: totals and the log's journal, of which the API reads the second, and Stripe's account.
NO_TENANT = {
    *("catalogue_version", "stream_positions", "stream_topics", "stream_blocks", "warehouse_loads"),
    "stripe_account",
}
# Of all tenants together, and guarded: for operators alone.
OF_OPERATORS = {"stripe_inbox"}
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


@pytest.fixture(scope="module")
def filled(stack: TestStack) -> Iterator[Filled]:
    with stack.postgres_database() as url:
        with psycopg.connect(url) as connection:
            for tenant in (A, B):
                for statement in SEED.split(";\n"):
                    connection.execute(statement.encode(), {"tag": tenant.tag, "id": tenant.id})
        yield Filled(url)


@pytest.fixture
async def postgres(filled: Filled) -> AsyncIterator[PostgresAccess]:
    """One connection for everybody."""
    settings = PostgresSettings(url=SecretStr(filled.url), pool_min=1, pool_max=1)
    access = PostgresAccess(settings, service="test", role=API_ROLE)
    await access.open()
    yield access
    await access.close()


@dataclass(frozen=True, slots=True)
class _Owner:
    id: str
    pid: int


async def owners(connection: AsyncConnection, table: str) -> set[str]:
    """Return whose rows are seen."""
    owner = sql.SQL(OWNERS.get(table, "organization_id"))  # type: ignore[arg-type]
    cursor = await connection.execute(
        sql.SQL("select distinct ({})::text from {}").format(owner, sql.Identifier(table))
    )
    return {row[0] for row in await cursor.fetchall()}


def test_the_api_s_role_owns_nothing_and_bypasses_nothing(filled: Filled) -> None:
    rows = filled.rows(
        "select rolsuper, rolbypassrls, rolcanlogin, rolcreaterole, rolcreatedb from pg_roles where rolname = any(%s)",
        ([API_ROLE, WORKER_ROLE],),
    )
    assert rows == [(False,) * 5] * 2
    owned = "select relname from pg_class where relowner in (select oid from pg_roles where rolname = any(%s))"
    assert filled.rows(owned, ([API_ROLE, WORKER_ROLE],)) == []
    # A view would see with its owner's eyes.
    seen = filled.rows(
        "select relname from pg_class where relkind in ('v', 'm') and relnamespace = 'public'::regnamespace"
        " and has_table_privilege(%s, oid, 'select')"
        " and not coalesce(reloptions @> array['security_invoker=true'], false)",
        (API_ROLE,),
    )
    assert seen == []


def test_every_table_that_the_api_may_touch_is_guarded(filled: Filled) -> None:
    """A new tenant table without a policy fails here, and one without rows in tenants.sql."""
    guarded = filled.rows(
        "select relname::text, relrowsecurity and relforcerowsecurity, exists (select from pg_policy"
        " where polrelid = c.oid and (select oid from pg_roles where rolname = %s) = any(polroles))"
        " from pg_class c where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
        " and (has_table_privilege(%s, oid, 'select') or has_table_privilege(%s, oid, 'insert')"
        " or has_table_privilege(%s, oid, 'update') or has_table_privilege(%s, oid, 'delete'))",
        (API_ROLE,) * 5,
    )
    found = {name: (forced, policies) for name, forced, policies in guarded}
    assert {name for name in found if name not in NO_TENANT} == {
        name for name, both in found.items() if both == (True, True)
    }
    assert set(found) >= NO_TENANT | OF_OPERATORS
    for table in filled.tables():
        for tenant in (A, B):
            owner = OWNERS.get(table, "organization_id")
            rows = filled.rows(
                f"select count(*) from {table} where ({owner})::text = any(%s)", [list(tenant.owns(table))]
            )
            assert rows[0][0] >= 1, (table, tenant.tag)
    truncating = filled.rows("select relname from pg_class where has_table_privilege(%s, oid, 'truncate')", (API_ROLE,))
    assert truncating == []


async def test_one_connection_serves_a_then_nobody_then_b(postgres: PostgresAccess, filled: Filled) -> None:
    pids = set()
    for table in filled.tables():
        for access, expected in ((IN_A, A.owns(table)), (NOBODY, set()), (IN_B, B.owns(table)), (NOBODY, set())):
            async with postgres.acting(access) as connection:
                pids.add(connection.info.backend_pid)
                seen = await owners(connection, table)
            public = {A.id, B.id} if table == "pricing_plans" else set()  # what is sold
            assert seen == expected | public, (table, access)
    assert len(pids) == 1


async def test_a_question_in_one_message_is_asked_by_nobody_else(postgres: PostgresAccess) -> None:
    query = b"select distinct organization_id::text id, pg_backend_pid() pid from customers where %(all)s"
    pids = set()
    # Often enough that the driver prepares the statement.
    for access, expected in ((IN_A, [A.id]), (NOBODY, []), (IN_B, [B.id]), (NOBODY, [])) * 4:
        rows = await postgres.ask(access, query, {"all": True}, _Owner)
        assert [row.id for row in rows] == expected
        pids |= {row.pid for row in rows}
        async with postgres.connection() as connection:
            assert await owners(connection, "customers") == set()
    with pytest.raises(DatabaseError):
        await postgres.ask(IN_A, b"select 1 / 0 id, 0 pid", {}, _Owner)
    assert await postgres.ask(NOBODY, query, {"all": True}, _Owner) == []
    assert len(pids) == 1


async def test_drafts_of_plans_are_their_organization_s(postgres: PostgresAccess) -> None:
    statement = "select organization_id::text, name from pricing_plans"
    for access, drafts in ((IN_A, {(A.id, "draft")}), (NOBODY, set()), (USER_A, set()), (OPERATOR, set())):
        async with postgres.acting(access) as connection:
            rows = set(await (await connection.execute(statement)).fetchall())
        assert rows == {(A.id, "sold"), (B.id, "sold")} | drafts


async def test_a_failed_transaction_leaves_nobody_behind(postgres: PostgresAccess) -> None:
    with suppress(_Undo):
        async with postgres.acting(IN_A) as connection:
            assert await owners(connection, "customers") == {A.id}
            raise _Undo
    async with postgres.connection() as connection:
        assert await owners(connection, "customers") == set()
        role = await (await connection.execute("select current_user")).fetchone()
    assert role == (API_ROLE,)


async def test_a_snapshot_sees_one_moment_and_writes_nothing(postgres: PostgresAccess, filled: Filled) -> None:
    async with postgres.acting(IN_A, snapshot=True) as connection:
        before = await owners(connection, "customers")
        with psycopg.connect(filled.url, autocommit=True) as owner:
            owner.execute("insert into revenue_analytics values (%s, '2026-01-02', 'usd', 'mrr', 1)", (A.id,))
        count = await (await connection.execute("select count(*) from revenue_analytics")).fetchone()
        assert (before, count) == ({A.id}, (1,))
    with psycopg.connect(filled.url, autocommit=True) as owner:
        owner.execute("delete from revenue_analytics where day = '2026-01-02'")


async def test_an_end_user_sees_what_hangs_from_their_customer(postgres: PostgresAccess, filled: Filled) -> None:
    of_customers = {
        *("payment_methods", "subscriptions", "subscription_changes", "invoices", "invoice_lines", "usage_records"),
        *("checkouts", "outbox"),
    }
    theirs = filled.rows("select id::text from customers where user_id = %s", (A.user,))[0][0]
    for table in filled.tables():
        async with postgres.acting(USER_A) as connection:
            if table in of_customers:
                cursor = await connection.execute(f"select array_agg(distinct customer_id::text) from {table}".encode())
                assert await cursor.fetchone() == ([theirs],), table
                continue
            seen = await owners(connection, table)
        expected = {
            "customers": {A.id},
            "users": {A.tag},
            "idempotency_keys": {f"user:{A.user}"},
            "pricing_plans": {A.id, B.id},
        }
        assert seen == expected.get(table, set()), table
    async with postgres.acting(USER_A) as connection:
        assert await (await connection.execute("select id::text from customers")).fetchall() == [(theirs,)]
        assert await (await connection.execute("select id from users")).fetchall() == [(A.user,)]


async def test_a_member_finds_their_organizations_and_a_colleague_only_within_one(postgres: PostgresAccess) -> None:
    async with postgres.acting(Access(user_id="member-a")) as connection:
        assert await owners(connection, "organizations") == {A.id}
        assert await owners(connection, "memberships") == {A.id}
        assert await (await connection.execute("select id from users")).fetchall() == [("member-a",)]
    async with postgres.acting(IN_A) as connection:
        assert await (await connection.execute("select id from users")).fetchall() == [("member-a",)]


async def test_an_operator_sees_what_belongs_to_no_tenant(postgres: PostgresAccess, filled: Filled) -> None:
    for table in filled.tables():
        async with postgres.acting(OPERATOR) as connection:
            seen = await owners(connection, table)
        all_of_them = {
            *(
                "organizations",
                "api_keys",
                "meters",
                "dead_letters",
                "dead_letter_decisions",
                "pricing_plans",
                "outbox",
            ),
        }
        assert seen == (A.owns(table) | B.owns(table) if table in all_of_them else set()), table


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
            with suppress(_Undo):
                async with postgres.acting(access) as connection:
                    seen = await changed(connection, filled, table, verb)
                    raise _Undo
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
        copy = f"insert into {table} overriding system value select * from json_populate_record(null::{table}, %s)"
        for access in (NOBODY, IN_A, USER_A, OPERATOR):
            if access is OPERATOR and table == "dead_letter_decisions":
                continue  # theirs to decide
            with pytest.raises(DatabaseError, match="42501"):
                async with postgres.acting(access) as connection:
                    await connection.execute(copy.encode(), (found["row"],))


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


def of_customers(filled: Filled) -> list[str]:
    """Return the tables of what hangs from a customer."""
    found = filled.rows(
        "select table_name::text from information_schema.columns join information_schema.tables"
        " using (table_schema, table_name) where table_schema = 'public' and column_name = 'customer_id'"
        " and table_type = 'BASE TABLE' order by 1"
    )
    return [name for (name,) in found]


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
    assert tables == {"subscription_changes", "outbox"}  # what may be updated is tried above
    for table in sorted(tables):
        ((row,),) = filled.rows(f"select to_json(t)::text from {table} t where organization_id = %s limit 1", (A.id,))
        hung = {**json.loads(row), "customer_id": foreign}
        # The id is a new one, whatever is said.
        copy = f"insert into {table} overriding user value select * from json_populate_record(null::{table}, %s)"
        with pytest.raises(DatabaseError, match="23503"):
            async with postgres.acting(IN_A) as connection:
                await connection.execute(copy.encode(), (json.dumps(hung),))


def test_nobody_at_all_parts_a_row_from_its_customer_s_organization(filled: Filled) -> None:
    """Not even workers, or the owner: a table that hangs from customers without this promise fails here."""
    tables = of_customers(filled)
    assert len(tables) >= 9
    for table in tables:
        with psycopg.connect(filled.url) as connection, pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute(
                f"update {table} set organization_id = %s where organization_id = %s".encode(), (B.id, A.id)
            )


async def test_workers_serve_everybody(filled: Filled) -> None:
    settings = PostgresSettings(url=SecretStr(filled.url), pool_min=1, pool_max=1)
    postgres = PostgresAccess(settings, service="test", role=WORKER_ROLE)
    await postgres.open()
    try:
        theirs = set(filled.tables()) & set(filled.tables(role=WORKER_ROLE))
        assert theirs >= {"organizations", "meters", "dead_letters", "customers", "subscriptions", "invoices", "outbox"}
        for table in theirs:
            async with postgres.connection() as connection:
                seen = await owners(connection, table)
            assert seen >= A.owns(table) | B.owns(table), table
    finally:
        await postgres.close()


class _Undo(Exception):
    """Takes a transaction back."""
