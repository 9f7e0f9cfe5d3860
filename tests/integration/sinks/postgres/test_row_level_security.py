"""Nobody sees another's rows: through one pooled connection, on every table, as the API's role."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import psycopg
import pytest
from pydantic import SecretStr

from runtime.errors import DatabaseError
from runtime.settings import PostgresSettings
from sinks.postgres.access import API_ROLE, WORKER_ROLE, Access, PostgresAccess
from tests.integration.sinks.postgres.two_tenants import (
    IN_A,
    IN_B,
    NO_TENANT,
    NOBODY,
    OF_OPERATORS,
    OPERATOR,
    OWNERS,
    USER_A,
    A,
    B,
    Filled,
    Undo,
    owners,
)


@dataclass(frozen=True, slots=True)
class _Owner:
    id: str
    pid: int


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
    with suppress(Undo):
        async with postgres.acting(IN_A) as connection:
            assert await owners(connection, "customers") == {A.id}
            raise Undo
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
