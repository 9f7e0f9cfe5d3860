"""Collecting money for invoices: at once, by schedule, or when somebody asks.

docs.stripe.com/invoicing/automatic-collection, docs.stripe.com/billing/subscriptions/overview#payment-status. "Any
payment attempt counts as the first attempt, and subsequently only automatic retries increment the attempt count."
(API reference) The invoices of changes and first invoices are tried once, without retries: auto_advance is off "from
the outset".
"""

from __future__ import annotations

from devstack.stripe_simulator import cards
from devstack.stripe_simulator.billing import invoices, payment_intents, standing
from devstack.stripe_simulator.failures import Obj, StripeFailure, card_declined
from devstack.stripe_simulator.world import World

_NO_METHOD = (
    "This customer has no attached payment source or default payment method. Please consider adding a default payment "
    "method. For more information, visit https://stripe.com/docs/billing/subscriptions/payment-methods-setting"
)
_REQUEST_ERROR = "invalid_request_error"
_NOBODY = cards.Outcome("declined", "resource_missing", None, _NO_METHOD)


def finalize(world: World, invoice: Obj) -> Obj:
    """Finalize a draft: what comes to nothing is paid at once, for anything else a payment intent waits."""
    invoices.finalize(world, invoice)
    if invoice["amount_due"]:
        payment_intents.open_for(world, invoice)
    else:
        mark_paid(world, invoice)
    return invoice


def settle(world: World, invoice: Obj, behavior: str = "allow_incomplete", *, off_session: bool = False) -> None:
    """Finalize an invoice of a new or changed subscription, and try it as `payment_behavior` says.

    Raises: StripeFailure where it fails and nothing incomplete is wanted.
    """
    finalize(world, invoice)
    if invoice["status"] != "open":
        return
    if behavior == "default_incomplete":
        standing.payment_missing(world, invoice)
        return
    if method_of(world, invoice) is None:
        raise missing_method()
    outcome = attempt(world, invoice, off_session=off_session)
    if outcome.kind != "paid" and behavior == "error_if_incomplete":
        raise cards.declined(outcome, keeps_effects=False)


def retry(world: World, invoice: Obj) -> None:
    """Try an invoice that is due by its schedule, and plan the next try if it fails."""
    if attempt(world, invoice, off_session=True, scheduled=True).kind != "paid":
        standing.plan_retry(world, invoice)


def attempt(
    world: World, invoice: Obj, *, method: Obj | None = None, off_session: bool, scheduled: bool = False
) -> cards.Outcome:
    """Charge for an open invoice, and say what became of it."""
    method = method or method_of(world, invoice)
    outcome = cards.charge_outcome(method, off_session=off_session) if method else _NOBODY
    counted = invoice["attempt_count"] + 1 if scheduled or not invoice["attempted"] else invoice["attempt_count"]
    world.update(invoice, {"attempt_count": counted, "attempted": True})
    intent = payment_intents.of_invoice(world, invoice)
    assert intent is not None, "an open invoice has an intent"
    if outcome.kind == "paid" and method is not None:
        payment_intents.succeeded(world, intent, method["id"])
        _keep_method(world, invoice, method["id"])
        mark_paid(world, invoice, amount_paid=invoice["amount_due"])
        return outcome
    if outcome.kind == "authentication_required" and method is not None:
        payment_intents.asks_for_authentication(world, intent, method["id"])
        world.emit("invoice.payment_action_required", invoice)
    else:
        error = {"code": outcome.code, "message": outcome.message, "type": "card_error" if method else _REQUEST_ERROR}
        if outcome.decline_code:
            error["decline_code"] = outcome.decline_code
        payment_intents.failed(world, intent, error)
    world.emit("invoice.payment_failed", invoice)
    standing.payment_missing(world, invoice)
    return outcome


