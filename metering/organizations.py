"""Whose events these are: the header's slug, the body's or the default, for many records at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from metering.arrow_arrays import as_array
from metering.catalogue import Catalogue, Organization
from metering.events import read_organization_header
from metering.rejections import Rejection

NONE = -1


@dataclass(slots=True)
class Slugs:
    """The distinct slugs of a block, by number."""

    texts: list[str] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)

    def number(self, slug: str | None) -> int:
        """Return a slug's number, NONE for none."""
        if slug is None:
            return NONE
        number = self._numbers.setdefault(slug, len(self.texts))
        if number == len(self.texts):
            self.texts.append(slug)
        return number

    def organizations(self, catalogue: Catalogue, partition: int, position: int) -> list[Organization | None]:
        """Return whom each slug names at this place of the log."""
        return [catalogue.organization_by_slug(slug, partition, position) for slug in self.texts]


@dataclass(frozen=True, slots=True)
class HeaderSlugs:
    """What the records' headers say."""

    numbers: NDArray[np.int64]
    """Of the slug that each row's header names; NONE where there is none, or where it is rejected."""
    rejections: dict[int, Rejection]
    """By row."""


def read_headers(headers: list[bytes | None], slugs: Slugs) -> HeaderSlugs:
    """Read the header `organization` of each record; few distinct ones are expected, and each is read once."""
    distinct = {header: read_organization_header(header) for header in set(headers)}
    if distinct.keys() == {None}:
        return HeaderSlugs(np.full(len(headers), NONE), {})
    by_header = {
        header: NONE if isinstance(slug, Rejection) else slugs.number(slug) for header, slug in distinct.items()
    }
    rejections: dict[int, Rejection] = {}
    if any(isinstance(slug, Rejection) for slug in distinct.values()):
        for row, header in enumerate(headers):
            slug = distinct[header]
            if isinstance(slug, Rejection):
                rejections[row] = slug
    return HeaderSlugs(_numbers((by_header[header] for header in headers), len(headers)), rejections)


def choose_slugs(
    headers: NDArray[np.int64], named: pa.StringArray, default: str | None, slugs: Slugs
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return each row's slug and whether header and body agree on one (`events.read_envelope` has the rule)."""
    if named.null_count == len(named):
        bodies: NDArray[np.int64] = np.full(len(named), NONE)
    else:
        encoded = as_array(named.dictionary_encode())
        numbers = _numbers(map(slugs.number, encoded.dictionary.to_pylist()), len(encoded.dictionary))
        codes = encoded.indices.fill_null(len(numbers)).to_numpy(zero_copy_only=False)
        bodies = np.append(numbers, NONE)[codes]
    chosen = np.where(headers != NONE, headers, np.where(bodies != NONE, bodies, slugs.number(default)))
    agreed = (headers == NONE) | (bodies == NONE) | (headers == bodies)
    return chosen, agreed & (chosen != NONE)


def _numbers(values: Iterable[int], count: int) -> NDArray[np.int64]:
    return np.fromiter(values, np.int64, count)
