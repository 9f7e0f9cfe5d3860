"""What each role may do with each table, written down: a table that is new here fails until somebody decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from sinks.postgres.access import API_ROLE, WORKER_ROLE
from tests.engines import TestStack
from tests.integration.sinks.postgres.logins import member_of

pytestmark = pytest.mark.integration

S, SI, SU, SIU, SID, SIUD = (
    {"select", *more.split()}
    for more in ("", "insert", "update", "insert update", "insert delete", "insert update delete")
)
ADD: set[str] = {"insert"}
NONE: set[str] = set()
# Table or view → what the API may, what workers may. A column in brackets: nothing else of the table.
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    # Who is who, and what is counted: people decide, through the API.
    "organizations": (SIU, S),
    "meters": (SIU, S),
    "catalogue_version": (SU, S),
    "users": (SIU, NONE),
    "memberships": (SIUD, NONE),
    "invitations": (SIU, NONE),
    "api_keys": (SIU, NONE),
    "audit_log": (SI, NONE),
    "idempotency_keys": (SIUD, {"delete", "select(created_at)"}),
    # The log's journal and totals: metering and the warehouse write them.
    "stream_topics": (S, SI),
    "stream_positions": (S, SIU),
    "stream_blocks": (S, SID),
    "dead_letters": (S, SI),
    "dead_letter_decisions": (SIU, NONE),
    "usage_series": (NONE, SI),
    "usage_buckets": (NONE, SIU),
    "usage_values": (NONE, ADD),
    "usage_minutes": (NONE, NONE),
    "warehouse_loads": (S, SIU),
    # What is sold. Both follow Stripe; what people say is the API's alone.
    "pricing_plans": (SIU, S),
    "discount_codes": (SIU, SU),
    "enterprise_pricing": (S, NONE),
    "customers": (SIU, SU),
    "customer_subjects": (SID, SID),
    "checkouts": (SIU, SU),
    "payment_methods": (SIU, SIU),
    "subscriptions": (SIU, SIU),
    "subscription_changes": (SI, ADD),
    "invoices": (SIU, SIU),
    "invoice_lines": (SIUD, SID),
    "usage_records": (S, NONE),
    "revenue_analytics": (S, NONE),
    # In and out.
    "stripe_inbox": (SIU, SIU),
    "outbox": (SI, SIUD),
    "job_cursors": (S, SIU),
    "stripe_account": (SI, SI),
    "schema_migrations": (NONE, S),
}
_TABLE_GRANTS = """
select c.relname::text, verb
from pg_class c
cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger', 'maintain'])
    as verb
where c.relnamespace = %(schema)s::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
    and has_table_privilege(%(role)s, c.oid, verb)
"""
_COLUMN_GRANTS = """
select c.relname::text, format('%%s(%%s)', verb, a.attname)
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
cross join unnest(array['select', 'insert', 'update', 'references']) as verb
where c.relnamespace = %(schema)s::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
    and has_column_privilege(%(role)s, c.oid, a.attnum, verb) and not has_table_privilege(%(role)s, c.oid, verb)
