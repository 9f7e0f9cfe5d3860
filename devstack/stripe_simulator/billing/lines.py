"""Invoice lines: of subscription items, of usage, of invoice items. docs.stripe.com/api/invoice-line-item/object"""

from __future__ import annotations

from devstack.stripe_simulator.billing import meter_usage
from devstack.stripe_simulator.billing.amounts import amount_of, prorated
from devstack.stripe_simulator.billing.periods import containing
from devstack.stripe_simulator.currencies import shown
from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.world import World


def pricing(price: Obj, currency: str) -> Obj:
    """Return how a line names its price."""
    return {
        "price_details": {"price": price["id"], "product": price["product"]},
        "type": "price_details",
        "unit_amount_decimal": price["_currency_options"][currency]["unit_amount_decimal"],
    }


def is_metered(item: Obj) -> bool:
    """Say whether an item is billed by its usage, afterwards."""
    return bool(item["price"]["recurring"]["usage_type"] == "metered")


def licensed(world: World, subscription: Obj, item: Obj, *, free: bool = False) -> Obj:
    """Return the line of an item for its current period, in advance: nothing in a trial, its share of a partial one."""
    price = world.get("price", item["price"]["id"])
    start, end = item["current_period_start"], item["current_period_end"]
    full_start, full_end = containing(subscription["billing_cycle_anchor"], price["recurring"], start)
    amount = 0 if free else amount_of(price, subscription["currency"], item["quantity"])
    is_part = not free and start != full_start
    if is_part:
        amount = prorated(amount, full_start, full_end, start)
    line = _item_line(world, subscription, item, item["quantity"], amount, period=(start, end))
    if free:
        line["description"] = f"Free trial for {item['quantity']} × {_product_name(world, price)}"
    line["parent"]["subscription_item_details"]["proration"] = is_part
    return line


def usage(world: World, subscription: Obj, item: Obj, until: int) -> Obj:
    """Return the line of a metered item for what was used in its period, up to `until`."""
    start = item.get("_usage_from") or item["current_period_start"]
    line = _item_line(world, subscription, item, 0, 0, period=(start, until))
    return measured(world, line | {"_measured": {"customer": subscription["customer"], "price": item["price"]["id"]}})


def measured(world: World, line: Obj) -> Obj:
    """Return a usage line with what the meter says now; any other line as it is."""
    if "_measured" not in line:
        return line
    price = world.get("price", line["_measured"]["price"])
    meter, customer = price["recurring"]["meter"], line["_measured"]["customer"]
    quantity = meter_usage.billed(world, meter, customer, line["period"]["start"], line["period"]["end"])
    amount = amount_of(price, line["currency"], quantity)
    description = described(world, price, line["currency"], quantity)
    return line | {"description": description} | _sized(quantity, amount)


def of_invoice_item(world: World, invoice_item: Obj) -> Obj:
    """Return the line that an invoice item becomes."""
    owner = invoice_item["parent"] and invoice_item["parent"]["subscription_details"]
    origin: Obj = {
        "invoice_item": invoice_item["id"],
        "proration": invoice_item["proration"],
        "proration_details": {"credited_items": invoice_item.get("_credited")},
        "subscription": owner and owner["subscription"],
    }
    of_subscription = bool(owner and "subscription_item" in owner)
    if of_subscription:
        origin["subscription_item"] = owner["subscription_item"]
    line = _line(
        world,
        invoice_item["currency"],
        description=invoice_item["description"],
        discountable=invoice_item["discountable"],
        metadata=invoice_item["metadata"],
        period=invoice_item["period"],
        pricing=invoice_item["pricing"],
        subscription=owner and owner["subscription"],
    )
    kind = "subscription_item_details" if of_subscription else "invoice_item_details"
    line["parent"] = _parent(kind, origin)
    return line | _sized(invoice_item["quantity"], invoice_item["amount"])


def described(world: World, price: Obj, currency: str, quantity: int) -> str:
    """Return a line's words: "1 × Gold (at $32.52 / month)"."""
    name = f"{quantity} × {_product_name(world, price)}"
    unit = price["_currency_options"][currency].get("unit_amount")
    if unit is None or price["recurring"] is None:
        return name
    interval, count = price["recurring"]["interval"], price["recurring"]["interval_count"]
    every = f"/ {interval}" if count == 1 else f"every {count} {interval}s"
    return f"{name} (at {shown(unit, currency)} {every})"


def named(world: World, item: Obj) -> str:
    """Return how proration lines name an item: "2 × Gold", or "Gold" where it is one."""
    name = _product_name(world, item["price"])
    quantity = item.get("quantity", 1)
    return name if quantity == 1 else f"{quantity} × {name}"


def _product_name(world: World, price: Obj) -> str:
    product = world.known("product", price["product"])
    return str(product["name"] if product else price["product"])


def _item_line(
    world: World, subscription: Obj, item: Obj, quantity: int, amount: int, *, period: tuple[int, int]
) -> Obj:
    price, currency = world.get("price", item["price"]["id"]), subscription["currency"]
    line = _line(
        world,
        currency,
        description=described(world, price, currency, quantity),
        discountable=True,
        metadata=subscription["metadata"],
        period={"end": period[1], "start": period[0]},
        pricing=pricing(price, currency),
        subscription=subscription["id"],
    )
    origin = {
        "invoice_item": None,
        "proration": False,
        "proration_details": {"credited_items": None},
        "subscription": subscription["id"],
        "subscription_item": item["id"],
    }
    line["parent"] = _parent("subscription_item_details", origin)
    return line | _sized(quantity, amount)


def _line(world: World, currency: str, **fields: object) -> Obj:
    return {
        "id": world.new_id("il"),
        "object": "line_item",
        "currency": currency,
        "discount_amounts": [],
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "pretax_credit_amounts": [],
        "taxes": [],
        **fields,
    }


def _parent(kind: str, origin: Obj) -> Obj:
    return {"invoice_item_details": None, "subscription_item_details": None, "type": kind} | {kind: origin}


def _sized(quantity: int, amount: int) -> Obj:
    return {"amount": amount, "quantity": quantity, "quantity_decimal": str(quantity), "subtotal": amount}
