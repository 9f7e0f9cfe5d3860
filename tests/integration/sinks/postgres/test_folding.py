"""Folded journal rows say what their blocks said, and only old, loaded blocks are folded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import psycopg
import pytest

from metering.blocks import BlockResult, DeadLetter, Outcome
from runtime.settings import Settings
from sinks.postgres.access import WORKER_ROLE
from sinks.postgres.blocks import BlockWriter, unpack_counted
from sinks.postgres.folding import fold_old_blocks, hold_journal_still
from sinks.postgres.pool import connect
from sinks.postgres.positions import begin_partition
from tests.engines import wait_for
from tests.factories import HOUR_MS, NOON_MS, make_batch

pytestmark = pytest.mark.integration
TOPIC = "usage.events.v1"
HOUR = NOON_MS // HOUR_MS
JOURNAL = """
select from_position, to_position, records, counted, duplicates, rejected, forwarded, counted_bits,
       extract(epoch from arrival_hour)::bigint / 3600
from stream_blocks order by from_position
"""


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection]:
    with connect(settings.postgres, service="test", role=WORKER_ROLE) as connection:
        yield connection


@pytest.fixture
def journal(connection: psycopg.Connection) -> psycopg.Connection:
    """Five blocks of the first hour (one of them empty), one of the next; all of the first hour are loaded."""
    writer = BlockWriter(connection, TOPIC, 0, begin_partition(connection, TOPIC, 0))
    position = 0
    for records, hour, fates in [
        (4, 0, [0, 1, 2, 3]),
        (3, 0, [0, 0, 0]),
        (0, 0, []),
        (9, 0, [1] * 9),
        (2, 0, [0, 1]),
        (5, 1, [0] * 5),
    ]:
        end = position + (records or 2)
        batch = make_batch(
            [b"x"] * records, from_position=position, to_position=end, arrivals_ms=NOON_MS + hour * HOUR_MS
        )
        dead = [
            DeadLetter(row, "INVALID_JSON", "", None, None)
            for row, fate in enumerate(fates)
            if fate == Outcome.REJECTED
        ]
        writer.commit(batch, BlockResult(np.array(fates, np.uint8), dead), catalogue_version=1)
        position = end
    connection.execute(
        "insert into warehouse_loads (topic, partition, from_position, to_position, counted, state) "
        "values (%s, 0, 0, 20, 5, 'done')",
        (TOPIC,),
    )
    return connection


def test_an_hour_becomes_one_row_that_says_the_same(journal: psycopg.Connection) -> None:
    assert fold_old_blocks(journal, TOPIC, 0, before_hour=HOUR + 1) == 4
    folded, newest = journal.execute(JOURNAL).fetchall()
    assert folded[:7] == (0, 20, 18, 5, 11, 1, 1)
    assert folded[8] == HOUR
    expected = [1, 0, 0, 0, 1, 1, 1, *[0] * 9, 1, 0]
    assert unpack_counted(folded[7], 18).astype(int).tolist() == expected
    assert newest[:3] == (20, 25, 5)
    assert fold_old_blocks(journal, TOPIC, 0, before_hour=HOUR + 1) == 0


def test_what_is_not_loaded_yet_stays(journal: psycopg.Connection) -> None:
    journal.execute("update warehouse_loads set to_position = 7, counted = 4")
    assert fold_old_blocks(journal, TOPIC, 0, before_hour=HOUR + 1) == 1
    assert [row[:2] for row in journal.execute(JOURNAL).fetchall()] == [(0, 7), (7, 9), (9, 18), (18, 20), (20, 25)]


def test_the_hour_in_hand_stays(journal: psycopg.Connection) -> None:
    assert fold_old_blocks(journal, TOPIC, 0, before_hour=HOUR) == 0


def test_blocks_decided_by_other_meters_stay_apart(journal: psycopg.Connection, settings: Settings) -> None:
    with connect(settings.postgres, service="test") as owner:
        owner.execute("update stream_blocks set catalogue_version = 2 where from_position >= 9")
    assert fold_old_blocks(journal, TOPIC, 0, before_hour=HOUR + 1) == 3
    assert [row[:2] for row in journal.execute(JOURNAL).fetchall()] == [(0, 9), (9, 20), (20, 25)]


def test_a_rebuild_keeps_the_journal_as_it_is(journal: psycopg.Connection, settings: Settings) -> None:
    with connect(settings.postgres, service="test") as rebuild:
        hold_journal_still(rebuild)
        assert fold_old_blocks(journal, TOPIC, 0, before_hour=HOUR + 1) == 0
    # A closed connection's locks go when its server process ends.
    wait_for("the rows are folded", lambda: fold_old_blocks(journal, TOPIC, 0, before_hour=HOUR + 1) == 4)
