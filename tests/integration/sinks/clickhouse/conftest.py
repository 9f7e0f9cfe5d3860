"""A migrated ClickHouse database and a client of ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from runtime.settings import ClickhouseSettings
from sinks.clickhouse.client import connect
from sinks.clickhouse.migrate import migrate
from tests.engines import TestStack


@pytest.fixture
def clickhouse_settings(stack: TestStack, clickhouse_database: str) -> ClickhouseSettings:
    """Settings of this test's database."""
    return ClickhouseSettings(
        url=stack.clickhouse_url, password=SecretStr(stack.clickhouse_password), database=clickhouse_database
    )


@pytest.fixture
def warehouse(clickhouse_settings: ClickhouseSettings) -> Iterator[Client]:
    """Our client, on a database with the migrations applied."""
    migrate(clickhouse_settings)
    client = connect(clickhouse_settings, service="test")
    yield client
    client.close()
