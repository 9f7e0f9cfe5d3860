"""What the API asks Postgres finds its rows by an index, as its own role and under the rights of who asks."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sinks.postgres.access import API_ROLE, WORKER_ROLE
from sinks.postgres.queries import load
from tests.engines import TestStack

pytestmark = pytest.mark.integration
FILL = Path(__file__).with_name("filled.sql").read_text()
# What routes ask. Of other files the tests below name what matters.
FILES = [
    "api_keys", "audit", "checkouts", "customer_changes", "customers", "discount_codes", "idempotency", "invitations",
    "invoices", "leases", "members", "organizations", "payment_methods", "plans", "subscriptions", "users",
]  # fmt: skip
# Inserts find nothing, and what a function finds is not told.
LEFT_OUT = re.compile(
    r"\s*(--.*\n\s*)*(insert|listen|select .* from find_\w+\(|select organization_named)", re.IGNORECASE
)
KEY = hashlib.sha256(b"7").digest()


def of(kind: str) -> str:
    """Return the id of the seventh thing of a kind."""
    return str(uuid.UUID(hashlib.md5(f"{kind} 7".encode(), usedforsecurity=False).hexdigest()))


USUAL: dict[str, Any] = {
    "organization_id": of("organization"), "organization": "org-7", "slug": "org-7", "user_id": "user-7",
    "customer_id": of("customer"), "subscription_id": of("subscription"), "invoice_id": of("invoice"),
    "plan_id": None, "plan_slug": None, "customers": None, "subject": None, "email": None, "currency": None,
    "interval": None, "actor": None, "action": None, "target_id": None, "status": None, "deleted": False,
    "before_id": None, "since": None, "until": None, "kinds": None, "at": None, "after_at": None, "after_id": None,
    "after": 0, "after_slug": "",
    "after_version": 0, "limit": 100, "states": ["active"], "state": "active", "prices": ["price_7"], "code": "code7",
    "stripe_id": "sub_7", "stripe_product_id": "prod_7", "except_mark": None, "stripe_payment_method_id": "pm_7",
    "key": of("key"), "key_hash": KEY, "token_hash": KEY, "name": "new", "role": "admin", "version": 1,
    "answer": b"", "locked_until": datetime.now(UTC), "kept": timedelta(days=1), "holder": "test", "seconds": 90,
    "redemptions": 1, "reason": None, "address": None, "metadata": "{}", "subjects": ["subject-7"], "positions": [],
    "document": "{}", "prefix": "ms_7", "stripe_prices": "{}", "created_by": "user user-7", "invited_by": "user user-7",
    "roles": ["owner"], "changed": ["subjects"],
}  # fmt: skip
IDS = {
    "checkouts": "checkout", "customers": "customer", "discount_codes": "code", "invoices": "invoice",
    "leases": "subscription", "organizations": "organization", "payment_methods": "method", "plans": "plan",
    "subscriptions": "subscription",
}  # fmt: skip

# Lists that go on after a text.
BY_TEXT = {"members": {"after": ""}, "organizations": {"after": "", "id": of("organization")}}


@dataclass(frozen=True)
class Question:
    """A statement and with which values it is asked."""

    file: str
    name: str
    values: dict[str, Any] = field(default_factory=dict)
    as_user: bool = False

    def __str__(self) -> str:
        return "-".join([self.file, self.name, *self.values, *(["as_user"] if self.as_user else [])])


def statements() -> list[Question]:
    """Return every statement as an organization asks it without filters."""
    return [Question(file, name) for file in FILES for name, text in texts(file).items() if not LEFT_OUT.match(text)]


def texts(file: str) -> dict[str, str]:
    return {name: text if isinstance(text, str) else bytes(text).decode() for name, text in load(file).items()}


OWN = {"organization_id": None, "customers": [of("customer")]}
WITH_FILTERS = [
    Question("subscriptions", "list_newest", {"status": ["past_due"]}),
    Question("subscriptions", "list_newest", {"customers": [of("customer")]}),
    Question("subscriptions", "list_newest", {"at": datetime.now(UTC), "after_id": of("subscription")}),
    Question("invoices", "list_newest", {"customers": [of("customer")]}),
    Question("invoices", "list_newest", {"subscription_id": of("subscription")}),
    Question("invoices", "list_newest", {"status": ["paid"]}),
    Question("customers", "list_newest", {"subject": "subject-7"}),
    Question("customers", "list_newest", {"user_id": None}),
    Question("payment_methods", "list_newest", {"customer_id": None}),
    Question("audit", "list", {"actor": "test"}),
    Question("discount_codes", "list_newest", {"states": ["active", "archived"]}),
    Question("plans", "list_by_slug", {"slug": "plan-1"}),
]
# Without filters, and what narrows a list with the index that it is read by.
NO_FILTERS: dict[str, Any] = {"code": None, "user_id": None, "customer_id": None, "subscription_id": None, "slug": None}
BY_CREATION = ["customers", "discount_codes", "invoices", "payment_methods", "plans", "subscriptions"]
THEN = datetime.now(UTC) - timedelta(days=9)
BY_FILTER = {
    ("customers_by_email", "lower_email"): Question("customers", "list_newest", {"email": "7@Example.com"}),
    ("customers_of_user", "user_id"): Question("customers", "list_newest", {"user_id": "user-7"}),
    ("invoices_by_status", "status"): Question("invoices", "list_newest", {"status": ["open"]}),
    ("invoices_by_subscription", "subscription_id"): Question(
        "invoices", "list_oldest", {"subscription_id": of("subscription")}
    ),
    ("invoices_by_customer", "customer_id"): Question("invoices", "list_oldest", {"customers": [of("customer")]}),
    ("subscriptions_by_status", "status"): Question("subscriptions", "list_oldest", {"status": ["past_due"]}),
    ("subscriptions_by_customer", "customer_id"): Question(
        "subscriptions", "list_newest", {"customers": [of("customer")]}
    ),
    ("payment_methods_by_customer", "customer_id"): Question(
        "payment_methods", "list_newest", {"customer_id": of("customer")}
    ),
}
AS_USER = [
    Question("customers", "of_user", {"organization_id": None}, as_user=True),
    Question("customers", "list_newest", {"organization_id": None, "user_id": None}, as_user=True),
    Question("customers", "find", as_user=True),
    Question("subscriptions", "find", as_user=True),
    Question("subscriptions", "list_newest", OWN, as_user=True),
    Question("subscriptions", "changes_newest", as_user=True),
    Question("invoices", "find", as_user=True),
    Question("invoices", "list_newest", OWN, as_user=True),
    Question("invoices", "lines", as_user=True),
    Question("payment_methods", "find", as_user=True),
    Question("payment_methods", "list_newest", {"organization_id": None, "customer_id": of("customer")}, as_user=True),
    Question(
        "payment_methods",
        "list_newest",
        {"organization_id": None, "customer_id": None, "user_id": "user-7"},
        as_user=True,
    ),
    Question("checkouts", "find", as_user=True),
    Question("customer_changes", "changes_after", as_user=True),
    Question("members", "find", as_user=True),
    Question("organizations", "list_of_user", as_user=True),
    Question("plans", "list_by_slug", as_user=True),
    Question("plans", "list_newest", as_user=True),
]


@pytest.fixture(scope="module")
def filled(stack: TestStack) -> Iterator[psycopg.Connection]:
    with stack.postgres_database() as url, psycopg.connect(url, autocommit=True) as connection:
        for statement in FILL.split(";\n"):
            connection.execute(statement.encode())
        connection.execute("vacuum analyze")
        yield connection


@pytest.fixture(scope="module")
def large(stack: TestStack) -> Iterator[psycopg.Connection]:
    """One organization with much of everything: what its lists leave out must cost nothing."""
    with stack.postgres_database() as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(Path(__file__).with_name("large.sql").read_bytes())
        connection.execute("vacuum analyze")
        yield connection


def plan_of(
    connection: psycopg.Connection, role: str, question: Question, setting: tuple[str, str]
) -> list[dict[str, Any]]:
    """Return the nodes of the plan of a statement."""
    text = texts(question.file)[question.name]
    own_id = of(IDS.get(question.file, "nothing"))
    known = {**USUAL, "id": own_id, "ids": [own_id], **BY_TEXT.get(question.file, {}), **question.values}
    values = {name: known[name] for name in re.findall(r"%\((\w+)\)s", text)}
    with connection.transaction(force_rollback=True):
        connection.execute(f"set local role {role}".encode())
        connection.execute("select set_config(%s, %s, true)", setting)
        row = connection.execute(b"explain (format json) " + text.encode(), values).fetchone()
    assert row is not None
    return list(_nodes(row[0][0]["Plan"]))


def scanned(connection: psycopg.Connection, role: str, question: Question, setting: tuple[str, str]) -> list[str]:
    """Return the tables that would be read from end to end."""
    nodes = plan_of(connection, role, question, setting)
    return [str(node["Relation Name"]) for node in nodes if node["Node Type"] == "Seq Scan"]


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _scans(node: dict[str, Any]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan":
        yield str(node["Relation Name"])
    for child in node.get("Plans", ()):
        yield from _scans(child)


@pytest.mark.parametrize("question", [*statements(), *WITH_FILTERS, *AS_USER], ids=str)
def test_the_api_finds_rows_by_an_index(filled: psycopg.Connection, question: Question) -> None:
    setting = ("app.user_id", "user-7") if question.as_user else ("app.organization_id", of("organization"))
    assert scanned(filled, API_ROLE, question, setting) == []


@pytest.mark.parametrize(
    "place",
    [{"at": THEN, "after_id": of("nothing")}, {"since": THEN, "until": THEN + timedelta(hours=1)}, {}],
    ids=["after", "of_a_time", "first"],
)
@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("file", BY_CREATION)
def test_pages_are_read_in_the_order_of_an_index(
    large: psycopg.Connection, file: str, order: str, place: dict[str, Any]
) -> None:
    """A page far down, or of a time long ago, reads none of the rows before it, and none is sorted."""
    question = Question(file, f"list_{order}", {**NO_FILTERS, **place})
    nodes = plan_of(large, API_ROLE, question, ("app.organization_id", of("organization")))
    kinds = {node["Node Type"] for node in nodes}
    assert not kinds & {"Sort", "Seq Scan", "Bitmap Heap Scan"}, kinds
    conditions = [node.get("Index Cond", "") for node in nodes if node.get("Index Name", "").endswith("_organization")]
    assert [("created_at" in condition) for condition in conditions] == [bool(place)]


@pytest.mark.parametrize(("index", "column"), BY_FILTER)
def test_filters_have_their_indexes(large: psycopg.Connection, index: str, column: str) -> None:
    question = BY_FILTER[index, column]
    question = Question(question.file, question.name, {**NO_FILTERS, **question.values})
    nodes = plan_of(large, API_ROLE, question, ("app.organization_id", of("organization")))
    (condition,) = [node["Index Cond"] for node in nodes if node.get("Index Name") == index]
    assert column in condition


@pytest.mark.parametrize(
    "question",
    [
        Question("outbox", "read_unsent"),
        Question("inbox", "take_due"),
        Question("inbox", "hasten"),
        Question("inbox", "empty_old", {"kept": timedelta(days=30)}),
        Question("inbox", "read_open", {"ids": ["evt_1001"]}),
        Question("inbox", "list_events", {"state": "parked", "received_at": None, "event_id": None}),
    ],
    ids=str,
)
def test_workers_find_what_is_due_by_an_index(filled: psycopg.Connection, question: Question) -> None:
    assert scanned(filled, WORKER_ROLE, question, ("app.user_id", "")) == []


@pytest.mark.parametrize("file", ["inbox", "outbox"])
def test_operators_find_what_waits_longest_by_an_index(filled: psycopg.Connection, file: str) -> None:
    assert scanned(filled, API_ROLE, Question(file, "find_oldest"), ("app.operator", "on")) == []


@pytest.mark.parametrize("key", ["find_api_key", "find_invitation"])
def test_secrets_are_found_by_an_index(filled: psycopg.Connection, key: str) -> None:
    """Inside the functions, which run as their owner."""
    body = filled.execute("select prosrc from pg_proc where proname = %s", [key]).fetchone()
    assert body is not None
    text = re.sub(r"\bhash\b", "'\\\\x00'::bytea", str(body[0]))
    row = filled.execute(f"explain (format json) {text}".encode()).fetchone()
    assert row is not None
    assert list(_scans(row[0][0]["Plan"])) == []


def test_usage_of_a_period_is_found_by_an_index(filled: psycopg.Connection) -> None:
    usage = (
        "explain (format json) select sum(quantity) from usage_records where organization_id = %s"
        " and period_start >= now() - interval '1 day' and period_end <= now()"
    )
    row = filled.execute(usage, [of("organization")]).fetchone()
    assert row is not None
    assert list(_scans(row[0][0]["Plan"])) == []
