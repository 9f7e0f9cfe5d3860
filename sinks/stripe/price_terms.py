"""A price's terms in words, the same from what we intend and from what Stripe holds: equal words are an equal price."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias, cast

from stripe.params import PriceCreateParams, PriceCreateParamsCurrencyOptions, PriceCreateParamsTier

from billing.money import to_major
from billing.periods import cycle_name
from billing.rates import Tier
from billing.stripe_form import StripeAmounts, StripePrice
from metering.numbers import canonical_text
from sinks.stripe.calls import Json

Terms: TypeAlias = dict[str, str]
"""`period`, `quantity`, `scheme`, and each currency with its amounts."""
UNREADABLE: Final = "not shown by Stripe"
"""The amounts of a currency whose tiers an answer leaves out."""


def intended_terms(price: StripePrice) -> Terms:
    """Describe a price as a plan wants it."""
    amounts = {price.currency: price.amounts, **price.currency_options}
    return {
        "period": cycle_name(price.interval, price.interval_count),
        "quantity": f"metered by {price.meter}" if price.meter else price.usage_type,
        "scheme": _scheme(price.tiers_mode, price.transform_divide_by),
        "default currency": price.currency,
        **{currency: _amounts(currency, each) for currency, each in amounts.items()},
    }


def held_terms(price: Json, meter_names: Mapping[str, str]) -> Terms:
    """Describe a price as Stripe holds it; `meter_names` are the event names of Stripe's meters by id."""
    recurring = price["recurring"] or {}
    meter = recurring.get("meter")
    transform = price["transform_quantity"] or {}
    options = {**(price.get("currency_options") or {}), price["currency"]: price}
    return {
        "period": cycle_name(recurring.get("interval", "once"), recurring.get("interval_count", 1)),
        "quantity": f"metered by {meter_names.get(meter, meter)}" if meter else recurring.get("usage_type", ""),
        "scheme": _scheme(price["tiers_mode"], transform.get("divide_by"), transform.get("round", "up")),
        "default currency": price["currency"],
        **{currency: _held_amounts(currency, each) for currency, each in options.items()},
    }


def digest(terms: Terms) -> str:
    """Return what a price's metadata remember of its terms."""
    return hashlib.sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()[:32]


def creation_params(price: StripePrice, *, product: str, meter: str | None) -> PriceCreateParams:
    """Return what creates the price at Stripe; `meter` is Stripe's id."""
    params: PriceCreateParams = {
        "currency": price.currency,
        "product": product,
        "nickname": price.nickname,
        "billing_scheme": price.billing_scheme,
        "recurring": {
            "interval": cast(Any, price.interval),
            "interval_count": price.interval_count,
            "usage_type": price.usage_type,
        },
    }
    params.update(cast(PriceCreateParams, _amount_params(price.amounts)))
    if meter is not None:
        params["recurring"]["meter"] = meter
    if price.tiers_mode is not None:
        params["tiers_mode"] = price.tiers_mode
    if price.transform_divide_by is not None:
        params["transform_quantity"] = {"divide_by": price.transform_divide_by, "round": "up"}
    if price.currency_options:
        params["currency_options"] = {
            currency: cast(PriceCreateParamsCurrencyOptions, _amount_params(amounts))
            for currency, amounts in price.currency_options.items()
        }
    return params


def _amount_params(amounts: StripeAmounts) -> dict[str, Any]:
    if amounts.tiers:
        return {"tiers": [_tier_params(tier) for tier in amounts.tiers]}
    # Without an exponent, as Stripe reads it; the library would write `1E-7`.
    return {"unit_amount_decimal": canonical_text(amounts.unit_amount or Decimal(0))}


def _tier_params(tier: Tier) -> PriceCreateParamsTier:
    params: PriceCreateParamsTier = {
        "up_to": "inf" if tier.up_to is None else tier.up_to,
        "unit_amount_decimal": cast(Decimal, canonical_text(tier.unit_amount)),
    }
    if tier.flat_amount:
        params["flat_amount"] = tier.flat_amount
    return params


def _held_amounts(currency: str, held: Json) -> str:
    if tiers := held.get("tiers"):
        return _amounts(currency, StripeAmounts(tiers=tuple(_held_tier(tier) for tier in tiers)))
    if (amount := held.get("unit_amount_decimal")) is None:
        return UNREADABLE
    return _amounts(currency, StripeAmounts(Decimal(amount)))


def _held_tier(tier: Json) -> Tier:
    return Tier(tier["up_to"], Decimal(tier["unit_amount_decimal"] or 0), tier["flat_amount"] or 0)


def _scheme(tiers_mode: str | None, package_size: int | None, rounding: str = "up") -> str:
    if package_size is not None:
        return f"packages of {package_size}, rounded {rounding}"
    return f"{tiers_mode} tiers" if tiers_mode else "per unit"


def _amounts(currency: str, amounts: StripeAmounts) -> str:
    if not amounts.tiers:
        return to_major(amounts.unit_amount or Decimal(0), currency)
    return ", ".join(_tiers(currency, amounts.tiers))


def _tiers(currency: str, tiers: Iterable[Tier]) -> Iterable[str]:
    for tier in tiers:
        flat = f" + {to_major(tier.flat_amount, currency)}" if tier.flat_amount else ""
        yield f"{'beyond' if tier.up_to is None else f'to {tier.up_to}'}: {to_major(tier.unit_amount, currency)}{flat}"
