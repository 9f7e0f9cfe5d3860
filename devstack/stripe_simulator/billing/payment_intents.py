"""Payment intents: one for what an invoice asks for, confirmed by each try.
docs.stripe.com/api/payment_intents/object

Only those of invoices exist here. `POST …/confirm` is what a browser does with `confirmation_secret`: the customer is
there.
"""

from __future__ import annotations

from devstack.stripe_simulator.billing import charges
from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.pages import whole
from devstack.stripe_simulator.world import World

INTENT = "payment_intent"
PAYMENT = "invoice_payment"


def open_for(world: World, invoice: Obj) -> Obj:
    """Create the intent that a finalized invoice is to be paid by, and the invoice's payment of it."""
    now, identifier = world.now(invoice), world.new_id("pi")
    intent = world.insert(
        {
            "id": identifier,
            "object": INTENT,
            "amount": invoice["amount_due"],
            "amount_capturable": 0,
            "amount_received": 0,
            "application": None,
            "application_fee_amount": None,
            "automatic_payment_methods": None,
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": "automatic",
            "client_secret": f"{identifier}_secret_{world.new_id('s')[2:]}",
            "confirmation_method": "automatic",
            "created": now,
            "currency": invoice["currency"],
            "customer": invoice["customer"],
            "description": f"Invoice {invoice['number']}",
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "metadata": {},
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": None,
            "payment_method_options": {},
            "payment_method_types": ["card"],
            "processing": None,
            "receipt_email": None,
            "review": None,
            "setup_future_usage": "off_session" if invoice["parent"] else None,
            "shipping": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": "requires_payment_method",
            "transfer_data": None,
            "transfer_group": None,
            "_invoice": invoice["id"],
        },
        "payment_intent.created",
    )
    world.insert(
        {
            "id": world.new_id("inpay"),
            "object": PAYMENT,
            "amount_paid": None,
            "amount_requested": invoice["amount_due"],
            "created": now,
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": False,
            "payment": {"payment_intent": identifier, "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
            "_customer": invoice["customer"],
        }
    )
    secret = {"client_secret": intent["client_secret"], "type": "payment_intent"}
    world.update(invoice, {"_confirmation_secret": secret})
    return intent


def of_invoice(world: World, invoice: Obj) -> Obj | None:
    """Return the intent of an invoice; None where nothing was to be paid."""
    return next(iter(world.find(INTENT, _invoice=invoice["id"])), None)


def payments_of(world: World, invoice: Obj) -> Obj:
    """Return the list that `expand[]=payments` shows on an invoice."""
    found = world.find(PAYMENT, invoice=invoice["id"])
    return whole(f"/v1/invoice_payments?invoice={invoice['id']}", found)


def failed(world: World, intent: Obj, error: Obj) -> None:
    """Note a declined try."""
    failure = {"next_action": None, "payment_method": None, "status": "requires_payment_method"}
    world.update(intent, failure | {"last_payment_error": error})
    world.emit("payment_intent.payment_failed", intent)


def asks_for_authentication(world: World, intent: Obj, method: str) -> None:
    """Note that the customer has to authenticate; `next_action` leads to our own page."""
    url = f"{world.base_url}/invoices/{intent['_invoice']}"
    action = {"redirect_to_url": {"return_url": None, "url": url}, "type": "redirect_to_url"}
    changes = {"next_action": action, "payment_method": method, "status": "requires_action"}
    world.update(intent, changes)
    world.emit("payment_intent.requires_action", intent)


def succeeded(world: World, intent: Obj, method: str) -> None:
    """Note that the money came."""
    changes = {
        "amount_received": intent["amount"],
        "latest_charge": charges.of_payment(world, intent, method)["id"],
        "last_payment_error": None,
        "next_action": None,
        "payment_method": method,
        "status": "succeeded",
    }
    world.update(intent, changes)
    world.emit("payment_intent.succeeded", intent)
    payment = _payment_of(world, intent)
    done = payment["status_transitions"] | {"paid_at": world.now(intent)}
    paid = {"amount_paid": intent["amount"], "status": "paid", "status_transitions": done}
    world.update(payment, paid)
    world.emit("invoice_payment.paid", payment)


def cancel(world: World, invoice: Obj) -> None:
    """Cancel what an invoice asked for: it was voided, or paid in another way."""
    intent = of_invoice(world, invoice)
    if intent is None or intent["status"] == "succeeded":
        return
    now = world.now(invoice)
    reason = "void_invoice" if invoice["status"] == "void" else "automatic"
    world.update(intent, {"canceled_at": now, "cancellation_reason": reason, "next_action": None, "status": "canceled"})
    world.emit("payment_intent.canceled", intent)
    payment = _payment_of(world, intent)
    world.update(
        payment, {"status": "canceled", "status_transitions": payment["status_transitions"] | {"canceled_at": now}}
    )


def _payment_of(world: World, intent: Obj) -> Obj:
    return world.find(PAYMENT, invoice=intent["_invoice"])[0]
