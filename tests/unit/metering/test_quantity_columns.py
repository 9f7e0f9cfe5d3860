"""Quantities in columns lose nothing."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from metering.numbers import canonical_text, exact_sum, parse_quantity
from metering.quantity_columns import Quantities, no_quantities

LARGEST = Decimal("999999999999999.999999999999999999")
EXACT = st.integers(-(10**33) + 1, 10**33 - 1).map(lambda scaled: parse_quantity(f"{scaled}e-18"))
NANOS = st.one_of(
    st.decimals(min_value=Decimal(-(10**20)) + 1, max_value=Decimal(10**20) - 1, places=9),
    st.decimals(min_value=-10, max_value=10, places=9),
)


def quantities(values: list[Decimal]) -> Quantities:
    return Quantities.of_exact(values)


@given(values=st.lists(EXACT))
def test_writes_them_as_people_do(values: list[Decimal]) -> None:
    assert quantities(values).texts() == [canonical_text(value) for value in values]
    assert quantities(values).as_decimals().to_pylist() == values


@given(values=st.lists(EXACT, min_size=1), cuts=st.sets(st.integers(1, 20)))
@example(values=[LARGEST] * 2_000, cuts=set())
@example(values=[-LARGEST] * 20_000, cuts={5})
@example(values=[Decimal("-0.5"), Decimal("0.25")], cuts=set())
def test_adds_up_exactly(values: list[Decimal], cuts: set[int]) -> None:
    starts = [0, *sorted(cut for cut in cuts if cut < len(values))]
    parts = [values[start:stop] for start, stop in pairwise([*starts, len(values)])]
    expected = [canonical_text(exact_sum(part)) for part in parts]
    assert quantities(values).sums(np.array(starts)) == expected


@given(values=st.lists(st.one_of(st.none(), NANOS)), start=st.integers(0, 3))
def test_takes_arrows_decimals(values: list[Decimal | None], start: int) -> None:
    taken = Quantities.of_decimals(pa.array(values, pa.decimal128(29, 9)).slice(start))
    texts, fits = taken.texts(), taken.fits().tolist()
    for value, text, fitting in zip(values[start:], texts, fits, strict=True):
        if value is not None:
            assert fitting == (abs(value) < 10**15)
            assert not fitting or text == canonical_text(value)


@given(values=st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))))
def test_takes_arrows_integers(values: list[int | None]) -> None:
    taken = Quantities.of_integers(pa.array(values, pa.int64()))
    for value, text, fitting in zip(values, taken.texts(), taken.fits().tolist(), strict=True):
        if value is not None:
            assert text == str(value)
            assert fitting == (abs(value) < 10**15)


@given(values=st.lists(EXACT, min_size=1), others=st.lists(EXACT))
def test_orders_by_value(values: list[Decimal], others: list[Decimal]) -> None:
    both = quantities(values).followed_by(quantities(others))
    ordered = both.chosen(np.lexsort(both.sort_keys())).as_decimals().to_pylist()
    assert ordered == sorted(values + others)


def test_none_is_zero() -> None:
    assert no_quantities(2).texts() == ["0", "0"]
    assert no_quantities(0).as_decimals().to_pylist() == []
