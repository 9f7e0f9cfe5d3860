"""The block's transaction: all or nothing, exactly once, refused when it is not ours or was decided by old meters."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import psycopg
import pytest
from psycopg.rows import tuple_row

from metering.blocks import BlockResult, DeadLetter, MeterDeltas, Outcome
from runtime.errors import Transient
from runtime.settings import PostgresSettings, Settings
from sinks.postgres.access import WORKER_ROLE
from sinks.postgres.blocks import BlockWriter, Committed, pack_counted, unpack_counted
from sinks.postgres.locks import PARTITION_LOCK
from sinks.postgres.pool import connect
from sinks.postgres.positions import begin_partition
from tests.factories import make_batch

pytestmark = pytest.mark.integration
TOPIC = "usage.events.v1"
ORGANIZATION = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def postgres(settings: Settings) -> PostgresSettings:
    return settings.postgres


@pytest.fixture
def connection(postgres: PostgresSettings) -> Iterator[psycopg.Connection]:
    """The owner's, who sees what was written."""
    with connect(postgres, service="test") as connection:
        yield connection


@pytest.fixture
def working(postgres: PostgresSettings) -> Iterator[psycopg.Connection]:
    """A worker's."""
    with connect(postgres, service="test", role=WORKER_ROLE) as connection:
        yield connection


@pytest.fixture
def writer(working: psycopg.Connection) -> BlockWriter:
    return BlockWriter(working, TOPIC, 0, begin_partition(working, TOPIC, 0))


def _deltas(number: int, aggregation: str, rows: list[tuple[str, int, str | None, int]], **more: object) -> MeterDeltas:
    subjects, minutes, quantities, events = zip(*rows, strict=True)
    return MeterDeltas(
        meter_id=f"22222222-2222-2222-2222-{number:012d}",
        organization_id=ORGANIZATION,
        aggregation=aggregation,
        subjects=list(subjects),
        minutes=np.array(minutes, dtype=np.int64),
        quantities=None if quantities[0] is None else [str(quantity) for quantity in quantities],
        events=np.array(events, dtype=np.int64),
        **more,  # type: ignore[arg-type]
    )


def _result(records: int, deltas: list[MeterDeltas], dead: list[DeadLetter] | None = None) -> BlockResult:
    outcomes = np.zeros(records, dtype=np.uint8)
    for letter in dead or []:
        outcomes[letter.row] = Outcome.REJECTED
    return BlockResult(outcomes, dead or [], deltas)


