"""Coupons: what is off, for how long, for whom."""

from __future__ import annotations

import secrets
import string
from decimal import Decimal

from devstack.stripe_simulator.currencies import check_currency
from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page, paginate, within
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

_CODE = string.ascii_uppercase + string.digits


def new_code(length: int = 8) -> str:
    """Return a code that people can type."""
    return "".join(secrets.choice(_CODE) for _ in range(length))


def create(world: World, call: Call) -> Obj:
    """Create a coupon."""
    parameters = call.parameters
    identifier = parameters.text("id") or new_code()
    if world.find("coupon", id=identifier):
        raise invalid_parameter("id", "Coupon already exists.", "resource_already_exists")
    duration = parameters.choice("duration", ("forever", "once", "repeating")) or "once"
    months = parameters.integer("duration_in_months", least=1)
    if (duration == "repeating") != (months is not None):
        if months is None:
            raise missing_parameter("duration_in_months")
        raise invalid_parameter("duration_in_months", "`duration_in_months` needs `duration=repeating`.")
    redeem_by = parameters.integer("redeem_by")
    if redeem_by is not None and redeem_by <= world.now():
        raise invalid_parameter("redeem_by", "`redeem_by` must be in the future.")
    coupon: Obj = {
        "id": identifier,
        "object": "coupon",
        **_off(parameters),
        "created": world.now(),
        "duration": duration,
        "duration_in_months": months,
        "livemode": False,
        "max_redemptions": parameters.integer("max_redemptions", least=1),
        "metadata": parameters.metadata(),
        "name": parameters.text("name", max_length=40) or None,
        "redeem_by": redeem_by,
        "times_redeemed": 0,
        "valid": True,
    }
    if (limits := parameters.mapping("applies_to")) is not None:
        products = limits.texts("products") or []
        for product in products:
            world.get("product", product, limits.path("products"))
        coupon["_applies_to"] = {"products": products}
    return world.insert(coupon, "coupon.created")


def _off(parameters: Parameters) -> Obj:
    """Return what is off: a percentage, or amounts in one currency or several."""
    percent, amount = parameters.decimal("percent_off"), parameters.integer("amount_off", least=1)
    if (percent is None) == (amount is None):
        message = "You must pass exactly one of `percent_off` and `amount_off`."
        raise invalid_parameter("percent_off", message, "parameter_missing" if percent is None else None)
    if percent is not None:
        if not 0 < percent <= 100:
            raise invalid_parameter("percent_off", "Invalid percent_off: must be above 0 and at most 100.")
        whole = percent == percent.to_integral_value()
        return {"amount_off": None, "currency": None, "percent_off": int(percent) if whole else _number(percent)}
    currency = check_currency(parameters.required("currency"))
    options = {currency: {"amount_off": amount}}
    sent = parameters.mapping("currency_options")
    for name in sent.names() if sent else []:
        option = sent.mapping(name) if sent else None
        if option is None or (off := option.integer("amount_off", least=1)) is None:
            raise missing_parameter(f"currency_options[{name}][amount_off]")
        options[check_currency(name, "currency_options")] = {"amount_off": off}
    return {"amount_off": amount, "currency": currency, "percent_off": None, "_currency_options": options}


def _number(percent: Decimal) -> float:
    """Return a percentage as JSON has it; at most two places, so that its decimal is read back exactly."""
    if percent != percent.quantize(Decimal("0.01")):
        raise invalid_parameter("percent_off", "Invalid percent_off: must have at most 2 decimal places.")
    return float(percent)


def check_redeemable(world: World, coupon: Obj, now: int, param: str = "coupon") -> None:
    """Refuse a coupon that is over or used up. Raises: StripeFailure coupon_expired."""
    ended = coupon["redeem_by"] is not None and now >= coupon["redeem_by"]
    used_up = coupon["max_redemptions"] is not None and coupon["times_redeemed"] >= coupon["max_redemptions"]
    if not ended and not used_up:
        return
    if coupon["valid"]:
        world.update(coupon, {"valid": False}, "coupon.updated")
    reason = "has expired" if ended else "has been redeemed as often as it may be"
    raise StripeFailure(f"Coupon {coupon['id']} {reason}.", code="coupon_expired", param=param)


def redeem(world: World, coupon: Obj, now: int, param: str = "coupon") -> None:
    """Count one redemption. Raises: StripeFailure coupon_expired."""
    check_redeemable(world, coupon, now, param)
    count = coupon["times_redeemed"] + 1
    exhausted = coupon["max_redemptions"] is not None and count >= coupon["max_redemptions"]
    world.update(coupon, {"times_redeemed": count, "valid": not exhausted}, "coupon.updated")


def _update(world: World, call: Call, coupon: str) -> Obj:
    found, parameters = world.get("coupon", coupon), call.parameters
    changes: Obj = {"metadata": parameters.metadata(found["metadata"])}
    if parameters.given("name"):
        changes["name"] = parameters.text("name", max_length=40) or None
    return world.update(found, changes, "coupon.updated")


def _retrieve(world: World, call: Call, coupon: str) -> Obj:
    return world.get("coupon", coupon)


def _delete(world: World, call: Call, coupon: str) -> Obj:
    world.delete(world.get("coupon", coupon), "coupon.deleted")
    return {"id": coupon, "object": "coupon", "deleted": True}


def _list(world: World, call: Call) -> Page:
    return paginate(call.parameters, call.path, within(call.parameters, world.find("coupon")))


ROUTES = [
    Route("POST", "/v1/coupons", create),
    Route("GET", "/v1/coupons", _list),
    Route("GET", "/v1/coupons/{coupon}", _retrieve),
    Route("POST", "/v1/coupons/{coupon}", _update),
    Route("DELETE", "/v1/coupons/{coupon}", _delete),
]
