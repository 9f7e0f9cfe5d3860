from __future__ import annotations

import psycopg
import pytest

from runtime.errors import ConflictError, InvalidInput, NotFoundError, Transient
from runtime.settings import Settings
from sinks.postgres.access import open_postgres
from sinks.postgres.catalogue import read_catalogue
from sinks.postgres.catalogue_changes import LogShape
from sinks.postgres.locks import PARTITION_LOCK
from sinks.postgres.organizations import archive_organization, create_organization, find_organization

SHAPE = LogShape("usage.events.v1", 3)


async def test_an_organization_begins_and_ends_at_places_of_the_log(settings: Settings) -> None:
    async with open_postgres(settings.postgres, service="test") as connection:
        await connection.execute("insert into stream_positions values ('metering', 'usage.events.v1', 1, 7)")
        await connection.execute("insert into stream_positions values ('metering', 'another.topic', 1, 99)")
        made = await create_organization(connection, slug="acme", name="Acme", shape=SHAPE)
        await connection.execute("update stream_positions set position = 9 where topic = 'usage.events.v1'")
        await archive_organization(connection, slug="acme", shape=SHAPE)
        with pytest.raises(NotFoundError):
            await archive_organization(connection, slug="acme", shape=SHAPE)
        with pytest.raises(ConflictError):
            await create_organization(connection, slug="acme", name="Again", shape=SHAPE)
        found = await find_organization(connection, id=made.id)
        assert found is not None
        assert found.archived_at is not None
        assert await find_organization(connection, slug="nobody") is None
    with psycopg.connect(settings.postgres.url.get_secret_value(), autocommit=True) as blocking:
        catalogue = read_catalogue(blocking)
    # Two changes; what was refused changed nothing.
    assert catalogue.version == 3
    (organization,) = catalogue.organizations
    assert organization.effective_positions == (0, 7, 0)
    assert organization.archived_positions == (0, 9, 0)


@pytest.mark.parametrize(("slug", "name"), [("Acme", "x"), ("", "x"), ("a" * 64, "x"), ("ok", ""), ("ok", "a\x00")])
async def test_unfit_names_are_refused(settings: Settings, slug: str, name: str) -> None:
    async with open_postgres(settings.postgres, service="test") as connection:
        with pytest.raises(InvalidInput):
            await create_organization(connection, slug=slug, name=name, shape=SHAPE)


async def test_a_block_that_does_not_let_go_is_told_as_transient(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sinks.postgres import catalogue_changes

    shorter = {**catalogue_changes._SQL, "bound_wait": b"set local lock_timeout = '200ms'"}
    monkeypatch.setattr(catalogue_changes, "_SQL", shorter)
    with psycopg.connect(settings.postgres.url.get_secret_value()) as block:
        block.execute("select pg_advisory_xact_lock_shared(%s, 2)", (PARTITION_LOCK,))
        async with open_postgres(settings.postgres, service="test") as connection:
            with pytest.raises(Transient):
                await create_organization(connection, slug="acme", name="Acme", shape=SHAPE)
