"""A price as an answer shows it is a price that may be sent."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from api.catalogue.sent_prices import SentPrice

SEATS = {"slug": "seats", "kind": "per_seat", "interval": "month"}
STORAGE = {"slug": "storage", "kind": "graduated", "interval": "month"}


@pytest.mark.parametrize(
    ("price", "currency", "rate"),
    [
        (SEATS, "usd", {"amount": "12.00", "amount_minor": 1200, "amount_decimal": "1200", "tiers": []}),
        (SEATS, "jpy", {"amount": "1800", "amount_minor": 1800}),
        (SEATS, "usd", {"amount": "0.0004", "amount_minor": None, "amount_decimal": "0.04"}),
        (SEATS, "usd", {"amount": "1", "minimum": "5.00", "minimum_minor": 500, "maximum": "9", "maximum_minor": 900}),
        (STORAGE, "usd", {"amount": None, "tiers": [{"unit_amount": "0.08", "unit_amount_decimal": "8"}]}),
        (STORAGE, "usd", {"tiers": [{"flat_amount": "2.00", "flat_amount_minor": 200}]}),
    ],
)
def test_minor_units_that_agree_are_taken_and_not_kept(price: dict[str, Any], currency: str, rate: Any) -> None:
    kept = SentPrice.model_validate({**price, "currencies": {currency: rate}}).model_dump(exclude_unset=True)
    assert not [name for name in str(kept).split("'") if name.endswith(("_minor", "_decimal"))]
    assert set(kept["currencies"][currency]) == {name for name in rate if not name.endswith(("_minor", "_decimal"))}


@pytest.mark.parametrize(
    ("price", "rate", "field"),
    [
        (SEATS, {"amount": "15.00", "amount_minor": 1200}, "currencies.usd.amount_minor"),
        (SEATS, {"amount": "12.00", "amount_decimal": "1200.5"}, "currencies.usd.amount_decimal"),
        (SEATS, {"amount_minor": 1200}, "currencies.usd.amount_minor"),
        (SEATS, {"amount": "1", "maximum": "5", "maximum_minor": 5}, "currencies.usd.maximum_minor"),
        (
            STORAGE,
            {"tiers": [{"up_to": 5}, {"unit_amount": "0.08", "unit_amount_decimal": "0.08"}]},
            "currencies.usd.tiers[1].unit_amount_decimal",
        ),
        (STORAGE, {"tiers": [{"flat_amount_minor": 200}]}, "currencies.usd.tiers[0].flat_amount_minor"),
    ],
)
def test_an_amount_that_is_said_in_two_ways_and_differs_is_refused(price: Any, rate: Any, field: str) -> None:
    with pytest.raises(ValidationError, match="send both alike") as refused:
        SentPrice.model_validate({**price, "currencies": {"usd": rate}})
    assert field in str(refused.value)