def _totals(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    query = (
        "select subject, extract(epoch from minute)::int / 60, quantity, events from usage_minutes order by 1, 2, 3, 4"
    )
    return connection.cursor(row_factory=tuple_row).execute(query).fetchall()


def test_blocks_add_up_by_aggregation(writer: BlockWriter, connection: psycopg.Connection) -> None:
    latest = {"latest_times_us": np.array([50]), "latest_offsets": np.array([1])}
    earlier = {"latest_times_us": np.array([40]), "latest_offsets": np.array([9])}
    first = [
        _deltas(1, "SUM", [("b", 10, "0.1", 2), ("a", 10, "12345678901234567890.000000000000000001", 1)]),
        _deltas(2, "COUNT", [("a", 10, None, 3)]),
        _deltas(3, "MIN", [("a", 10, "5", 1)]),
        _deltas(4, "MAX", [("a", 10, "5", 1)]),
        _deltas(5, "LATEST", [("a", 10, "5", 1)], **latest),
        _deltas(6, "AVG", [("a", 10, "5", 1)]),
        _deltas(
            7,
            "UNIQUE_COUNT",
            [("a", 10, None, 2)],
            value_hashes=(["a", "a"], np.array([10, 10]), [b"x" * 16, b"y" * 16]),
        ),
    ]
    second = [
        _deltas(1, "SUM", [("a", 10, "0.000000000000000001", 1), ("a", 11, "-1", 1)]),
        _deltas(2, "COUNT", [("a", 10, None, 4)]),
        _deltas(3, "MIN", [("a", 10, "4", 1)]),
        _deltas(4, "MAX", [("a", 10, "4", 1)]),
        _deltas(5, "LATEST", [("a", 10, "4", 1)], **earlier),
        _deltas(6, "AVG", [("a", 10, "-7", 1)]),
        _deltas(
            7,
            "UNIQUE_COUNT",
            [("a", 10, None, 2)],
            value_hashes=(["a", "a"], np.array([10, 10]), [b"x" * 16, b"z" * 16]),
        ),
    ]
    assert writer.commit(make_batch([b"1"] * 9), _result(9, first), catalogue_version=1) is Committed.DONE
    batch = make_batch([b"2"] * 8, from_position=9)
    assert writer.commit(batch, _result(8, second), catalogue_version=1) is Committed.DONE
    assert sorted(map(str, _totals(connection))) == sorted(
        map(
            str,
            [
                ("a", 10, Decimal("12345678901234567890.000000000000000002"), 2),
                ("a", 11, Decimal(-1), 1),
                ("b", 10, Decimal("0.1"), 2),
                ("a", 10, None, 7),
                ("a", 10, Decimal(4), 2),
                ("a", 10, Decimal(5), 2),
                ("a", 10, Decimal(5), 2),
                ("a", 10, Decimal(-2), 2),
                ("a", 10, None, 4),
            ],
        )
    )
    assert connection.execute("select count(*) from usage_values").fetchone() == (3,)


def test_the_same_block_twice_is_written_once(
    writer: BlockWriter, connection: psycopg.Connection, postgres: PostgresSettings
) -> None:
    batch, result = make_batch([b"1"]), _result(1, [_deltas(1, "SUM", [("a", 10, "1", 1)])])
    assert writer.commit(batch, result, catalogue_version=1) is Committed.DONE
    # After a restart, or a commit whose answer was lost.
    with connect(postgres, service="test", role=WORKER_ROLE) as other:
        again = BlockWriter(other, TOPIC, 0, 0)
        assert again.commit(batch, result, catalogue_version=1) is Committed.ALREADY
        assert again.position == 1
        assert _totals(connection) == [("a", 10, Decimal(1), 1)]


def test_a_partition_that_moved_on_is_left_alone(writer: BlockWriter, postgres: PostgresSettings) -> None:
    result = _result(5, [_deltas(1, "SUM", [("a", 10, "5", 5)])])
    assert writer.commit(make_batch([b"1"] * 5), result, catalogue_version=1) is Committed.DONE
    with connect(postgres, service="test", role=WORKER_ROLE) as other:
        late = BlockWriter(other, TOPIC, 0, 0)
        assert late.commit(make_batch([b"1"] * 3), _result(3, []), catalogue_version=1) is Committed.MOVED
        assert late.position == 5
        assert other.execute("select count(*) from stream_blocks").fetchone() == (1,)


def test_two_owners_at_once_write_one_block(
    writer: BlockWriter, connection: psycopg.Connection, postgres: PostgresSettings
) -> None:
    batch, ends = make_batch([b"1"] * 3), []
    barrier = threading.Barrier(8)

    def commit() -> None:
        with connect(postgres, service="test", role=WORKER_ROLE) as own:
            rival = BlockWriter(own, TOPIC, 0, 0)
            barrier.wait()
            ends.append(rival.commit(batch, _result(3, [_deltas(1, "SUM", [("a", 10, "3", 3)])]), catalogue_version=1))

    threads = [threading.Thread(target=commit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(end.name for end in ends) == ["ALREADY"] * 7 + ["DONE"]
    assert _totals(connection) == [("a", 10, Decimal(3), 3)]


def test_old_meters_are_not_used(writer: BlockWriter, connection: psycopg.Connection) -> None:
    connection.execute("update catalogue_version set version = 2")
    result = _result(1, [_deltas(1, "SUM", [("a", 10, "1", 1)])])
    assert writer.commit(make_batch([b"1"]), result, catalogue_version=1) is Committed.STALE_CATALOGUE
    assert _totals(connection) == []
    assert writer.commit(make_batch([b"1"]), result, catalogue_version=2) is Committed.DONE
    assert _totals(connection) == [("a", 10, Decimal(1), 1)]


def test_a_catalogue_change_waits_for_the_block_and_the_block_for_it(
    writer: BlockWriter, postgres: PostgresSettings
) -> None:
    ended: list[Committed] = []
    result = _result(1, [_deltas(1, "SUM", [("a", 10, "1", 1)])])
    with connect(postgres, service="test") as changer:
        with changer.transaction():
            changer.execute("select pg_advisory_xact_lock(%s, 0)", (PARTITION_LOCK,))
            changer.execute("update catalogue_version set version = 2")
            block = threading.Thread(
                target=lambda: ended.append(writer.commit(make_batch([b"1"]), result, catalogue_version=1))
            )
            block.start()
            block.join(timeout=0.3)
            assert block.is_alive()
        block.join(timeout=10)
    assert ended == [Committed.STALE_CATALOGUE]


def test_a_lost_connection_leaves_nothing_behind(
    writer: BlockWriter, connection: psycopg.Connection, working: psycopg.Connection
) -> None:
    connection.execute("select pg_terminate_backend(%s, 10000)", (working.info.backend_pid,))
    with pytest.raises(Transient):
        writer.commit(make_batch([b"1"]), _result(1, []), catalogue_version=1)
    assert connection.execute("select position from stream_positions").fetchall() == [(0,)]
    assert connection.execute("select count(*) from stream_blocks").fetchone() == (0,)


def test_a_rollback_does_not_leave_series_behind_in_memory(writer: BlockWriter, connection: psycopg.Connection) -> None:
    impossible = _result(1, [_deltas(1, "SUM", [("a", 10, "1", 1)]), _deltas(2, "SUM", [("a", 10, "no number", 1)])])
    with pytest.raises(Exception, match="refused a statement"):
        writer.commit(make_batch([b"1"]), impossible, catalogue_version=1)
    good = _result(1, [_deltas(1, "SUM", [("a", 10, "1", 1)])])
    assert writer.commit(make_batch([b"1"]), good, catalogue_version=1) is Committed.DONE
    assert _totals(connection) == [("a", 10, Decimal(1), 1)]


def test_dead_letters_keep_what_came(writer: BlockWriter, connection: psycopg.Connection) -> None:
    raw = b"\xff\x00" + b"x" * 100_000
    letters = [DeadLetter(1, "INVALID_JSON", "no JSON\x00 at all", None, "id\x00\ud800")]
    batch = make_batch([b"1", raw, None])
    assert writer.commit(batch, _result(3, [], letters), catalogue_version=1) is Committed.DONE
    row = connection.execute(
        'select "offset", code, message, event_id, raw, raw_bytes, organization_id from dead_letters'
    ).fetchone()
    assert row is not None
    assert row[:2] == (1, "INVALID_JSON")
    assert bytes(row[4]) == raw[:65_536]
    assert row[5:] == (100_002, None)
    block = connection.execute("select records, counted, rejected, counted_bits from stream_blocks").fetchone()
    assert block is not None
    assert block[:3] == (3, 2, 1)
    assert unpack_counted(block[3], 3).tolist() == [True, False, True]


def test_an_empty_block_moves_the_position(writer: BlockWriter, connection: psycopg.Connection) -> None:
    assert writer.commit(make_batch([], to_position=7), _result(0, []), catalogue_version=1) is Committed.DONE
    assert connection.execute("select position from stream_positions").fetchone() == (7,)


@pytest.mark.parametrize("counted", [[], [True], [False], [True] * 9, [True, False] * 1_000])
def test_counted_bits_come_back(counted: list[bool]) -> None:
    bits = np.array(counted, dtype=np.bool_)
    assert unpack_counted(pack_counted(bits), len(bits)).tolist() == counted
