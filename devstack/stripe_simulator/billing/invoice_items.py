"""Invoice items: what goes on the next invoice, prorations among it. docs.stripe.com/api/invoiceitems"""

from __future__ import annotations

from decimal import Decimal

from devstack.stripe_simulator.billing import invoices, lines
from devstack.stripe_simulator.billing.amounts import amount_of, rounded
from devstack.stripe_simulator.currencies import check_currency
from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page, paginate, within
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

ITEM = "invoiceitem"


def add(world: World, customer: str, *, currency: str, amount: int, period: tuple[int, int], **fields: object) -> Obj:
    """Create a pending invoice item."""
    item: Obj = {
        "id": world.new_id("ii"),
        "object": ITEM,
        "amount": amount,
        "currency": currency,
        "customer": customer,
        "customer_account": None,
        "date": world.now({"customer": customer}),
        "description": None,
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "net_amount": amount,
        "parent": None,
        "period": {"end": period[1], "start": period[0]},
        "pricing": None,
        "proration": False,
        "quantity": 1,
        "tax_rates": [],
        "test_clock": world.get("customer", customer)["test_clock"],
        **fields,
    }
    return world.insert(item | {"quantity_decimal": str(item["quantity"])}, "invoiceitem.created")


def of_subscription(subscription: Obj, item: Obj) -> Obj:
    """Return the `parent` of what an item of a subscription causes."""
    return _parent({"subscription": subscription["id"], "subscription_item": item["id"]})


def _parent(details: Obj) -> Obj:
    return {"subscription_details": details, "type": "subscription_details"}


def pending(world: World, customer: str, subscription: Obj | None, currency: str) -> list[Obj]:
    """Return what waits for the next invoice: the subscription's, and the customer's that name none; newest first."""
    found = world.find(ITEM, customer=customer, invoice=None, currency=currency)
    own = subscription and subscription["id"]
    return [item for item in found if _subscription(item) in (None, own)]


def attach(world: World, items: list[Obj], invoice: Obj) -> None:
    """Note the invoice that items are on now."""
    for item in items:
        world.update(item, {"invoice": invoice["id"]})


def _subscription(item: Obj) -> str | None:
    return item["parent"]["subscription_details"]["subscription"] if item["parent"] else None


def create(world: World, call: Call) -> Obj:
    """Create an invoice item: for the next invoice, or on a draft."""
    sent = call.parameters
    customer = world.get("customer", sent.required("customer"), "customer")
    invoice = _draft(world, sent.text("invoice") or None)
    subscription = sent.text("subscription") or None
    if subscription is not None:
        world.get("subscription", subscription, "subscription")
    now = world.now(customer)
    period = sent.mapping("period")
    item = add(
        world,
        customer["id"],
        period=(_second(period, "start", now), _second(period, "end", now)),
        discountable=sent.boolean("discountable") is not False,
        metadata=sent.metadata(),
        parent=subscription and _parent({"subscription": subscription}),
        **_what(world, sent, customer),
    )
    if invoice is not None:
        attach(world, [item], invoice)
        invoices.set_lines(world, invoice, [*invoice["_lines"], lines.of_invoice_item(world, item)])
    return item


def retrieve(world: World, call: Call, invoiceitem: str) -> Obj:
    """Return an invoice item."""
    return world.get(ITEM, invoiceitem)


def list_all(world: World, call: Call) -> Page:
    """List invoice items."""
    sent = call.parameters
    equal = {name: value for name in ("customer", "invoice") if (value := sent.text(name))}
    found = within(sent, [item | {"created": item["date"]} for item in world.find(ITEM, **equal)])
    waiting = sent.boolean("pending")
    chosen = [world.get(ITEM, item["id"]) for item in found if waiting in (None, item["invoice"] is None)]
    return paginate(sent, call.path, chosen)


def update(world: World, call: Call, invoiceitem: str) -> Obj:
    """Change an item that is not billed yet."""
    sent, item = call.parameters, world.get(ITEM, invoiceitem)
    invoice = _draft(world, item["invoice"])
    changes: Obj = {"metadata": sent.metadata(item["metadata"])}
    if (amount := sent.integer("amount")) is not None:
        changes |= {"amount": amount, "net_amount": amount}
    if sent.given("description"):
        changes["description"] = sent.text("description") or None
    if (discountable := sent.boolean("discountable")) is not None:
        changes["discountable"] = discountable
    world.update(item, changes, "invoiceitem.updated")
    if invoice is not None:
        fresh = lines.of_invoice_item(world, item)
        known = invoice["_lines"]
        invoices.set_lines(
            world, invoice, [fresh | {"id": line["id"]} if _is_of(line, item) else line for line in known]
        )
    return item


def delete(world: World, call: Call, invoiceitem: str) -> Obj:
    """Delete an item that is not billed yet."""
    item = world.get(ITEM, invoiceitem)
    invoice = _draft(world, item["invoice"])
    if invoice is not None:
        invoices.set_lines(world, invoice, [line for line in invoice["_lines"] if not _is_of(line, item)])
    world.delete(item, "invoiceitem.deleted")
    return {"id": invoiceitem, "object": ITEM, "deleted": True}


def _what(world: World, sent: Parameters, customer: Obj) -> Obj:
    """Return currency, amount, quantity and words of an item: of a price, of an amount, or of a unit amount."""
    quantity = sent.integer("quantity", least=0)
    quantity = 1 if quantity is None else quantity
    words = sent.text("description") or None
    currency, amount, unit = sent.text("currency"), sent.integer("amount"), sent.decimal("unit_amount_decimal")
    named = sent.mapping("pricing")
    if named is not None:
        price = world.get("price", named.required("price"), "pricing[price]")
        currency = check_currency(currency or price["currency"])
        if price["recurring"] is not None or currency not in price["_currency_options"]:
            message = "The price specified must be a one-time price in the currency of the invoice item."
            raise invalid_parameter("pricing[price]", message)
        return {
            "amount": amount_of(price, currency, quantity),
            "currency": currency,
            "description": words or lines.described(world, price, currency, quantity),
            "pricing": lines.pricing(price, currency),
            "quantity": quantity,
        }
    if (amount is None) == (unit is None):
        raise missing_parameter("amount")
    currency = check_currency(currency or customer["currency"] or _missing_currency())
    total = amount if amount is not None else rounded((unit or Decimal(0)) * quantity)
    return {"amount": total, "currency": currency, "description": words, "quantity": quantity}


def _missing_currency() -> str:
    raise missing_parameter("currency")


def _draft(world: World, identifier: str | None) -> Obj | None:
    if identifier is None:
        return None
    invoice = world.get(invoices.INVOICE, identifier, "invoice")
    if invoice["status"] != "draft":
        message = "The invoice of this item is no longer editable, as it is not a draft."
        raise StripeFailure(message, code="invoice_not_editable", param="invoice")
    return invoice


def _is_of(line: Obj, item: Obj) -> bool:
    details = line["parent"][line["parent"]["type"]]
    return bool(details["invoice_item"] == item["id"])


def _second(period: Parameters | None, name: str, default: int) -> int:
    value = period.integer(name) if period else None
    return default if value is None else value


ROUTES = [
    Route("POST", "/v1/invoiceitems", create),
    Route("GET", "/v1/invoiceitems", list_all),
    Route("GET", "/v1/invoiceitems/{invoiceitem}", retrieve),
    Route("POST", "/v1/invoiceitems/{invoiceitem}", update),
    Route("DELETE", "/v1/invoiceitems/{invoiceitem}", delete),
]
