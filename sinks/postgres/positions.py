"""Where each consumer stands in the log, and which log that is."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg

from runtime.errors import RefusedToStart
from sinks.postgres.pool import translated_errors
from sinks.postgres.queries import load

METERING = "metering"
_SQL = load("positions")


def read_positions(connection: psycopg.Connection, topic: str, *, consumer: str = METERING) -> dict[int, int]:
    """Return the position by partition; a partition that is absent stands at 0."""
    with translated_errors():
        rows = connection.execute(_SQL["positions"], {"consumer": consumer, "topic": topic}).fetchall()
    return {int(partition): int(position) for partition, position in rows}


def begin_partition(connection: psycopg.Connection, topic: str, partition: int, *, consumer: str = METERING) -> int:
    """Make sure that the partition has a position and return it."""
    with translated_errors():
        connection.execute(_SQL["begin_partition"], {"consumer": consumer, "topic": topic, "partition": partition})
    return read_positions(connection, topic, consumer=consumer)[partition]


def claim_topic(connection: psycopg.Connection, *, topic: str, topic_id: str, cluster_id: str, partitions: int) -> None:
    """Remember the log on first use; afterwards refuse every other one.

    Raises: RefusedToStart when the topic was made anew or belongs to another cluster.
    """
    with translated_errors():
        known = {"topic": topic, "topic_id": topic_id, "cluster_id": cluster_id, "partitions": partitions}
        connection.execute(_SQL["remember_topic"], known)
        row = connection.execute(_SQL["known_topic"], {"topic": topic}).fetchone()
    assert row is not None
    if row[1] != cluster_id:
        raise RefusedToStart(
            f"Kafka is another cluster ({cluster_id}) than the one that was counted ({row[1]}). Point "
            "METERSTREAM_KAFKA__BOOTSTRAP_SERVERS at that one, or begin with an empty Postgres database."
        )
    if row[0] != topic_id or row[2] != partitions:
        raise RefusedToStart(
            f"Topic {topic} was deleted and made anew: its positions mean other records now. Restore the old topic, or "
            "set METERSTREAM_KAFKA__TOPIC_PREFIX to begin a new log beside the old one."
        )


def refuse_lost_log(topic: str, positions: Mapping[int, int], bounds: Mapping[int, tuple[int, int]]) -> None:
    """Refuse a log that no longer has what comes next: `bounds` are the first position kept and the end.

    Raises: RefusedToStart.
    """
    for partition, (first, end) in sorted(bounds.items()):
        position = positions.get(partition, 0)
        if position > end:
            raise RefusedToStart(
                f"The log of {topic}, partition {partition}, ends at {end}, and was counted up to {position}: Kafka "
                "lost records, or runs on an older copy. Restore the log, or set METERSTREAM_KAFKA__TOPIC_PREFIX to "
                "begin a new one beside it."
            )
        if position < first:
            raise RefusedToStart(
                f"The log of {topic}, partition {partition}, begins at {first}, and was counted up to {position}: what "
                "lies between was deleted before it was counted. Restore the log, or set "
                "METERSTREAM_KAFKA__TOPIC_PREFIX to begin a new one beside it."
            )
