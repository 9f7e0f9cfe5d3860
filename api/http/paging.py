"""Lists: `?limit=&cursor=` → `{"data": […], "next_cursor": …, "has_more": …}`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from fastapi import Query
from pydantic import BaseModel, Field

from runtime.errors import InvalidInput

T = TypeVar("T")
Row = TypeVar("Row")
C = TypeVar("C")

Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many.")]
Cursor = Annotated[
    str | None, Query(max_length=2000, description="`next_cursor` of the page before; leave the filters as they were.")
]


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
