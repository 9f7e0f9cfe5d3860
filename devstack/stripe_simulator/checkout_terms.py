"""What a checkout session sells: its lines and what they come to, rehearsed as the subscription they would make."""

from __future__ import annotations

from typing import Any

from devstack.stripe_simulator import customers, price_terms, products
from devstack.stripe_simulator.billing import subscriptions
from devstack.stripe_simulator.currencies import check_currency
from devstack.stripe_simulator.failures import Obj, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.world import World

_MOST_LINES = 20
_PASSED_ON = ("description", "trial_end", "trial_period_days", "billing_cycle_anchor", "proration_behavior")


def read_lines(world: World, parameters: Parameters, currency: str | None) -> list[Obj]:
    """Return the line items, not priced yet."""
    sent = parameters.items("line_items")
    if not sent:
        raise missing_parameter("line_items")
    if len(sent) > _MOST_LINES:
        raise invalid_parameter("line_items", f"A session in `subscription` mode has at most {_MOST_LINES} lines.")
    lines = [_line(world, item) for item in sent]
    if not any(line["price"]["type"] == "recurring" for line in lines):
        message = "You must provide at least one recurring price in `subscription` mode when using prices."
        raise invalid_parameter("line_items", message)
    if any(line["price"]["type"] == "one_time" for line in lines):
        raise invalid_parameter("line_items", "The simulator sells recurring prices only.")
    chosen = currency or lines[0]["price"]["currency"]
    for line in lines:
        if chosen not in line["price"]["_currency_options"]:
            message = f"The price `{line['price']['id']}` does not support `{chosen}`."
            raise invalid_parameter("line_items", message)
        line["currency"] = chosen
    return lines


def _line(world: World, sent: Parameters) -> Obj:
    price = _price(world, sent)
    metered = (price["recurring"] or {}).get("usage_type") == "metered"
    quantity = sent.integer("quantity", least=1)
    if metered and quantity is not None:
        raise invalid_parameter(sent.path("quantity"), "Quantity should not be specified where usage is metered.")
    if not metered and quantity is None:
        raise missing_parameter(sent.path("quantity"))
    adjustable = sent.mapping("adjustable_quantity")
    return {
        "id": world.new_id("li"),
        "object": "item",
        "adjustable_quantity": adjustable
        and {
            "enabled": bool(adjustable.boolean("enabled")),
            "maximum": adjustable.integer("maximum"),
            "minimum": adjustable.integer("minimum"),
        },
        "amount_tax": 0,
        "description": world.get("product", price["product"])["name"],
        "metadata": sent.metadata(),
        "price": dict(price),
        "quantity": quantity,
    }


def _price(world: World, sent: Parameters) -> Obj:
    data = sent.mapping("price_data")
    if data is None:
        price = world.get("price", sent.required("price"), sent.path("price"))
        if not price["active"]:
            raise invalid_parameter(sent.path("price"), f"The price specified is inactive: {price['id']}.")
        return price
    described = data.mapping("product_data")
    if described is not None:
        product = products.new(world, described)
    else:
        product = world.get("product", data.required("product"), data.path("product"))
    return price_terms.new(world, data, product)


def read_subscription_data(parameters: Parameters) -> Obj:
    """Return what the subscription will be created with, beside its items."""
    sent = parameters.mapping("subscription_data")
    if sent is None:
        return {}
    values: Obj = {name: sent.text(name) for name in _PASSED_ON if sent.text(name)}
    values["metadata"] = sent.metadata()
    for name in ("trial_settings", "billing_mode"):
        if sent.mapping(name) is not None:
            values[name] = sent.raw(name)
    return values


def read_discounts(world: World, parameters: Parameters) -> list[Obj]:
    """Return the session's discounts: one coupon or promotion code at most."""
    sent = parameters.items("discounts") or []
    if sent and parameters.boolean("allow_promotion_codes"):
        message = "You may only specify one of these parameters: allow_promotion_codes, discounts."
        raise invalid_parameter("discounts", message)
    if len(sent) > 1:
        raise invalid_parameter("discounts", "A session has at most one discount.")
    found = []
    for item in sent:
        coupon, code = item.text("coupon") or None, item.text("promotion_code") or None
        if (coupon is None) == (code is None):
            raise missing_parameter(item.path("coupon"))
        if coupon is not None:
            world.get("coupon", coupon, item.path("coupon"))
        else:
            world.get("promotion_code", code or "", item.path("promotion_code"))
        found.append({"coupon": coupon, "promotion_code": code})
    return found


def read_currency(parameters: Parameters) -> str | None:
    """Return the currency asked for, if any."""
    currency = parameters.text("currency")
    return check_currency(currency) if currency else None


def subscription_parameters(session: Obj, customer: str, payment_method: str | None) -> Parameters:
    """Return what to create the session's subscription with."""
    values: dict[str, Any] = {
        "customer": customer,
        "currency": session["currency"],
        "items": [
            {"price": line["price"]["id"], **({} if line["quantity"] is None else {"quantity": line["quantity"]})}
            for line in session["_lines"]
        ],
        **session["_subscription_data"],
    }
    if payment_method is not None:
        values["default_payment_method"] = payment_method
    if discounts := session["discounts"]:
        values["discounts"] = [{name: value for name, value in one.items() if value} for one in discounts]
    return Parameters(values)


def priced(world: World, session: Obj) -> Obj:
    """Return the session's amounts and lines: those of the first invoice, which is drawn up and taken back."""
    with world.rehearsal():
        customer = session["customer"] or customers.new(world, Parameters({}))["id"]
        sent = subscription_parameters(session, customer, None)
        subscription = subscriptions.begin(world, sent, sent.text("proration_behavior") or "create_prorations")
        invoice = world.known("invoice", subscription["latest_invoice"])
        billed = invoice["lines"]["data"] if invoice else []
        lines = [_priced(line, billed) for line in session["_lines"]]
        trial_end = subscription["trial_end"]
    subtotal, total = sum(line["amount_subtotal"] for line in lines), sum(line["amount_total"] for line in lines)
    return {
        "amount_subtotal": subtotal,
        "amount_total": total,
        "total_details": {"amount_discount": subtotal - total, "amount_shipping": 0, "amount_tax": 0},
        "_lines": lines,
        "_trial_end": trial_end,
    }


def _priced(line: Obj, billed: list[Obj]) -> Obj:
    mine = [one for one in billed if one["pricing"]["price_details"]["price"] == line["price"]["id"]]
    subtotal = sum(one["amount"] for one in mine)
    discount = sum(share["amount"] for one in mine for share in one["discount_amounts"])
    return {**line, "amount_subtotal": subtotal, "amount_discount": discount, "amount_total": subtotal - discount}
