"""Fixtures for everybody: real engines once a run; a fresh database, ClickHouse database and topic prefix a test."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import clickhouse_connect
import pytest
import structlog
from clickhouse_connect.driver.client import Client

from devstack.valkey import Valkey
from runtime.settings import Settings
from tests.engines import TestStack, running_stack, running_valkey

if TYPE_CHECKING:
    from tests.stripe_simulator import CheckedSimulator


@pytest.fixture(autouse=True)
def logging_of_this_test_alone() -> Iterator[None]:
    """Let no test find the log levels that a command set up in this process for the test before it."""
    before = structlog.get_config()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def stack() -> Iterator[TestStack]:
    """Kafka, Postgres and ClickHouse, started once for the run. Do not stop or kill these: use `private_stack`."""
    with running_stack() as running:
        yield running


@pytest.fixture
def private_stack() -> Iterator[TestStack]:
    """Engines of this test alone, to be stopped, killed and started again."""
    with running_stack() as running:
        yield running


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A Valkey of this test alone, to be stopped, killed and started again."""
    with running_valkey() as server:
        yield server


@pytest.fixture
def simulator() -> Iterator[CheckedSimulator]:
    """A Stripe simulator of this test alone; what does not fit Stripe's document fails the test."""
    from tests.stripe_simulator import checked_simulator

    with checked_simulator() as checked:
        yield checked


@pytest.fixture
def kafka_bootstrap(stack: TestStack) -> str:
    """Kafka's address."""
    return stack.kafka_bootstrap


@pytest.fixture
def topic_prefix() -> str:
    """Unique to this test, so that tests share the broker."""
    return f"t{uuid.uuid4().hex[:10]}."


@pytest.fixture
def postgres_url(stack: TestStack) -> Iterator[str]:
    """A fresh database with the migrations applied."""
    with stack.postgres_database() as url:
        yield url


@pytest.fixture
def empty_postgres_url(stack: TestStack) -> Iterator[str]:
    """A fresh database with nothing in it."""
    with stack.postgres_database(migrated=False) as url:
        yield url


@pytest.fixture
def clickhouse_database(stack: TestStack) -> Iterator[str]:
    """The name of a fresh ClickHouse database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = _client(stack, "default")
    try:
        admin.command(f"create database {name} engine = Atomic")
        yield name
        admin.command(f"drop database {name} sync")
    finally:
        admin.close()


@pytest.fixture
def clickhouse(stack: TestStack, clickhouse_database: str) -> Iterator[Client]:
    """A client whose database is fresh."""
    client = _client(stack, clickhouse_database)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def settings(
    stack: TestStack, postgres_url: str, clickhouse_database: str, topic_prefix: str, tmp_path: Path
) -> Settings:
    """Settings that point to this test's database, ClickHouse database and topics."""
    return stack.settings(
        postgres_url=postgres_url,
        clickhouse_database=clickhouse_database,
        topic_prefix=topic_prefix,
        state_dir=tmp_path,
    )


def _client(stack: TestStack, database: str) -> Client:
    return clickhouse_connect.get_client(
        dsn=stack.clickhouse_url,
        username="default",
        password=stack.clickhouse_password,
        database=database,
    )
