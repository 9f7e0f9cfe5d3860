"""Prices in requests: as plan documents write them, or as answers show them, with the minor units of each amount."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel, Field, model_validator

from billing.money import read_major
from billing.plan_document import Number, PriceDocument, RateDocument, TierDocument
from runtime.errors import InvalidInput

_RATE_FORMS: Final = {
    "amount_minor": "amount",
    "amount_decimal": "amount",
    "minimum_minor": "minimum",
    "maximum_minor": "maximum",
}
"""Fields in minor units, and the same in major ones."""
_TIER_FORMS: Final = {"unit_amount_decimal": "unit_amount", "flat_amount_minor": "flat_amount"}


def _minor_units_of(name: str) -> Any:
    """Describe a field that repeats another: it is compared, and not kept."""
    return Field(None, exclude=True, description=f"`{name}` in minor units, as answers tell it; may be left out.")


class SentTier(TierDocument):
    """`up_to` is the last unit of the tier; the last tier has none."""

    unit_amount_decimal: Number | None = _minor_units_of("unit_amount")
    flat_amount_minor: int | None = _minor_units_of("flat_amount")


class SentRate(RateDocument):
    """What a price asks in one currency: `amount` or `tiers`."""

    tiers: tuple[SentTier, ...] = Field((), strict=False)
    amount_minor: int | None = _minor_units_of("amount")
    amount_decimal: Number | None = _minor_units_of("amount")
    minimum_minor: int | None = _minor_units_of("minimum")
    maximum_minor: int | None = _minor_units_of("maximum")


class SentPrice(PriceDocument):
    """A price of a plan."""

    currencies: dict[str, SentRate]  # type: ignore[assignment]  # narrower, and frozen

    @model_validator(mode="after")
    def _forms_agree(self) -> SentPrice:
        for currency, rate in self.currencies.items():
            for problem in _disagreements(rate, currency):
                raise ValueError(f"currencies.{currency}.{problem}")
        return self


def _disagreements(rate: SentRate, currency: str) -> Iterator[str]:
    parts: list[tuple[str, BaseModel, Mapping[str, str]]] = [("", rate, _RATE_FORMS)]
    parts += [(f"tiers[{index}].", tier, _TIER_FORMS) for index, tier in enumerate(rate.tiers)]
    for where, part, forms in parts:
        for name, major in forms.items():
            written, minor = getattr(part, major), getattr(part, name)
            if minor is not None and not _agree(written, minor, currency):
                said = "missing" if written is None else f"{written:f}"
                yield f"{where}{name}: is {minor}, but {major} is {said}; send both alike, or {major} alone"


def _agree(written: Decimal | None, minor: Decimal | int, currency: str) -> bool:
    if written is None:
        return False
    try:
        return read_major(written, currency, "amount") == minor
    except InvalidInput:  # what nobody can read is refused where plans are read
        return True
