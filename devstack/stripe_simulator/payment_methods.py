"""Payment methods: cards, which are Stripe's test cards."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from devstack.stripe_simulator.addresses import read_billing_details
from devstack.stripe_simulator.cards import BY_NAME, BY_NUMBER, Card, card_of, declined
from devstack.stripe_simulator.failures import Obj, StripeFailure, card_declined, invalid_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page, paginate
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

_REDISPLAY = ("always", "limited", "unspecified")
_VALID_YEARS = 4


def create(world: World, call: Call) -> Obj:
    """Create a payment method that belongs to nobody yet."""
    return read(world, call.parameters)


def read(world: World, parameters: Parameters) -> Obj:
    """Create the payment method that the parameters describe; pages and setup intents use it too."""
    kind = parameters.required("type")
    if kind != "card":
        raise invalid_parameter(parameters.path("type"), "The simulator knows payment methods of type `card` only.")
    fields = parameters.mapping("card")
    if fields is None:
        raise invalid_parameter(
            parameters.path("card"), "You must provide `card` or `card[token]`.", "parameter_missing"
        )
    if fields.given("token"):
        name = fields.required("token").removeprefix("tok_")
        if name not in BY_NAME:
            raise invalid_parameter(fields.path("token"), f"No such token: 'tok_{name[:50]}'", "resource_missing")
        made = new(world, BY_NAME[name])
    else:
        made = _from_number(world, fields)
    made["billing_details"] = read_billing_details(parameters)
    made["metadata"] = parameters.metadata()
    made["allow_redisplay"] = parameters.choice("allow_redisplay", _REDISPLAY) or "unspecified"
    return world.insert(made)


def _from_number(world: World, fields: Parameters) -> Obj:
    number = "".join(fields.required("number").split()).replace("-", "")
    month, year = fields.integer("exp_month"), fields.integer("exp_year")
    cvc = fields.text("cvc")
    if not number.isdecimal() or not 12 <= len(number) <= 19 or not _has_check_digit(number):
        raise _card_error("Your card number is incorrect.", "incorrect_number", fields.path("number"))
    if month is None or not 1 <= month <= 12:
        raise _card_error("Your card's expiration month is invalid.", "invalid_expiry_month", fields.path("exp_month"))
    if year is not None and year < 100:
        year += 2000
    today = datetime.fromtimestamp(world.now(), UTC)
    if year is None or not today.year <= year <= today.year + 50 or (year, month) < (today.year, today.month):
        raise _card_error("Your card's expiration year is invalid.", "invalid_expiry_year", fields.path("exp_year"))
    if cvc and not (cvc.isdecimal() and len(cvc) in (3, 4)):
        raise _card_error("Your card's security code is invalid.", "invalid_cvc", fields.path("cvc"))
    card = BY_NUMBER.get(number)
    if card is None:
        message = "Your card was declined. Your request was in test mode, but used a non test (live) card."
        raise card_declined(message, "card_declined", "test_mode_live_card", keeps_effects=False)
    return new(world, card, month, year, cvc_check="unchecked" if cvc else None)


def new(
    world: World, card: Card, month: int | None = None, year: int | None = None, cvc_check: str | None = "unchecked"
) -> Obj:
    """Return a fresh payment method of a test card, not kept yet."""
    today = datetime.fromtimestamp(world.now(), UTC)
    return {
        "id": world.new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": read_billing_details(Parameters({})),
        "card": {
            "brand": card.brand,
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": cvc_check},
            "country": "US",
            "display_brand": card.brand,
            "exp_month": month or today.month,
            "exp_year": year or today.year + _VALID_YEARS,
            "fingerprint": hashlib.sha256(card.number.encode()).hexdigest()[:16],
            "funding": card.funding,
            "generated_from": None,
            "last4": card.number[-4:],
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": world.now(),
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
        "_card": card.name,
        "_authenticated": None,
    }


def named(world: World, identifier: str, param: str = "payment_method") -> Obj:
    """Return the payment method with this id; `pm_card_…` makes a new one of that test card."""
    card = BY_NAME.get(identifier.removeprefix("pm_card_")) if identifier.startswith("pm_card_") else None
    return world.insert(new(world, card)) if card else world.get("payment_method", identifier, param)


def attach(world: World, method: Obj, customer: Obj) -> Obj:
    """Attach a payment method to a customer. Raises: StripeFailure for declined cards and those of others."""
    if method["customer"] == customer["id"]:
        return method
    if method["customer"] is not None:
        message = "The payment method you provided has already been attached to a customer."
        raise StripeFailure(message, code="payment_method_already_attached", param="payment_method")
    if method.get("_detached"):
        message = (
            "This PaymentMethod was previously used without being attached to a Customer or was detached from a "
            "Customer, and may not be used again."
        )
        raise StripeFailure(message, param="payment_method")
    card = card_of(method)
    if not card.attaches and card.declines is not None:
        raise declined(card.declines, keeps_effects=False)
    checks = method["card"]["checks"]
    if checks["cvc_check"] == "unchecked":
        checks = {**checks, "cvc_check": "pass"}
    world.update(method, {"customer": customer["id"], "card": {**method["card"], "checks": checks}})
    world.emit("payment_method.attached", method)
    return method


def detach(world: World, method: Obj) -> Obj:
    """Take a payment method from its customer, also as the default."""
    if method["customer"] is None:
        message = "The payment method you provided is not attached to a customer so detachment is impossible."
        raise StripeFailure(message, param="payment_method")
    customer = world.get("customer", method["customer"])
    settings = customer["invoice_settings"]
    world.update(method, {"customer": None, "_detached": True})
    world.emit("payment_method.detached", method, {"customer": customer["id"]})
    if settings["default_payment_method"] == method["id"]:
        world.update(customer, {"invoice_settings": {**settings, "default_payment_method": None}}, "customer.updated")
    return method


def page(world: World, call: Call, customer: str) -> Page:
    """Return a page of a customer's payment methods."""
    parameters = call.parameters
    kind = parameters.text("type")
    redisplay = parameters.choice("allow_redisplay", _REDISPLAY)
    found = [
        method
        for method in world.find("payment_method", customer=customer)
        if (not kind or method["type"] == kind) and (not redisplay or method["allow_redisplay"] == redisplay)
    ]
    return paginate(parameters, call.path, found)


