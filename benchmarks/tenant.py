"""The organization that the load names, its meters and a key, made as the API makes them."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass

from benchmarks.load import EVENT_TYPE, ORGANIZATION, VALUE_PROPERTY
from metering.meters import Meter, build_meter
from metering.topics import USAGE_EVENTS
from runtime.settings import Settings
from sinks.kafka.topics import topic_name
from sinks.postgres.access import open_postgres
from sinks.postgres.api_keys import create_key
from sinks.postgres.catalogue_changes import LogShape
from sinks.postgres.meters import create_meter
from sinks.postgres.organizations import create_organization


@dataclass(frozen=True, slots=True)
class Tenant:
    """One organization; `meters` by turns a SUM and a COUNT."""

    id: str
    meters: list[Meter]
    key: str


def make_tenant(settings: Settings, *, meters: int = 2) -> Tenant:
    """Create it in an empty database: it reads the log from its beginning."""
    return asyncio.run(_make(settings, meters))


async def _make(settings: Settings, count: int) -> Tenant:
    shape = LogShape(topic_name(settings.kafka, USAGE_EVENTS), settings.kafka.partitions)
    async with open_postgres(settings.postgres, service="bench") as connection:
        owner = await create_organization(connection, slug=ORGANIZATION, name="Benchmark", shape=shape)
        made = []
        for number in range(count):
            counts = number % 2 == 1
            meter = build_meter(
                id=str(uuid.UUID(int=0)),  # Postgres gives it another
                organization_id=owner.id,
                slug=f"{'events' if counts else 'tokens'}_{number // 2 + 1}",
                event_type=EVENT_TYPE,
                aggregation="COUNT" if counts else "SUM",
                value_property=None if counts else VALUE_PROPERTY,
            )
            row = await create_meter(connection, meter, name=meter.slug, description="", shape=shape)
            made.append(
                build_meter(
                    id=row.id,
                    organization_id=owner.id,
                    slug=row.slug,
                    event_type=row.event_type,
                    aggregation=row.aggregation,
                    value_property=row.value_property,
                )
            )
        _, secret = await create_key(connection, organization_id=owner.id, name="bench", scopes=["admin"])
    return Tenant(owner.id, made, secret)
