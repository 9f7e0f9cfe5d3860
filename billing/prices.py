"""Prices: what a plan asks, how often, in which currencies, for what quantity. A price never changes; see `plans`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from billing.currencies import read_currency
from billing.periods import Cycle
from billing.rates import BOUNDED, PriceKind, Problem, Rate, names, rate_problems
from metering.meters import Aggregation
from runtime.errors import InvalidInput

REPORTABLE: Final = (Aggregation.SUM, Aggregation.COUNT, Aggregation.MAX, Aggregation.UNIQUE_COUNT)
"""What can be reported to Stripe's meters as differences of whole numbers; no price can stand on another."""

_METERED: Final = frozenset({PriceKind.PER_UNIT, PriceKind.GRADUATED, PriceKind.VOLUME, PriceKind.PACKAGE})
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
MAX_QUANTITY: Final = 10**15


@dataclass(frozen=True, slots=True)
class MeteredBy:
    """The meter whose total in the period is the quantity, billed at the period's end."""

    meter: str
    aggregation: Aggregation


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A price, checked when it is made. Raises: InvalidInput; `details["problems"]` lists all that is wrong.

    Without `metered` it is licensed: the quantity is the subscription's, billed at the period's start.
    """

    slug: str
    kind: PriceKind
    cycle: Cycle
    rates: Mapping[str, Rate] = field(hash=False)
    """By currency; the first is Stripe's `currency`, the others its `currency_options`."""
    metered: MeteredBy | None = None
    included_quantity: int = 0
    """Units of each period that cost nothing; what exceeds them is rated from its first unit on."""
    package_size: int | None = None
    """Units in a package; a package begun is a package billed."""
    name: str = ""

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            where, text = problems[0]
            raise InvalidInput(f"{where}: {text}", field=where, problems=problems)

    @property
    def currencies(self) -> tuple[str, ...]:
        """Return the currencies, Stripe's default one first."""
        return tuple(self.rates)

    def rate(self, currency: str) -> Rate:
        """Return what it asks in a currency. Raises: InvalidInput."""
        if currency not in self.rates:
            offered = ", ".join(self.rates)
            raise InvalidInput(f"currency: {self.slug} has no price in {currency}; use {offered}", field="currency")
        return self.rates[currency]


def slug_problem(slug: str) -> str | None:
    """Say what is wrong with a slug, if anything."""
    if _SLUG.fullmatch(slug):
        return None
    return f"{slug[:64]!r} is no slug; write 1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit"


def _problems(price: Price) -> Iterator[Problem]:
    if wrong := slug_problem(price.slug):
        yield "slug", wrong
    yield from _meter_problems(price)
    yield from _quantity_problems(price)
    if not price.rates:
        yield "currencies", "are missing; write at least one, such as usd"
    for currency, rate in price.rates.items():
        yield from _currency_problems(price, currency, rate)


def _currency_problems(price: Price, currency: str, rate: Rate) -> Iterator[Problem]:
    where = f"currencies.{currency}"
    try:
        if read_currency(currency) != currency:
            yield where, "write it in lower case"
    except InvalidInput:
        yield where, "is no currency that Stripe charges in; write an ISO code such as usd, eur or jpy"
    for inner, text in rate_problems(price.kind, rate):
        yield f"{where}.{inner}", text


def _meter_problems(price: Price) -> Iterator[Problem]:
    if price.metered is None:
        return
    if price.kind not in _METERED:
        yield "meter", f"{price.kind} prices are not metered; leave it out, or use {names(_METERED)}"
    if wrong := slug_problem(price.metered.meter):
        yield "meter.slug", wrong
    if price.metered.aggregation not in REPORTABLE:
        possible = ", ".join(REPORTABLE)
        yield "meter.aggregation", f"{price.metered.aggregation} cannot be reported to Stripe; use one of {possible}"


def _quantity_problems(price: Price) -> Iterator[Problem]:
    included, size = price.included_quantity, price.package_size
    if not 0 <= included <= MAX_QUANTITY:
        yield "included_quantity", f"{included} is out of range; write 0 to {MAX_QUANTITY}"
    elif included and price.kind not in BOUNDED:
        yield "included_quantity", f"Stripe cannot express it for {price.kind} prices; use {names(BOUNDED)}"
    if price.kind is PriceKind.PACKAGE:
        if size is None or not 2 <= size <= MAX_QUANTITY:
            yield "package_size", f"{size} is out of range; write 2 to {MAX_QUANTITY}"
    elif size is not None:
        yield "package_size", "belongs to package prices; leave it out"
