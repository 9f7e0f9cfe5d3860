"""Checkout sessions: a page on which a customer subscribes, or leaves a card for later."""

from __future__ import annotations

from devstack.stripe_simulator import (
    cards,
    checkout_terms,
    customers,
    payment_methods,
    promotion_codes,
    setup_intents,
    tax_ids,
)
from devstack.stripe_simulator.addresses import check_email
from devstack.stripe_simulator.billing import subscriptions
from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page, paginate, whole, within
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

SESSION = "checkout.session"
_OPEN_S = 86_400
_OPEN_LEAST_S = 1_800
_BLANK: Obj = {
    "adaptive_pricing": None,
    "after_expiration": None,
    "amount_subtotal": None,
    "amount_total": None,
    "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
    "client_secret": None,
    "collected_information": None,
    "consent": None,
    "consent_collection": None,
    "currency_conversion": None,
    "custom_fields": [],
    "custom_text": {
        "after_submit": None,
        "shipping_address": None,
        "submit": None,
        "terms_of_service_acceptance": None,
    },
    "customer_account": None,
    "discounts": [],
    "invoice": None,
    "invoice_creation": None,
    "livemode": False,
    "origin_context": None,
    "payment_intent": None,
    "payment_link": None,
    "payment_method_configuration_details": None,
    "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
    "payment_method_types": ["card"],
    "permissions": None,
    "phone_number_collection": {"enabled": False},
    "recovered_from": None,
    "redirect_on_completion": "always",
    "saved_payment_method_options": None,
    "setup_intent": None,
    "shipping_address_collection": None,
    "shipping_cost": None,
    "shipping_options": [],
    "status": "open",
    "subscription": None,
    "tax_id_collection": {"enabled": False, "required": "never"},
    "total_details": None,
    "ui_mode": "hosted_page",
    "wallet_options": None,
    "_pending_method": None,
    "_payer": {},
    "_trial_end": None,
    "_lines": [],
    "_subscription_data": {},
}


def create(world: World, call: Call) -> Obj:
    """Create a session."""
    parameters = call.parameters
    mode = parameters.choice("mode", ("payment", "setup", "subscription"))
    if not mode:
        raise missing_parameter("mode")
    if mode == "payment":
        message = "The simulator sells subscriptions and sets cards up; it takes no one-off payments."
        raise invalid_parameter("mode", message)
    customer = parameters.text("customer") or None
    if customer is not None:
        world.get("customer", customer, "customer")
    identifier, now = world.new_id("cs_test", 60), world.now({"customer": customer})
    session: Obj = {
        "id": identifier,
        "object": SESSION,
        **_BLANK,
        **_plain(parameters, mode),
        "created": now,
        "customer": customer,
        "customer_creation": None if customer or mode == "setup" else "always",
        "customer_email": _email(parameters, customer),
        "customer_details": None,
        "expires_at": _expires_at(parameters, now),
        "mode": mode,
        "payment_status": "no_payment_required" if mode == "setup" else "unpaid",
        "url": f"{world.base_url}/c/pay/{identifier}",
    }
    currency = checkout_terms.read_currency(parameters)
    specific = _setup if mode == "setup" else _sale
    session |= specific(world, parameters, session, currency)
    return world.insert(session)


