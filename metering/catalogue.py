"""Who and what is metered, by place of the log: organizations and meters at one version of the catalogue."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from metering.meters import Meter
from metering.positions import active
from metering.records import RecordBatch


@dataclass(frozen=True, slots=True)
class Organization:
    """A tenant. Its slug may be another's before `effective_positions` and from `archived_positions` on."""

    id: str
    slug: str
    effective_positions: tuple[int, ...] = ()
    archived_positions: tuple[int, ...] | None = None

    def active(self, partition: int, position: int) -> bool:
        """Say whether records at this place may be this organization's."""
        return active(self.effective_positions, self.archived_positions, partition, position)


@dataclass(frozen=True)
class Catalogue:
    """All organizations and meters, archived ones too: a replay decides as the first run did."""

    version: int
    organizations: tuple[Organization, ...] = ()
    meters: tuple[Meter, ...] = ()

    def organization_by_slug(self, slug: str, partition: int, position: int) -> Organization | None:
        """Return the organization that `slug` names at this place of the log."""
        for organization in self._by_slug.get(slug, ()):
            if organization.active(partition, position):
                return organization
        return None

    def meters_for(self, organization_id: str, event_type: str, partition: int, position: int) -> tuple[Meter, ...]:
        """Return the meters that read events of this type at this place of the log, in the order of their ids."""
        meters = self._by_type.get((organization_id, event_type), ())
        return tuple(meter for meter in meters if meter.active(partition, position))

    def pieces(self, batch: RecordBatch) -> Iterator[RecordBatch]:
        """Cut a stretch of the log where the catalogue changed: within a piece, one set of meters is in force."""
        changes = self._changes(batch.partition)
        inside = changes[bisect_right(changes, batch.from_position) : bisect_left(changes, batch.to_position)]
        for start, end in pairwise([batch.from_position, *inside, batch.to_position]):
            yield batch.slice(start, end)

    def _changes(self, partition: int) -> list[int]:
        """Return where something begins or ends, in order; every block asks."""
        known = self._changes_by_partition.get(partition)
        if known is None:
            things: list[Organization | Meter] = [*self.organizations, *self.meters]
            spans = [span for thing in things for span in (thing.effective_positions, thing.archived_positions) if span]
            known = self._changes_by_partition[partition] = sorted({span[partition] for span in spans})
        return known

    @cached_property
    def _changes_by_partition(self) -> dict[int, list[int]]:
        return {}

    @cached_property
    def _by_slug(self) -> dict[str, list[Organization]]:
        index: dict[str, list[Organization]] = {}
        for organization in self.organizations:
            index.setdefault(organization.slug, []).append(organization)
        return index

    @cached_property
    def _by_type(self) -> dict[tuple[str, str], list[Meter]]:
        index: dict[tuple[str, str], list[Meter]] = {}
        for meter in sorted(self.meters, key=lambda meter: meter.id):
            index.setdefault((meter.organization_id, meter.event_type), []).append(meter)
        return index
