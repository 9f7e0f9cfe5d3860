"""Warehouse loads: the intent row that comes before the rows in ClickHouse, and the mark that follows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psycopg
from numpy.typing import NDArray

from metering.catalogue import Catalogue
from runtime.errors import UnexpectedError
from runtime.settings import PostgresSettings
from sinks.postgres.access import WORKER_ROLE
from sinks.postgres.blocks import unpack_counted
from sinks.postgres.catalogue import read_catalogue
from sinks.postgres.locks import LOAD_LOCK, REBUILD_LOADS_LOCK
from sinks.postgres.pool import connect, translated_errors
from sinks.postgres.positions import read_positions
from sinks.postgres.queries import load

_SQL = load("loads")
_MAX_BLOCKS = 10_000


@dataclass(frozen=True, slots=True)
class Load:
    """Whole journal blocks of a partition that go to ClickHouse under one id, as often as it takes."""

    id: int
    topic: str
    partition: int
    from_position: int
    to_position: int
    counted: int
    begun_before: bool = False
    """It was open already: some of its rows may be in ClickHouse."""


@dataclass(frozen=True, slots=True)
class LoadContents:
    """What the journal says of a load's records, in log order."""

    counted: NDArray[np.bool_]
    catalogue_version: int
    """The newest that decided any of them."""


class LoadJournal:
    """One partition's loads, over a connection of its own; used by one thread at a time."""

    def __init__(self, settings: PostgresSettings, topic: str, partition: int) -> None:
        self._connection = connect(settings, service="warehouse", role=WORKER_ROLE)
        self._topic = topic
        self._partition = partition
        self._place = {"topic": topic, "partition": partition}

    def may_load(self) -> bool:
        """Say whether no rebuild of ClickHouse asks the loaders to step back."""
        with translated_errors():
            row = self._connection.execute(_SQL["may_load"], {"lock": REBUILD_LOADS_LOCK}).fetchone()
        assert row is not None
        return bool(row[0])

    def claim(self) -> bool:
        """Become the only writer of the partition's loads, until the connection's end.

        False: another worker still is. Without this, one that was thought dead could repeat a load so late that
        ClickHouse has forgotten its token.
        """
        with translated_errors():
            keys = {"space": LOAD_LOCK, "partition": self._partition}
            row = self._connection.execute(_SQL["lock_loads"], keys).fetchone()
        assert row is not None
        return bool(row[0])

    @property
    def is_usable(self) -> bool:
        """Say whether the connection, and with it the claim, still holds."""
        return not (self._connection.closed or self._connection.broken)

    def close(self) -> None:
        """Close the connection, which lets another worker claim the partition."""
        self._connection.close()

    def catalogue(self) -> Catalogue:
        """Read the newest catalogue, which is right for every older position too."""
        return read_catalogue(self._connection)

    def position(self) -> int:
        """Return where the warehouse stands."""
        return warehouse_positions(self._connection, self._topic).get(self._partition, 0)

    def journaled_to(self) -> int:
        """Return where metering stands: the journal's end."""
        return read_positions(self._connection, self._topic).get(self._partition, 0)

    def next_load(self, *, up_to: int, max_records: int) -> Load | None:
        """Return the load to write: the open one, else a new one of whole blocks that end at `up_to` or before."""
        with translated_errors():
            row = self._connection.execute(_SQL["open_load"], self._place).fetchone()
            begun_before = row is not None
            if row is None:
                wanted = {"up_to": up_to, "max_records": max_records, "max_blocks": _MAX_BLOCKS}
                row = self._connection.execute(_SQL["begin_load"], {**self._place, **wanted}).fetchone()
        return None if row is None else Load(row[0], self._topic, self._partition, row[1], row[2], row[3], begun_before)

    def contents(self, load: Load) -> LoadContents:
        """Return what the load's blocks counted. Raises: UnexpectedError where the journal does not cover the load."""
        span = {"from_position": load.from_position, "to_position": load.to_position}
        with translated_errors():
            blocks = self._connection.execute(_SQL["blocks"], {**self._place, **span}).fetchall()
        position = load.from_position
        for block in blocks:
            if block[0] != position:
                break
            position = block[1]
        if position != load.to_position or sum(block[3] for block in blocks) != load.counted:
            raise UnexpectedError(f"The journal has changed under warehouse load {load.id}; run `meterstream ledger`.")
        return LoadContents(
            np.concatenate([unpack_counted(block[5], block[2]) for block in blocks]),
            max(block[4] for block in blocks),
        )

    def finish(self, load: Load) -> None:
        """Mark the load as done; doing so again changes nothing."""
        with translated_errors():
            self._connection.execute(_SQL["finish_load"], {"id": load.id})

    def loads_since(self, load: Load) -> int:
        """Return how many loads, of any partition, were begun after this one."""
        with translated_errors():
            row = self._connection.execute(_SQL["loads_since"], {"id": load.id}).fetchone()
        assert row is not None
        return int(row[0])


def warehouse_positions(connection: psycopg.Connection, topic: str) -> dict[int, int]:
    """Return the end of the last done load by partition; one that is absent stands at 0."""
    with translated_errors():
        rows = connection.execute(_SQL["done_positions"], {"topic": topic}).fetchall()
    return {int(partition): int(position) for partition, position in rows}


def intended_positions(connection: psycopg.Connection, topic: str) -> dict[int, int]:
    """Return the end of the last load, open or done, by partition: ClickHouse may hold rows up to there."""
    with translated_errors():
        rows = connection.execute(_SQL["intended_positions"], {"topic": topic}).fetchall()
    return {int(partition): int(position) for partition, position in rows}


def done_loads(connection: psycopg.Connection, topic: str, *, after_id: int = 0, limit: int = 1_000) -> Sequence[Load]:
    """Return done loads in the order of their ids, for the ledger."""
    with translated_errors():
        rows = connection.execute(_SQL["done_loads"], {"topic": topic, "after_id": after_id, "limit": limit}).fetchall()
    return [Load(*row) for row in rows]
