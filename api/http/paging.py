"""Lists: `?limit=&cursor=` → `{"data": […], "next_cursor": …, "has_more": …}`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Generic, Literal, NamedTuple, Protocol, TypeVar
from uuid import UUID

import msgspec
from fastapi import Depends, Query
from pydantic import BaseModel, Field

from api.http.query_parameters import From, To
from runtime.errors import InvalidInput
from sinks.postgres.listing import Listing, Order

T = TypeVar("T")
Row = TypeVar("Row")
C = TypeVar("C")

Limit = Annotated[int, Query(ge=1, le=1000, description="The most rows in a page.")]
Cursor = Annotated[
    str | None,
    Query(max_length=2000, description="`next_cursor` of the page before; leave filters and sort as they were."),
]
CreationSort = Literal["-created_at", "created_at"]
Sort = Annotated[CreationSort, Query(description="Newest first, or oldest first.")]
NEWEST_FIRST: Final = "-created_at"


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    data: list[T]
    next_cursor: str | None = Field(description="Pass it as `cursor` for the next page; null on the last one.")
    has_more: bool


def encode_cursor(place: Sequence[Any]) -> str:
    """Return an opaque text that names a row's place in its list."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(place))).decode().rstrip("=")


def decode_cursor(cursor: str | None, kind: type[C]) -> C | None:
    """Return the place that a cursor names, checked to be of `kind` (a NamedTuple or tuple). Raises: InvalidInput."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        if b"\\u0000" in raw:  # no name holds NUL, and Postgres refuses it
            raise InvalidInput("cursor: send `next_cursor` of the page before, unchanged", field="cursor")
        return msgspec.json.decode(raw, type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as exc:
        raise InvalidInput("cursor: send `next_cursor` of the page before, unchanged", field="cursor") from exc


def decode_sorted_cursor(cursor: str | None, kind: type[C], sort: str) -> C | None:
    """Return the place that a cursor names, whose first part is the sort of its list. Raises: InvalidInput."""
    parts = decode_cursor(cursor, list[Any])
    if parts and isinstance(parts[0], str) and parts[0] != sort:
        raise InvalidInput(
            f"cursor: belongs to the same list in another order than sort={sort}; repeat the sort that it came with, or"
            " begin again without a cursor",
            field="cursor",
        )
    return decode_cursor(cursor, kind)


def page(
    rows: Sequence[Row], limit: int, *, show: Callable[[Row], Any], place: Callable[[Row], Sequence[Any]]
) -> dict[str, Any]:
    """Return a page of rows that were read with `limit` + 1: one too many says that there are more."""
    shown = rows[:limit]
    has_more = len(rows) > limit
    return {
        "data": [show(row) for row in shown],
        "next_cursor": encode_cursor(place(shown[-1])) if has_more else None,
        "has_more": has_more,
    }


class Created(Protocol):
    """A row of a list by creation."""

    @property
    def id(self) -> Any:
        """A UUID."""

    @property
    def created_at(self) -> datetime:
        """The instant of its creation."""


CreatedRow = TypeVar("CreatedRow", bound=Created)


class CreationPlace(NamedTuple):
    """A row's place in a list by creation."""

    sort: str
    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class ByCreation:
    """A page of a list by creation, as it was asked for."""

    sort: CreationSort
    limit: int
    listing: Listing
    """What a store reads: one row too many."""

    def page(self, rows: Sequence[CreatedRow], *, show: Callable[[CreatedRow], Any]) -> dict[str, Any]:
        """Return the page of rows that were read as `listing` says."""
        return page(
            rows, self.limit, show=show, place=lambda row: CreationPlace(self.sort, row.created_at, UUID(str(row.id)))
        )


def creation_order(sort: CreationSort) -> Order:
    """Return which end a list begins at."""
    return "newest" if sort == NEWEST_FIRST else "oldest"


async def by_creation(
    *,
    since: From = None,
    until: To = None,
    sort: Sort = NEWEST_FIRST,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> ByCreation:
    """Read the query parameters of a list by creation. Raises: InvalidInput."""
    return listed_by_creation(sort, limit, cursor, since=since, until=until)


async def newest_first(*, limit: Limit = 100, cursor: Cursor = None) -> ByCreation:
    """Read the query parameters of a list that has one order only. Raises: InvalidInput."""
    return listed_by_creation(NEWEST_FIRST, limit, cursor)


def listed_by_creation(
    sort: CreationSort,
    limit: int,
    cursor: str | None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> ByCreation:
    """Return the page of a list by creation that these parameters mean. Raises: InvalidInput."""
    place = decode_sorted_cursor(cursor, CreationPlace, sort)
    after = None if place is None else (place.created_at, str(place.id))
    order = creation_order(sort)
    return ByCreation(sort, limit, Listing(order=order, since=since, until=until, after=after, limit=limit + 1))


Listed = Annotated[ByCreation, Depends(by_creation)]
NewestFirst = Annotated[ByCreation, Depends(newest_first)]
