"""Addresses, shipping and billing details: mappings that several resources have alike."""

from __future__ import annotations

from devstack.stripe_simulator.failures import Obj, invalid_parameter
from devstack.stripe_simulator.forms import Parameters

_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")
_BILLING = ("email", "name", "phone", "tax_id")


def read_address(parameters: Parameters, current: Obj | None) -> Obj | None:
    """Return `address` as sent, laid over what it was; None where it is unset."""
    sent = parameters.mapping("address")
    if sent is None:
        return None if parameters.given("address") else current
    known = current or dict.fromkeys(_ADDRESS)
    return {name: (sent.text(name) or None) if sent.given(name) else known[name] for name in _ADDRESS}


def read_shipping(parameters: Parameters, current: Obj | None) -> Obj | None:
    """Return `shipping` as sent, else what it was; None where it is unset."""
    sent = parameters.mapping("shipping")
    if sent is None:
        return None if parameters.given("shipping") else current
    return {
        "address": read_address(sent, None) or dict.fromkeys(_ADDRESS),
        "name": sent.required("name"),
        "phone": sent.text("phone") or None,
    }


def read_billing_details(parameters: Parameters, current: Obj | None = None) -> Obj:
    """Return `billing_details` as sent, laid over what they were."""
    known = current or {"address": dict.fromkeys(_ADDRESS), **dict.fromkeys(_BILLING)}
    sent = parameters.mapping("billing_details")
    if sent is None:
        return known
    details = {name: (sent.text(name) or None) if sent.given(name) else known[name] for name in _BILLING}
    if details["email"]:
        check_email(details["email"], sent.path("email"))
    return {"address": read_address(sent, known["address"]) or dict.fromkeys(_ADDRESS), **details}


def check_email(email: str, param: str) -> None:
    """Refuse what is no address. Raises: StripeFailure email_invalid."""
    local, _, domain = email.rpartition("@")
    if not local or "." not in domain or any(letter.isspace() for letter in email):
        raise invalid_parameter(param, f"Invalid email address: {email[:100]}", "email_invalid")
