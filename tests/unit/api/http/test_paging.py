from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.paging import by_creation, decode_cursor, decode_sorted_cursor, encode_cursor, page
from runtime.errors import InvalidInput


class Place(NamedTuple):
    at: datetime
    name: str
    number: int


texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))


@given(st.datetimes(), texts, st.integers(-(2**63), 2**63 - 1))
def test_a_cursor_comes_back_as_it_went(at: datetime, name: str, number: int) -> None:
    place = Place(at, name, number)
    assert decode_cursor(encode_cursor(place), Place) == place


@given(st.text(max_size=50))
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        decode_cursor(text, Place)


def test_nul_is_refused_before_a_store_sees_it() -> None:
    with pytest.raises(InvalidInput):
        decode_cursor(encode_cursor(Place(datetime(2026, 1, 1), "a\x00b", 1)), Place)  # noqa: DTZ001


def test_one_row_too_many_means_more() -> None:
    rows = [1, 2, 3]
    full = page(rows, 2, show=str, place=lambda row: (row,))
    assert (full["data"], full["has_more"]) == (["1", "2"], True)
    assert decode_cursor(full["next_cursor"], tuple[int]) == (2,)
    assert page(rows, 3, show=str, place=lambda row: (row,)) == {
        "data": ["1", "2", "3"],
        "next_cursor": None,
        "has_more": False,
    }


def test_a_cursor_belongs_to_its_sort() -> None:
    class Sorted(NamedTuple):
        sort: str
        number: int

    cursor = encode_cursor(Sorted("-created_at", 3))
    assert decode_sorted_cursor(cursor, Sorted, "-created_at") == Sorted("-created_at", 3)
    assert decode_sorted_cursor(None, Sorted, "created_at") is None
    with pytest.raises(InvalidInput, match="another order than sort=created_at"):
        decode_sorted_cursor(cursor, Sorted, "created_at")
    for other in (encode_cursor([]), encode_cursor([3, 3]), encode_cursor(["-created_at", "x"])):
        with pytest.raises(InvalidInput, match="of the page before, unchanged"):
            decode_sorted_cursor(other, Sorted, "-created_at")


async def test_a_page_by_creation_goes_on_behind_its_last_row() -> None:
    class Row(NamedTuple):
        id: UUID
        created_at: datetime

    rows = [Row(UUID(int=number), datetime(2026, 1, number, tzinfo=UTC)) for number in (1, 2)]
    first = await by_creation(sort="created_at", limit=1)
    assert (first.listing.order, first.listing.after, first.listing.limit) == ("oldest", None, 2)
    shown = first.page(rows, show=lambda row: row.id.int)
    assert (shown["data"], shown["has_more"]) == ([1], True)
    second = await by_creation(sort="created_at", limit=1, cursor=shown["next_cursor"])
    assert second.listing.after == (rows[0].created_at, str(rows[0].id))
