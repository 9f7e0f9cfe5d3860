"""Quantities: what fits is kept to the last digit, what does not is refused."""

from __future__ import annotations

import decimal
import threading
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.numbers import EXACT, InvalidQuantity, canonical_text, exact_sum, parse_quantity

quantities = st.decimals(
    min_value=Decimal("-999999999999999"), max_value=Decimal("999999999999999"), places=18, allow_nan=False
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-7, "-7"),
        ("1", "1"),
        ("-0", "0"),
        ("-0.000", "0"),
        ("0.50", "0.5"),
        ("1e3", "1000"),
        ("12.5E-2", "0.125"),
        ("1.0000000000000000000000000", "1"),
        (Decimal("1E+2"), "100"),
        ("999999999999999.999999999999999999", "999999999999999.999999999999999999"),
        ("0.000000000000000001", "0.000000000000000001"),
    ],
)
def test_reads_what_fits(value: object, text: str) -> None:
    assert canonical_text(parse_quantity(value)) == text


@pytest.mark.parametrize(
    "value",
    [
        "1000000000000000",
        10**15,
        "1e15",
        "0.0000000000000000001",
        "1e-19",
        "1" * 40,
        "1e999999999999999999999",
        "0e999999999999999999999",
        Decimal("NaN"),
        Decimal("Infinity"),
        "NaN",
        "Infinity",
        "",
        " 1",
        "1 ",
        "+1",
        "01",
        ".5",
        "1.",
        "1_000",
        "0x10",
        "١",
        True,
        None,
        1.5,
        [],
        {},
    ],
)
def test_refuses_the_rest(value: object) -> None:
    with pytest.raises(InvalidQuantity):
        parse_quantity(value)


@given(quantities)
def test_canonical_text_reads_back_as_itself(quantity: Decimal) -> None:
    text = canonical_text(parse_quantity(quantity))
    assert parse_quantity(text) == quantity
    assert canonical_text(parse_quantity(text)) == text
    assert "E" not in text
    assert str(parse_quantity(quantity).as_tuple().exponent) in {str(-i) for i in range(19)}


@given(st.lists(quantities, max_size=50))
def test_sums_are_exact_in_a_thread_that_rounds(values: list[Decimal]) -> None:
    scaled = sum(int(value.scaleb(18, context=EXACT)) for value in values)
    sums: list[Decimal] = []

    def add_up() -> None:
        decimal.getcontext().prec = 3
        sums.append(exact_sum(parse_quantity(value) for value in values))

    thread = threading.Thread(target=add_up)
    thread.start()
    thread.join()
    assert int(sums[0].scaleb(18, context=EXACT)) == scaled


def test_a_sum_that_does_not_fit_raises_instead_of_rounding() -> None:
    with pytest.raises(decimal.Inexact):
        exact_sum([Decimal("1e70"), Decimal("1e-18")])