def _plain(parameters: Parameters, mode: str) -> Obj:
    parameters.choice("ui_mode", ("hosted_page",))
    for name in ("automatic_tax", "tax_id_collection", "phone_number_collection", "adaptive_pricing"):
        flag = parameters.mapping(name)
        if flag is not None and flag.boolean("enabled"):
            raise invalid_parameter(f"{name}[enabled]", f"The simulator's page does not offer `{name}`.")
    kinds = parameters.texts("payment_method_types") or ["card"]
    if kinds != ["card"]:
        raise invalid_parameter("payment_method_types", "The simulator takes cards only.")
    update = parameters.mapping("customer_update")
    for name in ("address", "name", "shipping"):
        if update is not None:
            update.choice(name, ("auto", "never"))
    collection = parameters.choice("payment_method_collection", ("always", "if_required"))
    return {
        "allow_promotion_codes": parameters.boolean("allow_promotion_codes"),
        "billing_address_collection": parameters.choice("billing_address_collection", ("auto", "required")) or None,
        "cancel_url": parameters.text("cancel_url") or None,
        "client_reference_id": parameters.text("client_reference_id", max_length=200) or None,
        "locale": parameters.text("locale") or None,
        "metadata": parameters.metadata(),
        "payment_method_collection": (collection or "always") if mode == "subscription" else None,
        "submit_type": parameters.choice("submit_type", ("auto", "subscribe")) or None,
        "success_url": parameters.required("success_url"),
    }


def _email(parameters: Parameters, customer: str | None) -> str | None:
    email = parameters.text("customer_email") or None
    if email is not None and customer is not None:
        message = "You may only specify one of these parameters: customer, customer_email."
        raise invalid_parameter("customer_email", message)
    if email is not None:
        check_email(email, "customer_email")
    return email


def _expires_at(parameters: Parameters, now: int) -> int:
    wanted = parameters.integer("expires_at")
    if wanted is None:
        return now + _OPEN_S
    if not now + _OPEN_LEAST_S <= wanted <= now + _OPEN_S:
        raise invalid_parameter("expires_at", "`expires_at` must be 30 minutes to 24 hours from the creation.")
    return wanted


def _setup(world: World, parameters: Parameters, session: Obj, currency: str | None) -> Obj:
    data = parameters.mapping("setup_intent_data")
    intent = setup_intents.begin(
        world,
        session["customer"],
        description=(data.text("description") if data else None) or None,
        metadata=data.metadata() if data else {},
    )
    return {"currency": currency, "setup_intent": intent["id"]}


def _sale(world: World, parameters: Parameters, session: Obj, currency: str | None) -> Obj:
    lines = checkout_terms.read_lines(world, parameters, currency)
    sale: Obj = {
        "currency": lines[0]["currency"],
        "discounts": checkout_terms.read_discounts(world, parameters),
        "_lines": lines,
        "_subscription_data": checkout_terms.read_subscription_data(parameters),
    }
    return {**sale, **checkout_terms.priced(world, {**session, **sale})}


def apply_code(world: World, session: Obj, code: str) -> None:
    """Take a promotion code that was typed on the page; "" takes it back. Raises: StripeFailure."""
    discounts = []
    if code:
        found = promotion_codes.by_code(world, code, session["customer"])
        discounts = [{"coupon": None, "promotion_code": found["id"]}]
    world.update(session, {"discounts": discounts})
    world.update(session, checkout_terms.priced(world, session))


def needs_card(session: Obj) -> bool:
    """Say whether the page asks for a card."""
    return bool(session["payment_method_collection"] != "if_required" or session["amount_total"])


def complete(world: World, session: Obj, method: Obj | None, payer: Obj) -> cards.Outcome:
    """Do what the page is for, with a card or none; what the bank says decides whether it was done.

    Raises: StripeFailure where something else refuses.
    """
    outcome = _asked(session, method)
    if outcome.kind == "authentication_required" and method is not None:
        world.update(session, {"_pending_method": method["id"], "_payer": payer})
    if outcome.kind != "paid":
        return outcome
    if session["mode"] == "setup":
        changes = _set_up(world, session, method)
    else:
        changes = _subscribe(world, session, method, payer)
    if method is not None:
        # The holder was there and said yes, also to later payments.
        world.update(method, {"_authenticated": "set_up"})
    done: Obj = {
        "customer_details": _details(world, changes["customer"], payer),
        "status": "complete",
        "url": None,
        "_pending_method": None,
    }
    world.update(session, {**changes, **done})
    world.emit("checkout.session.completed", session)
    return outcome


