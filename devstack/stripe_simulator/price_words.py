"""A price in words, for the pages."""

from __future__ import annotations

from decimal import Decimal

from devstack.stripe_simulator.currencies import shown
from devstack.stripe_simulator.failures import Obj


def interval(price: Obj) -> str:
    """Return how often a price comes: "month", "3 months"; "" for once."""
    recurring = price["recurring"]
    if recurring is None:
        return ""
    count = recurring["interval_count"]
    return str(recurring["interval"]) if count == 1 else f"{count} {recurring['interval']}s"


def describe(price: Obj, currency: str) -> list[str]:
    """Return a price's lines: one, or one per tier."""
    amounts = price["_currency_options"][currency]
    every = f" / {interval(price)}" if price["recurring"] else ""
    metered = (price["recurring"] or {}).get("usage_type") == "metered"
    if amounts.get("tiers"):
        mode = "for the whole quantity, by its tier" if price["tiers_mode"] == "volume" else "tier by tier"
        usage = "Billed by usage" if metered else "Billed by quantity"
        return [f"{usage}{every}, {mode}:", *_tiers(amounts["tiers"], currency)]
    amount = shown(Decimal(amounts["unit_amount_decimal"]), currency)
    if transform := price["transform_quantity"]:
        amount = f"{amount} per {transform['divide_by']:,} (rounded {transform['round']})"
    elif metered:
        amount = f"{amount} per unit"
    return [f"{amount}{every}{', billed by usage' if metered else ''}"]


def _tiers(tiers: list[Obj], currency: str) -> list[str]:
    words, start = [], 1
    for tier in tiers:
        end = tier["up_to"]
        reach = f"{start:,} and more" if end is None else f"{start:,} to {end:,}"
        parts = [
            shown(Decimal(tier[f"{name}_decimal"]), currency) + suffix
            for name, suffix in (("unit_amount", " each"), ("flat_amount", " flat"))
            if tier[f"{name}_decimal"] is not None
        ]
        words.append(f"{reach}: {' + '.join(parts)}")
        start = (end or 0) + 1
    return words
