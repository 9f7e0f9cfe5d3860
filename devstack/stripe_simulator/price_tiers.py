"""Tiers of a price: read, and refused where they leave a gap or do not end."""

from __future__ import annotations

from decimal import Decimal

from devstack.stripe_simulator.failures import Obj, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters

_MOST = 100


def read_tiers(parameters: Parameters) -> list[Obj]:
    """Return `tiers`: rising, the last without an end, each with an amount."""
    sent, path = parameters.items("tiers"), parameters.path("tiers")
    if not sent:
        raise missing_parameter(path)
    if len(sent) > _MOST:
        raise invalid_parameter(path, f"A price has at most {_MOST} tiers.")
    tiers: list[Obj] = []
    for place, item in enumerate(sent):
        up_to = _up_to(item)
        if (up_to is None) != (place == len(sent) - 1):
            message = "The last tier, and only the last, must have `up_to` set to `inf`."
            raise invalid_parameter(item.path("up_to"), message)
        if up_to is not None and tiers and up_to <= tiers[-1]["up_to"]:
            raise invalid_parameter(item.path("up_to"), "Tiers must be in rising order of `up_to`.")
        flat, unit = _amount(item, "flat_amount"), _amount(item, "unit_amount")
        if flat is None and unit is None:
            message = "A tier must have at least one of `unit_amount` and `flat_amount`."
            raise invalid_parameter(item.path("unit_amount"), message, "parameter_missing")
        tiers.append({**amount_fields("flat_amount", flat), **amount_fields("unit_amount", unit), "up_to": up_to})
    return tiers


def _up_to(item: Parameters) -> int | None:
    if item.required("up_to") == "inf":
        return None
    return item.integer("up_to", least=1)


def _amount(item: Parameters, name: str) -> Decimal | None:
    whole, exact = item.integer(name, least=0), item.decimal(f"{name}_decimal")
    if whole is not None and exact is not None:
        raise invalid_parameter(item.path(name), f"You may only specify one of `{name}` and `{name}_decimal`.")
    if exact is not None and exact < 0:
        raise invalid_parameter(item.path(f"{name}_decimal"), "Invalid decimal: an amount is not negative.")
    return Decimal(whole) if whole is not None else exact


def amount_fields(name: str, amount: Decimal | None) -> Obj:
    """Return `{name}` (null where the amount has fractions of a minor unit) and `{name}_decimal`."""
    if amount is None:
        return {name: None, f"{name}_decimal": None}
    plain = format(amount, "f")
    return {
        name: int(amount) if amount == amount.to_integral_value() else None,
        f"{name}_decimal": plain.rstrip("0").rstrip(".") if "." in plain else plain,
    }
