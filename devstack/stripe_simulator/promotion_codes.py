"""Promotion codes: what customers type to get a coupon."""

from __future__ import annotations

import re

from devstack.stripe_simulator import coupons
from devstack.stripe_simulator.currencies import check_currency
from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page, paginate, within
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

_CODE = re.compile(r"[A-Za-z0-9-]{1,500}")


def create(world: World, call: Call) -> Obj:
    """Create a promotion code for a coupon."""
    parameters = call.parameters
    promotion = parameters.mapping("promotion")
    if promotion is None:
        raise missing_parameter("promotion")
    promotion.choice("type", ("coupon",))
    coupon = world.get("coupon", promotion.required("coupon"), promotion.path("coupon"))
    if not coupon["valid"]:
        raise invalid_parameter("promotion[coupon]", "The coupon is not valid any more.")
    customer = parameters.text("customer") or None
    if customer is not None:
        world.get("customer", customer, "customer")
    code = parameters.text("code") or coupons.new_code()
    if not _CODE.fullmatch(code):
        raise invalid_parameter("code", "A code has letters, digits and dashes only.")
    if any(_same(other, code) for other in world.find("promotion_code", active=True, customer=customer)):
        message = f"An active promotion code with `code: {code}` already exists."
        raise invalid_parameter("code", message, "resource_already_exists")
    promotion_code: Obj = {
        "id": world.new_id("promo"),
        "object": "promotion_code",
        "active": parameters.boolean("active") is not False,
        "code": code,
        "created": world.now(),
        "customer": customer,
        "customer_account": None,
        "expires_at": parameters.integer("expires_at"),
        "livemode": False,
        "max_redemptions": parameters.integer("max_redemptions", least=1),
        "metadata": parameters.metadata(),
        "promotion": {"coupon": coupon["id"], "type": "coupon"},
        "restrictions": _restrictions(parameters),
        "times_redeemed": 0,
    }
    return world.insert(promotion_code, "promotion_code.created")


def _same(promotion_code: Obj, code: str) -> bool:
    return bool(promotion_code["code"].lower() == code.lower())


def _restrictions(parameters: Parameters) -> Obj:
    sent = parameters.mapping("restrictions")
    least = sent.integer("minimum_amount", least=1) if sent else None
    currency = sent.text("minimum_amount_currency") if sent else None
    if (least is None) != (not currency):
        raise missing_parameter("restrictions[minimum_amount_currency]")
    return {
        "first_time_transaction": bool(sent and sent.boolean("first_time_transaction")),
        "minimum_amount": least,
        "minimum_amount_currency": check_currency(currency) if currency else None,
    }


def by_code(world: World, code: str, customer: str | None) -> Obj:
    """Return the code that a customer typed, checked. Raises: StripeFailure where it gives nothing to them."""
    typed = [found for found in world.find("promotion_code", active=True) if _same(found, code)]
    usable = [found for found in typed if found["customer"] in (None, customer)]
    if not usable:
        raise invalid_parameter("promotion_code", f"No such promotion code: '{code[:50]}'", "resource_missing")
    check_redeemable(world, usable[0], customer)
    return usable[0]


def check_redeemable(world: World, promotion_code: Obj, customer: str | None, param: str = "promotion_code") -> None:
    """Refuse a code that gives nothing to this customer. Raises: StripeFailure."""
    now = world.now({"customer": customer})
    expires, most = promotion_code["expires_at"], promotion_code["max_redemptions"]
    over = (expires is not None and now >= expires) or (most is not None and promotion_code["times_redeemed"] >= most)
    others = promotion_code["customer"] not in (None, customer)
    if not promotion_code["active"] or over or others:
        message = "This promotion code cannot be redeemed because it is inactive, expired, or another customer's."
        raise StripeFailure(message, code="promotion_code_inactive" if not others else None, param=param)
    first_only = promotion_code["restrictions"]["first_time_transaction"]
    if first_only and customer is not None and world.find("invoice", customer=customer, status="paid"):
        message = "This promotion code cannot be redeemed because the associated customer has prior transactions."
        raise StripeFailure(message, code="promotion_code_customer_not_first_time", param=param)
    coupons.check_redeemable(world, world.get("coupon", promotion_code["promotion"]["coupon"], param), now, param)


def redeem(world: World, promotion_code: Obj, customer: str | None, param: str = "promotion_code") -> Obj:
    """Count one redemption of the code and its coupon, and return the coupon. Raises: StripeFailure."""
    check_redeemable(world, promotion_code, customer, param)
    coupon = world.get("coupon", promotion_code["promotion"]["coupon"], param)
    coupons.redeem(world, coupon, world.now({"customer": customer}), param)
    count, most = promotion_code["times_redeemed"] + 1, promotion_code["max_redemptions"]
    changes: Obj = {"times_redeemed": count}
    if most is not None and count >= most:
        changes["active"] = False
    world.update(promotion_code, changes, "promotion_code.updated")
    return coupon


def _update(world: World, call: Call, promotion_code: str) -> Obj:
    found, parameters = world.get("promotion_code", promotion_code), call.parameters
    changes: Obj = {"metadata": parameters.metadata(found["metadata"])}
    if (active := parameters.boolean("active")) is not None:
        changes["active"] = active
    return world.update(found, changes, "promotion_code.updated")


def _retrieve(world: World, call: Call, promotion_code: str) -> Obj:
    return world.get("promotion_code", promotion_code)


def _list(world: World, call: Call) -> Page:
    parameters = call.parameters
    equal: Obj = {"customer": customer} if (customer := parameters.text("customer")) else {}
    if (active := parameters.boolean("active")) is not None:
        equal["active"] = active
    code, coupon = parameters.text("code"), parameters.text("coupon")
    found = [
        promotion
        for promotion in world.find("promotion_code", **equal)
        if (not code or _same(promotion, code)) and (not coupon or promotion["promotion"]["coupon"] == coupon)
    ]
    return paginate(parameters, call.path, within(parameters, found))


ROUTES = [
    Route("POST", "/v1/promotion_codes", create),
    Route("GET", "/v1/promotion_codes", _list),
    Route("GET", "/v1/promotion_codes/{promotion_code}", _retrieve),
    Route("POST", "/v1/promotion_codes/{promotion_code}", _update),
]
