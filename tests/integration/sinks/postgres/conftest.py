"""Fixtures of the tests that two tenants share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from pydantic import SecretStr

from runtime.settings import PostgresSettings
from sinks.postgres.access import API_ROLE, PostgresAccess
from tests.engines import TestStack
from tests.integration.sinks.postgres.two_tenants import SEED, A, B, Filled


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
