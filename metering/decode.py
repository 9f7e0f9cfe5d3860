"""A block's records: which are rejected, which live elsewhere, which may count. The first half of a block's way.

batch ──► event_columns ──► home and organization ──► identities ──► `settle`, with the first-seen index's answers
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from metering import exact_json
from metering.arrow_arrays import as_array
from metering.blocks import DeadLetter
from metering.catalogue import Catalogue, Organization
from metering.columns import ReadPlan
from metering.event_columns import EventColumns, read_events
from metering.identities import Keys, body_hashes, identity_keys
from metering.partitions import home_partition
from metering.read_plans import ReadPlanner
from metering.records import RecordBatch
from metering.rejections import Code, Rejection

_HOMES_REMEMBERED: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Labels:
    """A column of few distinct values: each row's place among them."""

    distinct: list[str]
    places: NDArray[np.int64]

    def chosen(self, rows: NDArray[Any]) -> Labels:
        """Return the labels of some rows."""
        return Labels(self.distinct, self.places[rows])


@dataclass(frozen=True)
class Events:
    """Usable events of this partition's own subjects, in columns of equal length, oldest first."""

    batch: RecordBatch
    table: pa.Table
    """As in `EventColumns`."""
    rows: NDArray[np.int64]
    """Indexes into the batch."""
    organizations: list[Organization | None]
    organization: NDArray[np.int64]
    """Each event's place in `organizations`, never that of a None."""
    types: Labels
    subjects: Labels
    times_us: NDArray[np.int64]
    arrivals_ms: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def keys(self) -> Keys:
        """Return the identities. Made when asked for: who follows the journal needs none."""
        texts = (as_array(self.table[name]) for name in ("subject", "source", "id"))
        return identity_keys(_organization_ids(self.organizations, self.organization), *texts)

    @cached_property
    def body_hashes(self) -> NDArray[np.uint64]:
        """Return the hash of each body."""
        values = self.batch.values
        if len(self) < len(values):
            values = [values[row] for row in self.rows.tolist()]
        return body_hashes(value for value in values if value is not None)

    def organization_of(self, event: int) -> Organization:
        """Return the organization of the event at that place."""
        organization = self.organizations[int(self.organization[event])]
        assert organization is not None
        return organization


@dataclass(frozen=True)
class DecodedBlock:
    """A block before repeats are told apart."""

    batch: RecordBatch
    catalogue: Catalogue
    plan: ReadPlan
    rejected: list[DeadLetter]
    forwards: list[tuple[int, int]]
    """Rows that are not at home, and their home: to be produced there unchanged but for the first arrival's header,
    unless this is a replay."""
    events: Events
    exact: dict[int, Mapping[str, Any]] = field(repr=False)

    @property
    def keys(self) -> Keys:
        """Return what the first-seen index is asked for."""
        return self.events.keys

    def exact_data(self, row: int) -> Mapping[str, Any]:
        """Return a usable event's data as the exact rules read it."""
        data = self.exact.get(row)
        if data is None:
            raw = self.batch.values[row]
            assert raw is not None  # usable events have a body
            data = self.exact[row] = exact_json.loads(raw).get("data") or {}
        return data


@dataclass(slots=True)
class BlockDecoder:
    """Decodes blocks with one version of the catalogue. For one thread at a time."""

    catalogue: Catalogue
    partitions: int
    default_organization: str | None = None
    _planner: ReadPlanner = field(init=False)
    _homes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._planner = ReadPlanner(self.catalogue.meters)

    def decode(self, batch: RecordBatch) -> DecodedBlock:
        """Read a block; meters and organizations are those in force at its first position."""
        columns = read_events(batch, self._planner, self.default_organization)
        rejected = [
            _dead_letter(row, rejection, self._owner(rejection, batch)) for row, rejection in columns.rejections.items()
        ]
        rows = columns.table["row"].to_numpy()
        subjects = _label(columns.table["subject"])
        homes = self._homes_of(subjects.distinct)[subjects.places]
        organizations = columns.slugs.organizations(self.catalogue, batch.partition, batch.from_position)
        known = np.array([organization is not None for organization in organizations], np.bool_)
        at_home = homes == batch.partition
        usable = at_home & known[columns.slug] if len(rows) else at_home
        forwards: list[tuple[int, int]] = []
        for event in np.flatnonzero(~usable).tolist():
            row, home = int(rows[event]), int(homes[event])
            if home != batch.partition and batch.first_arrivals[row] is None:
                forwards.append((row, home))
            else:
                owner = organizations[columns.slug[event]]
                rejected.append(_dead_letter(row, _misplaced(columns, event, home, batch.partition), owner))
        events = _home_events(batch, columns, organizations, subjects, usable)
        return DecodedBlock(batch, self.catalogue, columns.plan, rejected, forwards, events, columns.exact)

    def _owner(self, rejection: Rejection, batch: RecordBatch) -> Organization | None:
        if rejection.organization is None:
            return None
        return self.catalogue.organization_by_slug(rejection.organization, batch.partition, batch.from_position)

    def _homes_of(self, subjects: list[str]) -> NDArray[np.int64]:
        if len(self._homes) > _HOMES_REMEMBERED:
            self._homes.clear()
        for subject in subjects:
            if subject not in self._homes:
                self._homes[subject] = home_partition(subject, self.partitions)
        return np.fromiter(map(self._homes.__getitem__, subjects), np.int64, len(subjects))


def _label(column: pa.ChunkedArray) -> Labels:
    encoded = as_array(as_array(column).dictionary_encode())
    return Labels(encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64))


def _dead_letter(row: int, rejection: Rejection, owner: Organization | None) -> DeadLetter:
    owner_id = None if owner is None else owner.id
    return DeadLetter(row, rejection.code, rejection.message, owner_id, rejection.event_id)


def _misplaced(columns: EventColumns, event: int, home: int, partition: int) -> Rejection:
    """Say why an event that keeps the rules is of no use here."""
    event_id = columns.table["id"][event].as_py()
    if home != partition:
        reason = f"forwarded to partition {partition}, but its home is {home}"
        return Rejection(Code.NOT_AT_HOME, reason, event_id)
    slug = columns.slugs.texts[columns.slug[event]]
    return Rejection(Code.UNKNOWN_ORGANIZATION, f"no organization {slug!r} here", event_id)


def _home_events(
    batch: RecordBatch,
    columns: EventColumns,
    organizations: list[Organization | None],
    subjects: Labels,
    usable: NDArray[np.bool_],
) -> Events:
    """Gather the usable events."""
    table, organization, times_us = columns.table, columns.slug, columns.times_us
    if not usable.all():
        table = table.filter(pa.array(usable)).combine_chunks()
        organization, times_us, subjects = organization[usable], times_us[usable], subjects.chosen(usable)
    rows = table["row"].to_numpy()
    return Events(
        batch=batch,
        table=table,
        rows=rows,
        organizations=organizations,
        organization=organization,
        types=_label(table["type"]),
        subjects=subjects,
        times_us=times_us,
        arrivals_ms=columns.arrivals_ms[rows],
    )


def _organization_ids(organizations: list[Organization | None], places: NDArray[np.int64]) -> pa.Array:
    ids = pa.array(["" if organization is None else organization.id for organization in organizations], pa.string())
    return pc.take(ids, pa.array(places))