def pay(
    world: World, invoice: Obj, *, method: Obj | None = None, off_session: bool = True, out_of_band: bool = False
) -> Obj:
    """Pay an invoice because somebody asks; the retry schedule goes on as it was.

    Raises: StripeFailure where it can not be paid; a try that fails leaves its traces.
    """
    if invoice["status"] == "draft":
        finalize(world, invoice)
    elif invoice["status"] == "paid":
        raise StripeFailure("Invoice is already paid", code="invoice_already_paid")
    elif invoice["status"] == "void":
        raise StripeFailure("You can only pay an open or uncollectible invoice.", code="invoice_not_payable")
    if invoice["status"] == "paid":
        return invoice
    if out_of_band:
        mark_paid(world, invoice, amount_paid=invoice["amount_due"], off_stripe=True)
        payment_intents.cancel(world, invoice)
        return invoice
    if (method or method_of(world, invoice)) is None:
        raise missing_method()
    outcome = attempt(world, invoice, method=method, off_session=off_session)
    if outcome.kind == "paid":
        return invoice
    intent = payment_intents.of_invoice(world, invoice) or {}
    if outcome.kind == "declined":
        raise cards.declined(outcome, payment_intent=intent)
    message = "This payment requires additional user action before it can be completed successfully."
    raise card_declined(message, "invoice_payment_intent_requires_action", None, extra={"payment_intent": intent})


def confirm(world: World, intent: Obj, method: Obj | None = None, *, authenticated: bool = False) -> Obj:
    """Try a payment with the customer there; `authenticated` says that they passed what the bank asked for.

    Raises: StripeFailure where it is declined.
    """
    if intent["status"] in ("succeeded", "canceled"):
        message = f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}."
        raise StripeFailure(message, code="payment_intent_unexpected_state", extra={"payment_intent": intent})
    invoice = world.get(invoices.INVOICE, intent["_invoice"])
    method = method or world.known("payment_method", intent["payment_method"]) or method_of(world, invoice)
    if method is None:
        raise missing_method()
    tried = method | {"_authenticated": "now"} if authenticated else method
    outcome = attempt(world, invoice, method=tried, off_session=False)
    if outcome.kind == "declined":
        raise cards.declined(outcome, payment_intent=intent)
    if authenticated:
        # What was agreed to for a subscription holds for its later payments.
        world.update(method, {"_authenticated": "set_up"})
    return intent


def mark_paid(world: World, invoice: Obj, *, amount_paid: int = 0, off_stripe: bool = False) -> None:
    """Note that an invoice is paid, and what that does to its subscription."""
    stamps = invoice["status_transitions"] | {"paid_at": world.now(invoice)}
    changes = {
        "amount_paid": amount_paid,
        "amount_paid_off_stripe": amount_paid if off_stripe else 0,
        "amount_remaining": 0,
        "attempted": True,
        "auto_advance": False,
        "next_payment_attempt": None,
        "status": "paid",
        "status_transitions": stamps,
    }
    world.update(invoice, changes, "invoice.updated")
    world.emit("invoice.paid", invoice)
    world.emit("invoice.payment_succeeded", invoice)
    standing.invoice_done(world, invoice)


def _keep_method(world: World, invoice: Obj, method: str) -> None:
    """Make what paid the subscription's default, where it is set up so (`save_default_payment_method`)."""
    subscription = invoices.subscription_of(world, invoice)
    if subscription and subscription["payment_settings"]["save_default_payment_method"] == "on_subscription":
        world.update(subscription, {"default_payment_method": method}, standing.UPDATED)


def method_of(world: World, invoice: Obj) -> Obj | None:
    """Return what an invoice is charged to: its own method, its subscription's, or its customer's default."""
    subscription = invoices.subscription_of(world, invoice) or {}
    customer = world.get("customer", invoice["customer"])
    return chargeable(world, customer, invoice["default_payment_method"], subscription.get("default_payment_method"))


def chargeable(world: World, customer: Obj, *names: str | None) -> Obj | None:
    """Return the first of these payment methods, or of the customer's default, that the customer has."""
    everything = (*names, customer["invoice_settings"]["default_payment_method"])
    found = (world.known("payment_method", name) for name in everything)
    return next((method for method in found if method and method["customer"] == customer["id"]), None)


def missing_method() -> StripeFailure:
    """Return the refusal to charge a customer who left nothing to charge."""
    return StripeFailure(_NO_METHOD, code="resource_missing")
