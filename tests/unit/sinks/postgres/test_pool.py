from __future__ import annotations

import traceback

import pytest
from pydantic import SecretStr

from runtime.errors import RefusedToStart
from runtime.settings import PostgresSettings
from sinks.postgres.migrate import migrate
from sinks.postgres.pool import connect, make_pool, readable_url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql//me:hidden@127.0.0.1/db",
        "postgresql://me:hid%zzden@127.0.0.1/db",
        "postgresql://me:hid/hidden@127.0.0.1/db",
        "postgresql://me:hidden@127.0.0.1:port/db",
        "hidden",
        "",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_and_not_repeated(url: str) -> None:
    settings = PostgresSettings(url=SecretStr(url))
    for use in (
        lambda: connect(settings, service="test"),
        lambda: make_pool(settings, service="test"),
        lambda: migrate(url),
    ):
        with pytest.raises(RefusedToStart, match="METERSTREAM_POSTGRES__URL") as refused:
            use()
        assert "hid" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://127.0.0.1/db",
        "postgresql://h1,h2/db",
        "postgres://a:b%40@[::1]:5432,h:5433/db?sslmode=require",
        "host=h dbname=d",
    ],
)
def test_any_that_can_be_read_is_taken(url: str) -> None:
    assert readable_url(url) == url
