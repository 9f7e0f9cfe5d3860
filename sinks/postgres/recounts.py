"""Reads whole organizations out of Postgres, to be compared with a recount."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import psycopg

from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load
from sinks.recounts import HourKey, HourTotal

_SQL = load("recounts")


def read_hours(connection: psycopg.Connection, organization_id: str) -> dict[HourKey, HourTotal]:
    """Return every total of an organization, by meter, subject and hour."""
    key = {"organization_id": organization_id}
    with translated_errors(), connection.transaction():
        totals = connection.execute(_SQL["totals_by_hour"], key).fetchall()
        uniques = connection.execute(_SQL["uniques_by_hour"], key).fetchall()
    distinct = {HourKey(*row[:3]): int(row[3]) for row in uniques}
    hours = {}
    for slug, subject, hour, events, total, smallest, largest, latest in totals:
        place = HourKey(slug, subject, hour)
        hours[place] = HourTotal(events, total, smallest, largest, latest, distinct.get(place, 0))
    return hours


def count_dead_letters(
    connection: psycopg.Connection, topic: str, organization_id: str, *, since: Sequence[int]
) -> Counter[tuple[str | None, str]]:
    """Return how many dead letters of an organization, or of nobody, there are by (meter or None, code)."""
    values = {"topic": topic, "organization_id": organization_id, "positions": list(since)}
    with translated_errors():
        rows = connection.execute(_SQL["dead_letter_codes"], values).fetchall()
    return Counter({(meter, code): count for meter, code, count in rows})
