"""Reads the catalogue (organizations and meters) at one version, for workers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import psycopg

from metering.catalogue import Catalogue, Organization
from metering.meters import Meter, build_meter
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load

_SQL = load("catalogue")


def read_version(connection: psycopg.Connection) -> int:
    """Return the version of the catalogue; inside a block's transaction it holds still until the block is done."""
    with translated_errors():
        row = connection.execute(_SQL["version"]).fetchone()
    assert row is not None
    return int(row[0])


def read_catalogue(connection: psycopg.Connection) -> Catalogue:
    """Return the whole catalogue as of one moment."""
    with translated_errors(), connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        version = read_version(connection)
        organizations = connection.execute(_SQL["organizations"]).fetchall()
        meters = connection.execute(_SQL["meters"]).fetchall()
    return Catalogue(
        version,
        tuple(Organization(row[0], row[1], tuple(row[2]), tuple(row[3])) for row in organizations),
        tuple(_meter(row) for row in meters),
    )


def _meter(row: tuple[Any, ...]) -> Meter:
    return build_meter(
        id=row[0],
        organization_id=row[1],
        slug=row[2],
        event_type=row[3],
        aggregation=row[4],
        value_property=row[5],
        group_by=json.loads(row[6]),
        filters=json.loads(row[7], parse_float=Decimal),
        effective_positions=row[8],
        archived_positions=row[9],
    )
