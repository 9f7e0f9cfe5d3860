"""Customers."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from devstack.stripe_simulator import payment_methods, tax_ids
from devstack.stripe_simulator.addresses import check_email, read_address, read_shipping
from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page, paginate, within
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

_TEXTS = ("description", "name", "phone", "business_name", "individual_name")
_BLANK: Obj = {
    "address": None,
    "balance": 0,
    "currency": None,
    "default_source": None,
    "delinquent": False,
    "description": None,
    "discount": None,
    "email": None,
    "invoice_settings": {
        "custom_fields": None,
        "default_payment_method": None,
        "footer": None,
        "rendering_options": None,
    },
    "livemode": False,
    "metadata": {},
    "name": None,
    "next_invoice_sequence": 1,
    "phone": None,
    "preferred_locales": [],
    "shipping": None,
    "tax_exempt": "none",
    "test_clock": None,
    "_tax": {
        "automatic_tax": "unrecognized_location",
        "ip_address": None,
        "location": None,
        "provider": "stripe",
    },
}


def create(world: World, call: Call) -> Obj:
    """Create a customer, with a payment method where one is named."""
    return new(world, call.parameters)


def new(world: World, parameters: Parameters) -> Obj:
    """Keep the customer that `parameters` describe; the checkout page makes customers, too."""
    customer: Obj = {
        "id": world.new_id("cus", 14),
        "object": "customer",
        **_BLANK,
        "invoice_prefix": secrets.token_hex(4).upper(),
    }
    if clock := parameters.text("test_clock"):
        customer["test_clock"] = world.get("test_helpers.test_clock", clock, "test_clock")["id"]
    customer["created"] = world.now(customer)
    method = parameters.text("payment_method")
    customer |= _read(parameters, customer)
    world.insert(customer)
    known_as: dict[str, str] = {}
    if method:
        attached = payment_methods.attach(world, payment_methods.named(world, method), customer)
        known_as[method] = attached["id"]
    world.update(customer, {"invoice_settings": _invoice_settings(world, parameters, customer, known_as)})
    world.emit("customer.created", customer)
    for tax_id in parameters.items("tax_id_data") or []:
        tax_ids.add(world, customer, tax_id)
    return customer


def update(world: World, call: Call, customer: str) -> Obj:
    """Change a customer."""
    found = world.get("customer", customer)
    changes = _read(call.parameters, found)
    changes["invoice_settings"] = _invoice_settings(world, call.parameters, found, {})
    return world.update(found, changes, "customer.updated")


def retrieve(world: World, call: Call, customer: str) -> Obj:
    """Return a customer, or the note that it was deleted."""
    if world.is_deleted("customer", customer):
        return {"id": customer, "object": "customer", "deleted": True}
    return world.get("customer", customer)


def list_all(world: World, call: Call) -> Page:
    """List customers by email, test clock and time."""
    parameters = call.parameters
    email, clock = parameters.text("email"), parameters.text("test_clock")
    found = [
        customer
        for customer in world.find("customer")
        # As at Stripe, customers on a test clock are listed only for that clock.
        if (not email or customer["email"] == email) and customer["test_clock"] == (clock or None)
    ]
    return paginate(parameters, call.path, within(parameters, found))


def list_payment_methods(world: World, call: Call, customer: str) -> Page:
    """List what a customer can pay with."""
    world.get("customer", customer)
    return payment_methods.page(world, call, customer)


def retrieve_payment_method(world: World, call: Call, customer: str, payment_method: str) -> Obj:
    """Return one thing that a customer can pay with."""
    world.get("customer", customer)
    found = world.get("payment_method", payment_method)
    if found["customer"] != customer:
        raise StripeFailure(
            f"The customer does not have a payment method with the ID {payment_method}.",
            status=404,
            code="resource_missing",
            param="payment_method",
        )
    return found


def _read(parameters: Parameters, current: Obj) -> Obj:
    changes: Obj = {}
    for name in _TEXTS:
        if parameters.given(name):
            changes[name] = parameters.text(name) or None
    if parameters.given("email"):
        email = parameters.text("email", max_length=512) or None
        if email:
            check_email(email, "email")
        changes["email"] = email
    changes |= _read_money(parameters, current)
    changes["metadata"] = parameters.metadata(current["metadata"])
    changes["address"] = read_address(parameters, current["address"])
    changes["shipping"] = read_shipping(parameters, current["shipping"])
    return changes


def _read_money(parameters: Parameters, current: Obj) -> Obj:
    changes: Obj = {}
    if parameters.given("balance"):
        changes["balance"] = parameters.integer("balance") or 0
    if parameters.given("tax_exempt"):
        changes["tax_exempt"] = parameters.choice("tax_exempt", ("exempt", "none", "reverse")) or "none"
    if parameters.given("preferred_locales"):
        changes["preferred_locales"] = parameters.texts("preferred_locales") or []
    if parameters.given("invoice_prefix"):
        changes["invoice_prefix"] = _invoice_prefix(parameters)
    if parameters.given("next_invoice_sequence"):
        changes["next_invoice_sequence"] = parameters.integer("next_invoice_sequence", least=1)
    if tax := parameters.mapping("tax"):
        tax.choice("validate_location", ("auto", "deferred", "immediately"))
        changes["_tax"] = {**current["_tax"], "ip_address": tax.text("ip_address") or None}
    return changes


def _invoice_prefix(parameters: Parameters) -> str:
    prefix = parameters.required("invoice_prefix")
    if not 3 <= len(prefix) <= 12 or not prefix.isalnum() or prefix != prefix.upper():
        message = "An invoice prefix has 3 to 12 upper-case letters or numbers."
        raise invalid_parameter("invoice_prefix", message)
    return prefix


def _invoice_settings(world: World, parameters: Parameters, customer: Obj, known_as: Mapping[str, str]) -> Obj:
    """Return the settings as sent; `known_as` gives the id of what was attached by the name of a test card."""
    current = dict(customer["invoice_settings"])
    sent = parameters.mapping("invoice_settings")
    if sent is None:
        return current
    if sent.given("default_payment_method"):
        identifier = sent.text("default_payment_method") or None
        if identifier is not None:
            identifier = known_as.get(identifier, identifier)
            check_attached(world, customer, identifier, sent.path("default_payment_method"))
        current["default_payment_method"] = identifier
    if sent.given("footer"):
        current["footer"] = sent.text("footer") or None
    if sent.given("custom_fields"):
        fields = [
            {"name": item.required("name"), "value": item.required("value")}
            for item in sent.items("custom_fields") or []
        ]
        current["custom_fields"] = fields or None
    return current


def check_attached(world: World, customer: Obj, payment_method: str, param: str) -> Obj:
    """Return a payment method of the customer. Raises: StripeFailure resource_missing."""
    found = world.known("payment_method", payment_method)
    if found is None or found["customer"] != customer["id"]:
        message = (
            f"The customer does not have a payment method with the ID {payment_method}. "
            "The payment method must be attached to the customer."
        )
        raise invalid_parameter(param, message, "resource_missing")
    return found


ROUTES = [
    Route("POST", "/v1/customers", create),
    Route("GET", "/v1/customers", list_all),
    Route("GET", "/v1/customers/{customer}", retrieve),
    Route("POST", "/v1/customers/{customer}", update),
    Route("GET", "/v1/customers/{customer}/payment_methods", list_payment_methods),
    Route("GET", "/v1/customers/{customer}/payment_methods/{payment_method}", retrieve_payment_method),
]
