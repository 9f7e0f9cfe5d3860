"""Transactions that say who asks: exactly who, to the end of the transaction, on connections that work."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from runtime.errors import DatabaseError, RefusedToStart, Unavailable
from runtime.settings import Settings
from sinks.postgres import pool
from sinks.postgres.access import API_ROLE, WORKER_ROLE, Access, PostgresAccess
from sinks.postgres.pool import connection_options

pytestmark = pytest.mark.integration


@pytest.fixture
async def postgres(settings: Settings) -> AsyncIterator[PostgresAccess]:
    """One pooled connection, so that each transaction comes after the one before."""
    one = settings.postgres.model_copy(update={"pool_min": 1, "pool_max": 1})
    access = PostgresAccess(one, service="test", role=API_ROLE)
    await access.open()
    yield access
    await access.close()


async def who(connection: AsyncConnection) -> tuple[str, str, str, str]:
    cursor = await connection.execute(
        "select current_setting('app.organization_id', true), current_setting('app.user_id', true),"
        " current_setting('app.operator', true), current_setting('transaction_read_only')"
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize("user", ["ada", "o'neil", "back\\slash'", "'; drop table users; --", "%(operator)s", "é\n"])
async def test_a_user_is_said_as_they_are_called(postgres: PostgresAccess, user: str) -> None:
    async with postgres.acting(Access(user_id=user)) as connection:
        assert await who(connection) == ("", user, "", "off")


async def test_nothing_is_left_for_the_next_transaction(postgres: PostgresAccess) -> None:
    async with postgres.acting(Access("org", "user", operator=True), snapshot=True) as connection:
        assert await who(connection) == ("org", "user", "on", "on")
    async with postgres.acting(Access()) as connection:
        assert await who(connection) == ("", "", "", "off")
    async with postgres.connection() as connection:
        assert await who(connection) == ("", "", "", "off")


async def add_ada(postgres: PostgresAccess, *, then: str = "select 1", fails: Exception | None = None) -> None:
    async with postgres.acting(Access(user_id="ada")) as connection:
        await connection.execute("insert into users (id) values ('ada')")
        await connection.execute(then.encode())
        if fails is not None:
            raise fails


async def users(postgres: PostgresAccess) -> int:
    async with postgres.acting(Access(user_id="ada")) as connection:
        row = await (await connection.execute("select count(*) from users")).fetchone()
    assert row is not None
    return int(row[0])


async def test_an_error_undoes_the_transaction(postgres: PostgresAccess) -> None:
    with pytest.raises(DatabaseError):
        await add_ada(postgres, then="select 1 / 0")
    with pytest.raises(KeyError):
        await add_ada(postgres, fails=KeyError())
    assert await users(postgres) == 0
    await add_ada(postgres)
    assert await users(postgres) == 1


async def test_a_connection_that_the_server_closed_is_not_lent(postgres: PostgresAccess, settings: Settings) -> None:
    async with postgres.acting(Access()) as connection:
        pid = connection.info.backend_pid
    with psycopg.connect(settings.postgres.url.get_secret_value(), autocommit=True) as admin:
        admin.execute("select pg_terminate_backend(%s, 10000)", [pid])
    async with postgres.acting(Access()) as connection:
        assert connection.info.backend_pid != pid


@pytest.fixture
def dropped_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect as through a pooler that drops the start-up parameter `options`: as the login, who owns everything."""

    def without_options(*args: Any, **kwargs: Any) -> dict[str, object]:
        return {**connection_options(*args, **kwargs), "options": ""}

    monkeypatch.setattr(pool, "connection_options", without_options)


@pytest.mark.usefixtures("dropped_options")
def test_a_thread_gets_no_connection_that_lost_its_role(settings: Settings) -> None:
    with pytest.raises(RefusedToStart, match=r"must act as meterstream_worker.*options.*METERSTREAM_POSTGRES__URL"):
        pool.connect(settings.postgres, service="test", role=WORKER_ROLE)
    pool.connect(settings.postgres, service="test").close()  # whoever asks for no role is the login


@pytest.mark.usefixtures("dropped_options")
async def test_requests_get_no_connection_that_lost_its_role(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    impatient = settings.postgres.model_copy(update={"connect_timeout_s": 1.0})
    access = PostgresAccess(impatient, service="test", role=API_ROLE)
    await access.open()
    try:
        with pytest.raises(Unavailable):
            await access.ping()
    finally:
        await access.close()
    assert "must act as meterstream_api" in capsys.readouterr().out


def test_a_role_above_policies_is_refused(settings: Settings) -> None:
    """A twin of the API's role, since the role itself is the whole server's."""
    name = f"above_{uuid.uuid4().hex[:8]}"
    with pool.connect(settings.postgres, service="test") as owner:
        owner.execute(f"create role {name} bypassrls".encode())
        try:
            with pytest.raises(RefusedToStart, match="whom no policy binds"):
                pool.connect(settings.postgres, service="test", role=name)
        finally:
            owner.execute(f"drop role {name}".encode())