def _attach(world: World, call: Call, payment_method: str) -> Obj:
    customer = world.get("customer", call.parameters.required("customer"), "customer")
    return attach(world, named(world, payment_method, "id"), customer)


def _detach(world: World, call: Call, payment_method: str) -> Obj:
    return detach(world, world.get("payment_method", payment_method))


def _list(world: World, call: Call) -> Page:
    customer = world.get("customer", call.parameters.required("customer"), "customer")
    return page(world, call, customer["id"])


def _retrieve(world: World, call: Call, payment_method: str) -> Obj:
    return named(world, payment_method, "id")


def _update(world: World, call: Call, payment_method: str) -> Obj:
    method = world.get("payment_method", payment_method)
    if method["customer"] is None:
        raise StripeFailure("You must save this PaymentMethod to a customer before you can update it.")
    parameters = call.parameters
    changes: Obj = {
        "billing_details": read_billing_details(parameters, method["billing_details"]),
        "metadata": parameters.metadata(method["metadata"]),
    }
    if redisplay := parameters.choice("allow_redisplay", _REDISPLAY):
        changes["allow_redisplay"] = redisplay
    if fields := parameters.mapping("card"):
        month, year = fields.integer("exp_month", least=1, most=12), fields.integer("exp_year", least=2000)
        card = method["card"]
        changes["card"] = {**card, "exp_month": month or card["exp_month"], "exp_year": year or card["exp_year"]}
    return world.update(method, changes, "payment_method.updated")


def _card_error(message: str, code: str, param: str) -> StripeFailure:
    return StripeFailure(message, status=402, kind="card_error", code=code, param=param)


def _has_check_digit(number: str) -> bool:
    """Say whether the last digit is Luhn's."""
    doubled = [int(digit) * (2 - (place + 1) % 2) for place, digit in enumerate(reversed(number))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


ROUTES = [
    Route("POST", "/v1/payment_methods", create),
    Route("GET", "/v1/payment_methods", _list),
    Route("GET", "/v1/payment_methods/{payment_method}", _retrieve),
    Route("POST", "/v1/payment_methods/{payment_method}", _update),
    Route("POST", "/v1/payment_methods/{payment_method}/attach", _attach),
    Route("POST", "/v1/payment_methods/{payment_method}/detach", _detach),
]
