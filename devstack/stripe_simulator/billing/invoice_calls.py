"""Calls about invoices and their payments. docs.stripe.com/api/invoices, docs.stripe.com/api/invoice-payment"""

from __future__ import annotations

from devstack.stripe_simulator.billing import (
    collection,
    discounts,
    invoice_items,
    invoices,
    lines,
    payment_intents,
    previews,
    standing,
)
from devstack.stripe_simulator.billing.invoices import INVOICE
from devstack.stripe_simulator.currencies import check_currency
from devstack.stripe_simulator.customers import check_attached
from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter
from devstack.stripe_simulator.pages import Page, paginate, within
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

_HOUR_S = 3_600
_STATUSES = ("draft", "open", "paid", "uncollectible", "void")
_PENDING = ("exclude", "include")


def create(world: World, call: Call) -> Obj:
    """Draw up an invoice by hand; pending items are on it only if asked for."""
    sent = call.parameters
    customer = world.get("customer", sent.required("customer"), "customer")
    subscription = world.known("subscription", sent.text("subscription"))
    now, takes = world.now(customer), sent.choice("pending_invoice_items_behavior", _PENDING) == "include"
    currency = check_currency(sent.text("currency") or customer["currency"] or "usd")
    waiting = invoice_items.pending(world, customer["id"], subscription, currency) if takes else []
    advances = sent.boolean("auto_advance") or False
    method = sent.text("default_payment_method") or None
    sent.choice("collection_method", ("charge_automatically",))
    invoice = invoices.draft(
        world,
        customer,
        [lines.of_invoice_item(world, item) for item in waiting],
        currency=currency,
        reason="manual",
        at=now,
        period=(now, now),
        subscription=subscription,
        auto_advance=advances,
        automatically_finalizes_at=now + _HOUR_S if advances else None,
        next_payment_attempt=now + _HOUR_S if advances else None,
        default_payment_method=method and check_attached(world, customer, method, "default_payment_method")["id"],
        description=sent.text("description") or None,
        metadata=sent.metadata(),
    )
    invoice_items.attach(world, waiting, invoice)
    wanted = discounts.read(world, sent, invoice)
    if wanted is not None:
        world.update(invoice, {"discounts": wanted})
        invoices.set_lines(world, invoice, invoice["_lines"], None)
    return invoice


def retrieve(world: World, call: Call, invoice: str) -> Obj:
    """Return an invoice."""
    return world.get(INVOICE, invoice)


def list_all(world: World, call: Call) -> Page:
    """List invoices."""
    sent = call.parameters
    customer, subscription = sent.text("customer"), sent.text("subscription")
    equal: Obj = {"customer": customer} if customer else {}
    if status := sent.choice("status", _STATUSES):
        equal["status"] = status
    if method := sent.choice("collection_method", ("charge_automatically", "send_invoice")):
        equal["collection_method"] = method
    found = [
        invoice
        for invoice in within(sent, world.find(INVOICE, **equal))
        if not subscription or (invoices.subscription_of(world, invoice) or {}).get("id") == subscription
    ]
    return paginate(sent, call.path, found)


def list_lines(world: World, call: Call, invoice: str) -> Page:
    """List all lines of an invoice."""
    return paginate(call.parameters, call.path, world.get(INVOICE, invoice)["_lines"])


def update(world: World, call: Call, invoice: str) -> Obj:
    """Change an invoice; once it is final, its metadata and whether it advances by itself."""
    sent, found = call.parameters, world.get(INVOICE, invoice)
    changes: Obj = {"metadata": sent.metadata(found["metadata"])}
    if (advances := sent.boolean("auto_advance")) is not None:
        changes["auto_advance"] = advances
        if found["status"] == "draft":
            due = world.now(found) + _HOUR_S if advances else None
            changes |= {"automatically_finalizes_at": due, "next_payment_attempt": due}
    if method := sent.text("default_payment_method"):
        customer = world.get("customer", found["customer"])
        changes["default_payment_method"] = check_attached(world, customer, method, "default_payment_method")["id"]
    if sent.given("description"):
        changes["description"] = sent.text("description") or None
    wanted = discounts.read(world, sent, found)
    if wanted is not None:
        _check_draft(found)
        changes["discounts"] = wanted
    world.update(found, changes, "invoice.updated")
    return invoices.set_lines(world, found, found["_lines"]) if wanted is not None else found


def delete(world: World, call: Call, invoice: str) -> Obj:
    """Delete a draft that no subscription made; its items wait again."""
    found = world.get(INVOICE, invoice)
    _check_draft(found)
    if found["parent"] is not None:
        message = "You can't delete invoices created by subscriptions."
        raise StripeFailure(message, code="invoice_not_editable")
    for item in world.find(invoice_items.ITEM, invoice=invoice):
        world.update(item, {"invoice": None})
    world.delete(found, "invoice.deleted")
    return {"id": invoice, "object": INVOICE, "deleted": True}


