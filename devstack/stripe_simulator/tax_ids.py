"""Customers' tax ids, by the forms of their types. docs.stripe.com/billing/customer/tax-ids"""

from __future__ import annotations

import re

from devstack.stripe_simulator.failures import Obj, invalid_parameter, resource_missing
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page, paginate, whole
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

# As the VAT has it: Greece is EL, Northern Ireland XI.
_IN_EUROPE = "AT|BE|BG|CY|CZ|DE|DK|EE|EL|ES|FI|FR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI|SK|XI"
_FORMS = {
    "au_abn": re.compile(r"\d{11}"),
    "ca_bn": re.compile(r"\d{9}"),
    "ch_vat": re.compile(r"CHE-?\d{3}\.?\d{3}\.?\d{3} ?(?:MWST|TVA|IVA)"),
    "eu_vat": re.compile(rf"(?:{_IN_EUROPE})[A-Z0-9]{{8,12}}"),
    "gb_vat": re.compile(r"(?:GB|XI)?\d{9}(?:\d{3})?"),
    "no_vat": re.compile(r"\d{9}(?:MVA)?"),
    "us_ein": re.compile(r"\d{2}-\d{7}"),
}
# An authority is asked about these. Here only about the values that Stripe has for tests; others stay pending.
_VERIFIED = ("au_abn", "eu_vat", "gb_vat")
_ANSWERS = {"000000000": "verified", "111111111": "unverified", "222222222": "pending"}
_EXPANDED = 10


def create(world: World, call: Call, customer: str) -> Obj:
    """Add a tax id to a customer."""
    return add(world, world.get("customer", customer), call.parameters)


def add(world: World, customer: Obj, parameters: Parameters) -> Obj:
    """Keep the tax id that `parameters` describe; the call that creates a customer brings some, too."""
    kind, value = parameters.required("type"), parameters.required("value")
    form = _FORMS.get(kind)
    if form is None:
        known = ", ".join(_FORMS)
        raise invalid_parameter(parameters.path("type"), f"The simulator knows tax ids of these types only: {known}.")
    answer = _ANSWERS.get(value) if kind in _VERIFIED else None
    if answer is None and not form.fullmatch(value):
        raise invalid_parameter(parameters.path("value"), f"Invalid value for {kind}.", "tax_id_invalid")
    tax_id: Obj = {
        "id": world.new_id("txi"),
        "object": "tax_id",
        "country": value[:2] if kind == "eu_vat" and answer is None else kind[:2].upper(),
        "created": world.now(customer),
        "customer": customer["id"],
        "customer_account": None,
        "livemode": False,
        "owner": {"type": "customer", "customer": customer["id"]},
        "type": kind,
        "value": value,
        "verification": _verification("pending" if kind in _VERIFIED else "unavailable"),
    }
    world.insert(tax_id, "customer.tax_id.created")
    if answer is not None:
        world.update(tax_id, {"verification": _verification(answer)}, "customer.tax_id.updated")
    return tax_id


def of(world: World, customer: str) -> list[Obj]:
    """Return type and value of a customer's tax ids, as invoices show them."""
    found = reversed(world.find("tax_id", customer=customer))
    return [{"type": each["type"], "value": each["value"]} for each in found]


def expanded(world: World, customer: Obj) -> Obj:
    """Return the list that a customer holds."""
    found = world.find("tax_id", customer=customer["id"])
    shown = whole(f"/v1/customers/{customer['id']}/tax_ids", found[:_EXPANDED])
    return {**shown, "has_more": len(found) > _EXPANDED}


def _list(world: World, call: Call, customer: str) -> Page:
    world.get("customer", customer)
    return paginate(call.parameters, call.path, world.find("tax_id", customer=customer))


def _retrieve(world: World, call: Call, customer: str, tax_id: str) -> Obj:
    world.get("customer", customer)
    found = world.get("tax_id", tax_id)
    if found["customer"] != customer:
        raise resource_missing("tax_id", tax_id)
    return found


def _delete(world: World, call: Call, customer: str, tax_id: str) -> Obj:
    world.delete(_retrieve(world, call, customer, tax_id), "customer.tax_id.deleted")
    return {"id": tax_id, "object": "tax_id", "deleted": True}


def _verification(status: str) -> Obj:
    told = "Jenny Rosen" if status == "verified" else None
    return {"status": status, "verified_address": None, "verified_name": told}


ROUTES = [
    Route("POST", "/v1/customers/{customer}/tax_ids", create),
    Route("GET", "/v1/customers/{customer}/tax_ids", _list),
    Route("GET", "/v1/customers/{customer}/tax_ids/{tax_id}", _retrieve),
    Route("DELETE", "/v1/customers/{customer}/tax_ids/{tax_id}", _delete),
]