"""


@pytest.fixture(scope="module")
def url(stack: TestStack) -> Iterator[str]:
    with stack.postgres_database() as made:
        yield made


def rows(url: str, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement.encode(), values).fetchall()


def granted(url: str, role: str, *, schema: str = "public") -> dict[str, set[str]]:
    """Return what a role may do, by whatever way it came to it, table by table."""
    found: dict[str, set[str]] = {}
    for statement in (_TABLE_GRANTS, _COLUMN_GRANTS):
        for table, verb in rows(url, statement, role=role, schema=schema):
            found.setdefault(table, set()).add(verb)
    return found


def test_every_table_is_decided_about(url: str) -> None:
    relations = rows(
        url,
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace"
        " and relkind in ('r', 'p', 'v', 'm', 'f')",
    )
    assert {name for (name,) in relations} == set(ALLOWED)


@pytest.mark.parametrize("role", [API_ROLE, WORKER_ROLE])
def test_a_role_may_do_what_is_written_and_no_more(url: str, role: str) -> None:
    written = {table: verbs[role == WORKER_ROLE] for table, verbs in ALLOWED.items()}
    assert granted(url, role) == {table: verbs for table, verbs in written.items() if verbs}


def test_the_queue_is_the_workers(url: str) -> None:
    queue = granted(url, WORKER_ROLE, schema="procrastinate")
    assert len(queue) >= 4
    assert all(verbs == SIUD for verbs in queue.values())
    assert granted(url, API_ROLE, schema="procrastinate") == {}


@pytest.mark.parametrize("role", [API_ROLE, WORKER_ROLE])
def test_a_new_table_is_nobody_s(url: str, role: str) -> None:
    with psycopg.connect(url) as connection, connection.transaction(force_rollback=True):
        connection.execute("create table brand_new (id bigint generated always as identity)")
        may = "select has_table_privilege(%s, 'brand_new', 'select, insert, update, delete, truncate')"
        assert connection.execute(may, (role,)).fetchone() == (False,)
        may = "select has_sequence_privilege(%s, 'brand_new_id_seq', 'usage, select, update')"
        assert connection.execute(may, (role,)).fetchone() == (False,)


@pytest.mark.parametrize(
    ("role", "theirs"), [(API_ROLE, {"find_api_key", "find_invitation", "organization_named"}), (WORKER_ROLE, set())]
)
def test_what_looks_with_the_owner_s_eyes_is_for_the_api(url: str, role: str, theirs: set[str]) -> None:
    functions = rows(
        url,
        "select proname::text from pg_proc where prosecdef and pronamespace = 'public'::regnamespace"
        " and has_function_privilege(%(role)s, oid, 'execute')",
        role=role,
    )
    assert {name for (name,) in functions} == theirs


@pytest.mark.parametrize("role", [API_ROLE, WORKER_ROLE])
def test_no_role_makes_anything_in_the_schema_or_numbers_rows(url: str, role: str) -> None:
    (may,) = rows(
        url,
        "select has_schema_privilege(%(role)s, 'public', 'create'),"
        " has_database_privilege(%(role)s, current_database(), 'create')",
        role=role,
    )
    assert may == (False, False)
    sequences = rows(
        url,
        "select relname from pg_sequence join pg_class on oid = seqrelid"
        " where relnamespace = 'public'::regnamespace"
        " and has_sequence_privilege(%(role)s, seqrelid, 'usage, select, update')",
        role=role,
    )
    assert sequences == []


@pytest.fixture(scope="module")
def worker(url: str) -> Iterator[psycopg.Connection]:
    """A connection of a login that has no other role to fall back to."""
    with member_of(WORKER_ROLE, url) as login, psycopg.connect(login, autocommit=True) as connection:
        yield connection


def test_a_worker_deletes_only_changes_that_were_sent_long_ago(url: str, worker: psycopg.Connection) -> None:
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(
            "with acme as ("
            " insert into organizations (slug, name, effective_positions) values ('acme', 'Acme', '{}') returning id"
            "), ada as (insert into customers (organization_id) select id from acme returning id, organization_id)"
            " insert into outbox (organization_id, customer_id, kind, payload, created_at, sent_at)"
            " select ada.organization_id, ada.id, 'test', '{}', now() - interval '1 year', sent_at"
            " from ada, unnest(array[null, now(), now() - interval '31 days']) as sent_at"
        )
    worker.execute(f"set role {WORKER_ROLE}".encode())
    assert worker.execute("delete from outbox").rowcount == 1


@pytest.mark.parametrize("acting", [True, False], ids=["as_the_role", "as_the_login"])
@pytest.mark.parametrize(
    "statement",
    [
        # Become somebody else, or more.
        "set role meterstream",
        "set role meterstream_api",
        "set session authorization meterstream",
        "create role another login superuser",
        "alter role meterstream_worker bypassrls",
        "grant meterstream_api to meterstream_worker",
        "grant select on api_keys to meterstream_worker",
        "alter system set row_security = off",
        # Change the schema, or what it guards.
        "create table mine (id int)",
        "create schema rebuild",
        "drop table outbox",
        "alter table organizations disable row level security",
        "alter table subscriptions add column mine int",
        "alter table dead_letters owner to meterstream_worker",
        "create policy mine on users to meterstream_worker using (true)",
        "drop policy workers on customers",
        "create or replace function app_operator() returns boolean language sql as 'select true'",
        "create index mine on stream_blocks (topic)",
        "insert into schema_migrations (name, sha256) values ('0999_mine.sql', '')",
        # Read what opens doors.
        "select key_hash from api_keys",
        "select * from find_api_key('\\x00')",
        "select answer from idempotency_keys",
        "select token_hash from invitations",
        "select email from users",
        "select pg_read_file('pg_hba.conf')",
        "copy organizations to program 'cat'",
        # Open one.
        "insert into api_keys (name, prefix, key_hash, scopes) values ('mine', 'ms_', '\\x00', '{operator}')",
        "insert into memberships (organization_id, user_id, role) values (gen_random_uuid(), 'me', 'owner')",
        "update organizations set archived_at = null",
        "update meters set filters = '[]'",
        "update catalogue_version set version = 1",
        # Change what has happened.
        "insert into audit_log (organization_id, actor, action, target_kind, target_id)"
        " values (gen_random_uuid(), 'me', 'a.b', 'a', '1')",
        "update audit_log set actor = 'another'",
        "delete from audit_log",
        "update subscription_changes set actor = 'another'",
        "delete from subscription_changes",
        "update stream_blocks set counted = records",
        "update dead_letters set code = 'FINE'",
        "delete from dead_letters",
        "delete from stripe_inbox",
        "delete from invoices",
        "truncate usage_buckets",
        "truncate stream_blocks",
        "delete from usage_buckets",
        "select setval('warehouse_loads_id_seq', 1)",
    ],
)
def test_a_worker_may_not(worker: psycopg.Connection, statement: str, acting: bool) -> None:
    worker.execute(f"set role {WORKER_ROLE if acting else 'none'}".encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        worker.execute(statement.encode())