def finalize(world: World, call: Call, invoice: str) -> Obj:
    """Finalize a draft; with `auto_advance` it is tried an hour later."""
    found, advances = world.get(INVOICE, invoice), call.parameters.boolean("auto_advance")
    collection.finalize(world, found)
    if found["status"] == "open":
        advances = found["auto_advance"] if advances is None else advances
        due = world.now(found) + _HOUR_S if advances else None
        world.update(found, {"auto_advance": advances, "next_payment_attempt": due})
    return found


def pay(world: World, call: Call, invoice: str) -> Obj:
    """Pay an invoice now."""
    sent, found = call.parameters, world.get(INVOICE, invoice)
    named = sent.text("payment_method")
    customer = world.get("customer", found["customer"])
    sent.boolean("forgive")
    return collection.pay(
        world,
        found,
        method=check_attached(world, customer, named, "payment_method") if named else None,
        off_session=sent.boolean("off_session") is not False,
        out_of_band=sent.boolean("paid_out_of_band") or False,
    )


def void(world: World, call: Call, invoice: str) -> Obj:
    """Void an invoice: it was a mistake."""
    found = world.get(INVOICE, invoice)
    if found["status"] not in ("open", "uncollectible"):
        raise StripeFailure("You can only void an open or uncollectible invoice.", code="invoice_not_voidable")
    return _close(world, found, "void")


def mark_uncollectible(world: World, call: Call, invoice: str) -> Obj:
    """Give an invoice up."""
    found = world.get(INVOICE, invoice)
    if found["status"] == "draft":
        collection.finalize(world, found)
    if found["status"] != "open":
        raise StripeFailure("You can only mark an open invoice as uncollectible.", code="invoice_not_editable")
    return _close(world, found, "uncollectible")


def preview(world: World, call: Call) -> Obj:
    """Return what would be billed."""
    return previews.preview(world, call.parameters)


def list_payments(world: World, call: Call) -> Page:
    """List payments of invoices."""
    sent = call.parameters
    invoice, status, payment = sent.text("invoice"), sent.text("status"), sent.mapping("payment")
    kind = payment and payment.required("type")
    if payment and kind != "payment_intent":
        raise invalid_parameter("payment[type]", "Invoices are paid by payment intents only.")
    intent = payment.required("payment_intent") if payment else None
    found = [
        each
        for each in within(sent, world.find(payment_intents.PAYMENT))
        if (not invoice or each["invoice"] == invoice)
        and (not status or each["status"] == status)
        and (not intent or each["payment"]["payment_intent"] == intent)
    ]
    return paginate(sent, call.path, found)


def retrieve_payment(world: World, call: Call, payment: str) -> Obj:
    """Return a payment of an invoice."""
    return world.get(payment_intents.PAYMENT, payment)


def retrieve_intent(world: World, call: Call, intent: str) -> Obj:
    """Return a payment intent."""
    call.parameters.text("client_secret")
    return world.get(payment_intents.INTENT, intent)


def list_intents(world: World, call: Call) -> Page:
    """List payment intents."""
    sent = call.parameters
    equal = {"customer": customer} if (customer := sent.text("customer")) else {}
    return paginate(sent, call.path, within(sent, world.find(payment_intents.INTENT, **equal)))


def confirm_intent(world: World, call: Call, intent: str) -> Obj:
    """Try a payment with the customer there, as a browser does."""
    sent, found = call.parameters, world.get(payment_intents.INTENT, intent)
    for name in ("client_secret", "return_url"):
        sent.text(name)
    customer, named = world.get("customer", found["customer"]), sent.text("payment_method")
    method = check_attached(world, customer, named, "payment_method") if named else None
    return collection.confirm(world, found, method)


def _check_draft(invoice: Obj) -> None:
    if invoice["status"] != "draft":
        message = "This invoice is no longer editable, as it is not a draft."
        raise StripeFailure(message, code="invoice_not_editable")


def _close(world: World, invoice: Obj, status: str) -> Obj:
    invoices.close(world, invoice, status)
    if status == "void":
        payment_intents.cancel(world, invoice)
    standing.invoice_done(world, invoice)
    return invoice


ROUTES = [
    Route("POST", "/v1/invoices", create),
    Route("GET", "/v1/invoices", list_all),
    Route("POST", "/v1/invoices/create_preview", preview),
    Route("GET", "/v1/invoices/{invoice}", retrieve),
    Route("POST", "/v1/invoices/{invoice}", update),
    Route("DELETE", "/v1/invoices/{invoice}", delete),
    Route("GET", "/v1/invoices/{invoice}/lines", list_lines),
    Route("POST", "/v1/invoices/{invoice}/finalize", finalize),
    Route("POST", "/v1/invoices/{invoice}/pay", pay),
    Route("POST", "/v1/invoices/{invoice}/void", void),
    Route("POST", "/v1/invoices/{invoice}/mark_uncollectible", mark_uncollectible),
    Route("GET", "/v1/invoice_payments", list_payments),
    Route("GET", "/v1/invoice_payments/{payment}", retrieve_payment),
    Route("GET", "/v1/payment_intents", list_intents),
    Route("GET", "/v1/payment_intents/{intent}", retrieve_intent),
    Route("POST", "/v1/payment_intents/{intent}/confirm", confirm_intent),
]