def _asked(session: Obj, method: Obj | None) -> cards.Outcome:
    """Ask the bank, for a charge or for later ones."""
    if method is None:
        return cards.PAID
    if session["mode"] == "setup" or not session["amount_total"]:
        return cards.setup_outcome(method)
    return cards.charge_outcome(method, off_session=False)


def _set_up(world: World, session: Obj, method: Obj | None) -> Obj:
    if method is None:
        raise missing_parameter("card")
    intent = world.get("setup_intent", session["setup_intent"])
    world.update(intent, {"payment_method": method["id"], "status": "requires_confirmation"})
    setup_intents.confirm(world, intent)
    return {"customer": session["customer"]}


def _subscribe(world: World, session: Obj, method: Obj | None, payer: Obj) -> Obj:
    customer = session["customer"]
    if customer is None:
        customer = customers.new(world, Parameters({name: value for name, value in payer.items() if value}))["id"]
    if method is not None:
        payment_methods.attach(world, method, world.get("customer", customer))
    sent = checkout_terms.subscription_parameters(session, customer, method["id"] if method else None)
    subscription = subscriptions.create(world, sent)
    return {
        "customer": customer,
        "invoice": subscription["latest_invoice"],
        "payment_status": "paid" if session["amount_total"] else "no_payment_required",
        "subscription": subscription["id"],
    }


def _details(world: World, customer: str | None, payer: Obj) -> Obj:
    known = world.known("customer", customer) or {}
    names = ("address", "business_name", "individual_name", "phone")
    return {
        **{name: known.get(name) for name in names},
        "email": payer.get("email") or known.get("email"),
        "name": payer.get("name") or known.get("name"),
        "tax_exempt": known.get("tax_exempt", "none"),
        "tax_ids": tax_ids.of(world, customer) if customer else [],
    }


def expire_due(world: World) -> None:
    """Close the sessions whose time is over."""
    for session in world.find(SESSION, status="open"):
        if world.now(session) >= session["expires_at"]:
            _close(world, session)


def _close(world: World, session: Obj) -> Obj:
    world.update(session, {"status": "expired", "url": None})
    world.emit("checkout.session.expired", session)
    return session


def shown(world: World, session: Obj) -> Obj:
    """Return the session as it is sent: its lines can be expanded."""
    return {**session, "_line_items": whole(f"/v1/checkout/sessions/{session['id']}/line_items", session["_lines"])}


def _expire(world: World, call: Call, session: str) -> Obj:
    found = world.get(SESSION, session)
    if found["status"] != "open":
        message = f'Only Checkout Sessions with a status in ["open"] can be expired. This one is {found["status"]}.'
        raise StripeFailure(message, param="session")
    return shown(world, _close(world, found))


def _create(world: World, call: Call) -> Obj:
    return shown(world, create(world, call))


def _retrieve(world: World, call: Call, session: str) -> Obj:
    return shown(world, world.get(SESSION, session))


def _update(world: World, call: Call, session: str) -> Obj:
    found = world.get(SESSION, session)
    return shown(world, world.update(found, {"metadata": call.parameters.metadata(found["metadata"])}))


def _list(world: World, call: Call) -> Page:
    parameters = call.parameters
    names = ("customer", "status", "subscription")
    equal = {name: value for name in names if (value := parameters.text(name))}
    found = [shown(world, session) for session in world.find(SESSION, **equal)]
    return paginate(parameters, call.path, within(parameters, found))


def _list_lines(world: World, call: Call, session: str) -> Page:
    return paginate(call.parameters, call.path, world.get(SESSION, session)["_lines"])


ROUTES = [
    Route("POST", "/v1/checkout/sessions", _create),
    Route("GET", "/v1/checkout/sessions", _list),
    Route("GET", "/v1/checkout/sessions/{session}", _retrieve),
    Route("POST", "/v1/checkout/sessions/{session}", _update),
    Route("POST", "/v1/checkout/sessions/{session}/expire", _expire),
    Route("GET", "/v1/checkout/sessions/{session}/line_items", _list_lines),
]
