"""Money is exact, of one currency, and refuses what Stripe could not charge."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.currencies import CURRENCIES, charge_step, decimals, read_currency
from billing.money import MAX_MINOR, Money, allocate, prorate, read_decimal, read_major, round_half_up, to_major
from runtime.errors import InvalidInput

amounts = st.integers(-(10**12), 10**12)
currencies = st.sampled_from(sorted(CURRENCIES))
weights = st.lists(
    st.integers(0, 10**6) | st.decimals(0, 1000, places=6, allow_nan=False, allow_infinity=False),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize(
    ("currency", "minor", "text"),
    [
        ("usd", 1250, "12.50 USD"),
        ("usd", -5, "-0.05 USD"),
        ("jpy", 500, "500 JPY"),
        ("kwd", 5120, "5.120 KWD"),
        ("isk", 500, "5.00 ISK"),  # docs.stripe.com/currencies: 5 ISK is the amount 500
        ("ugx", 500, "5.00 UGX"),
    ],
)
def test_amounts_have_the_decimals_that_stripe_documents(currency: str, minor: int, text: str) -> None:
    assert str(Money(minor, currency)) == text
    assert Money.from_major(text.split(maxsplit=1)[0], currency) == Money(minor, currency)


def test_charges_are_rounded_to_what_stripe_takes() -> None:
    assert Money(5124, "kwd").chargeable().amount_minor == 5120  # 5.124 KWD → 5120 or 5130, says the documentation
    assert Money(5125, "kwd").chargeable().amount_minor == 5130
    assert Money(1049, "ugx").chargeable().amount_minor == 1000
    assert Money(-1050, "isk").chargeable().amount_minor == -1100
    assert Money(1049, "huf").chargeable().amount_minor == 1049


def test_there_are_135_or_more_currencies_each_of_0_2_or_3_decimals() -> None:
    assert len(CURRENCIES) >= 135
    assert {code for code in CURRENCIES if decimals(code) == 3} == {"bhd", "jod", "kwd", "omr", "tnd"}
    assert {code for code in CURRENCIES if charge_step(code) == 100} == {"isk", "ugx"}
    assert sum(decimals(code) == 0 for code in CURRENCIES) == 15


@pytest.mark.parametrize("code", ["", "us", "usdd", "xxx", "btc", "ﬁm", "ＵＳＤ", None, 840])
def test_an_unknown_currency_is_named(code: object) -> None:
    with pytest.raises(InvalidInput, match="is no currency") as caught:
        read_currency(code, "prices[0].currency")
    assert caught.value.details["field"] == "prices[0].currency"


def test_currencies_are_read_in_any_case() -> None:
    assert Money(1, "USD") == Money(1, "usd")


@pytest.mark.parametrize("amount", [1.0, True, Decimal(1), "1", None, MAX_MINOR + 1])
def test_what_is_no_whole_minor_unit_is_refused(amount: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        Money(amount, "usd")  # type: ignore[arg-type]
    assert caught.value.details["field"] == "amount_minor"


@pytest.mark.parametrize("text", ["12.505", "0.001", "-0.015"])
def test_fractions_of_a_minor_unit_say_what_would_be_right(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"amount: has a fraction of a minor unit; write a multiple of 0\.01"):
        Money.from_major(text, "usd")


@pytest.mark.parametrize("value", ["", "1,5", "1e3", " 1", "NaN", "٣", ".5", "5.", "+1", True, None, "1\n"])
def test_only_plain_numbers_are_read(value: object) -> None:
    with pytest.raises(InvalidInput, match="no plain decimal number"):
        read_decimal(value, "unit_amount")


def test_a_float_is_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidInput, match="quote it"):
        read_major(0.1, "usd", "amount")


def test_currencies_do_not_mix() -> None:
    dollar, euro = Money(1, "usd"), Money(1, "eur")
    with pytest.raises(InvalidInput, match="eur does not mix with usd"):
        _ = dollar + euro
    with pytest.raises(InvalidInput):
        _ = dollar < euro
    assert dollar != euro


@given(amounts, amounts, currencies)
def test_adding_and_subtracting_are_exact(first: int, second: int, currency: str) -> None:
    left, right = Money(first, currency), Money(second, currency)
    assert (left + right).amount_minor == first + second
    assert left + right - right == left
    negated = -left
    assert -negated == left
    assert (left < right) == (first < second)
    assert (left >= right) == (first >= second)


@given(amounts, currencies)
def test_writing_and_reading_gives_the_same(amount: int, currency: str) -> None:
    assert Money.from_major(to_major(amount, currency), currency).amount_minor == amount


@given(st.decimals(-(10**6), 10**6, places=12, allow_nan=False), currencies)
def test_unit_amounts_keep_their_fraction(amount: Decimal, currency: str) -> None:
    assert read_major(to_major(amount, currency), currency, "unit_amount") == amount


@given(amounts, weights)
def test_allocation_loses_no_unit_and_is_fair(total: int, parts: list[int | Decimal]) -> None:
    shares = allocate(total, parts)
    assert sum(shares) == total
    whole = sum(Fraction(part) for part in parts)
    for share, part in zip(shares, parts, strict=True):
        fair = total * (Fraction(part) / whole if whole else Fraction(1, len(parts)))
        assert abs(share - fair) < 1
        assert share * total >= 0


def test_leftover_units_go_to_the_largest_remainders_then_to_the_first() -> None:
    assert allocate(500, [1000, 2000]) == (167, 333)
    assert allocate(100, [1, 1, 1]) == (34, 33, 33)
    assert allocate(-100, [1, 1, 1]) == (-34, -33, -33)
    assert [share.amount_minor for share in Money(5, "usd").allocate([0, 0])] == [3, 2]


@pytest.mark.parametrize("bad", [[], [1, -1]])
def test_allocation_needs_weights(bad: list[int]) -> None:
    with pytest.raises(InvalidInput, match="weights"):
        allocate(1, bad)


def test_halves_are_rounded_away_from_zero() -> None:
    assert [round_half_up(Decimal(text)) for text in ("0.5", "1.5", "-0.5", "2.4999", "-2.5")] == [1, 2, -1, 2, -3]


@given(amounts | st.decimals(-(10**6), 10**6, places=12, allow_nan=False), st.integers(0, 10**8), st.integers(1, 10**8))
def test_proration_is_rounded_once_and_is_symmetric(amount: int | Decimal, part: int, whole: int) -> None:
    exact = Fraction(amount) * part / whole
    got = prorate(amount, part, whole)
    assert abs(got - exact) <= Fraction(1, 2)
    assert prorate(-amount, part, whole) == -got
    if abs(got - exact) == Fraction(1, 2):
        assert abs(got) > abs(exact)
