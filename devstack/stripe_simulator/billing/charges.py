"""Charges, and what takes the money back: refunds by the seller, disputes by the customer's bank.

docs.stripe.com/api/charges/object, docs.stripe.com/refunds, docs.stripe.com/disputes/how-disputes-work. A charge comes
with a payment that succeeds, without an event of its own. A refund succeeds at once. No balance is kept: what a dispute
withdraws is on no account. An invoice stays paid whatever becomes of its money.
"""

from __future__ import annotations

from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter, missing_parameter
from devstack.stripe_simulator.pages import Page, paginate, within
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

CHARGE = "charge"
REFUND = "refund"
DISPUTE = "dispute"
OPEN = "needs_response"
CLOSED = ("won", "lost", "warning_closed")
_REASONS = ("duplicate", "fraudulent", "requested_by_customer")


def of_payment(world: World, intent: Obj, method: str) -> Obj:
    """Keep the charge of a payment that succeeded."""
    return world.insert(
        {
            "id": world.new_id("ch"),
            "object": CHARGE,
            "amount": intent["amount"],
            "amount_captured": intent["amount"],
            "amount_refunded": 0,
            "billing_details": {"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
            "captured": True,
            "created": world.now(intent),
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "livemode": False,
            "metadata": {},
            "paid": True,
            "payment_intent": intent["id"],
            "payment_method": method,
            "refunded": False,
            "status": "succeeded",
        }
    )


def dispute(world: World, payment_intent: str, status: str) -> Obj:
    """Open the dispute of a payment, or close the one that is open. Raises: StripeFailure."""
    charge = _charge_of(world, payment_intent, "payment_intent")
    found = next((each for each in world.find(DISPUTE, charge=charge["id"]) if each["status"] == OPEN), None)
    if status in CLOSED:
        if found is None:
            raise invalid_parameter("status", f"No dispute of {payment_intent} is open.")
        return world.update(found, {"status": status}, "charge.dispute.closed")
    if status != OPEN or found is not None:
        raise invalid_parameter("status", f"Open a dispute with {OPEN}, once, or close it with {', '.join(CLOSED)}.")
    made = world.insert(
        {
            "id": world.new_id("du"),
            "object": DISPUTE,
            "amount": charge["amount"] - charge["amount_refunded"],
            "balance_transactions": [],
            "charge": charge["id"],
            "created": world.now(charge),
            "currency": charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {"enhanced_evidence": {}},
            "evidence_details": {
                "due_by": None,
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": False,
            "livemode": False,
            "metadata": {},
            "payment_intent": payment_intent,
            "reason": "fraudulent",
            "status": OPEN,
            "_customer": charge["customer"],
        }
    )
    world.update(charge, {"disputed": True}, "charge.updated")
    world.emit("charge.dispute.created", made)
    return made


def refund(world: World, call: Call) -> Obj:
    """Give money back: all that is left of a payment, or a part."""
    sent = call.parameters
    intent, named = sent.text("payment_intent"), sent.text("charge")
    if not intent and not named:
        raise missing_parameter("payment_intent")
    charge = _charge_of(world, intent, "payment_intent") if intent else world.get(CHARGE, named or "", "charge")
    left = charge["amount"] - charge["amount_refunded"]
    amount = sent.integer("amount", least=1) or left
    if not left:
        raise StripeFailure(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if amount > left:
        message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
        raise invalid_parameter("amount", message)
    if charge["disputed"]:
        raise StripeFailure(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed"
        )
    made = world.insert(
        {
            "id": world.new_id("re"),
            "object": REFUND,
            "amount": amount,
            "charge": charge["id"],
            "created": world.now(charge),
            "currency": charge["currency"],
            "metadata": sent.metadata(),
            "payment_intent": charge["payment_intent"],
            "reason": sent.choice("reason", _REASONS) or None,
            "status": "succeeded",
            "_customer": charge["customer"],
        },
        "refund.created",
    )
    world.update(charge, {"amount_refunded": charge["amount_refunded"] + amount, "refunded": amount == left})
    world.emit("charge.refunded", charge)
    return made


def retrieve(world: World, call: Call, charge: str) -> Obj:
    """Return a charge."""
    return world.get(CHARGE, charge)


def list_charges(world: World, call: Call) -> Page:
    """List charges."""
    sent = call.parameters
    names = ("customer", "payment_intent")
    equal = {name: value for name in names if (value := sent.text(name))}
    return paginate(sent, call.path, within(sent, world.find(CHARGE, **equal)))


def list_disputes(world: World, call: Call) -> Page:
    """List disputes."""
    sent = call.parameters
    equal = {name: value for name in ("charge", "payment_intent") if (value := sent.text(name))}
    return paginate(sent, call.path, within(sent, world.find(DISPUTE, **equal)))


def _charge_of(world: World, intent: str, param: str) -> Obj:
    """Return what a payment charged. Raises: StripeFailure for one that brought nothing."""
    found = world.get("payment_intent", intent, param)
    if found["latest_charge"] is None:
        raise invalid_parameter(param, "This PaymentIntent does not have a successful charge.")
    return world.get(CHARGE, found["latest_charge"])


ROUTES = [
    Route("GET", "/v1/charges", list_charges),
    Route("GET", "/v1/charges/{charge}", retrieve),
    Route("GET", "/v1/disputes", list_disputes),
    Route("POST", "/v1/refunds", refund),
]
