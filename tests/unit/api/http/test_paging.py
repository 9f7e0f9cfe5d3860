from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.paging import decode_cursor, encode_cursor, page
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
