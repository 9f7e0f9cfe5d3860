"""Setup intents: saving a card for later payments, with its holder's authentication where the bank asks for it."""

from __future__ import annotations

from devstack.stripe_simulator import payment_methods
from devstack.stripe_simulator.cards import Outcome, declined, setup_outcome
from devstack.stripe_simulator.failures import Obj, StripeFailure
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page, paginate, within
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World, public

KIND = "setup_intent"
_CANCELABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
_NOT_AUTHENTICATED = Outcome(
    "declined",
    "setup_intent_authentication_failure",
    None,
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
)
_REASONS = ("abandoned", "duplicate", "requested_by_customer")


def create(world: World, call: Call) -> Obj:
    """Create a setup intent, confirmed at once where asked."""
    parameters = call.parameters
    customer = parameters.text("customer")
    if customer:
        world.get("customer", customer, "customer")
    intent = begin(
        world,
        customer or None,
        usage=parameters.choice("usage", ("off_session", "on_session")) or "off_session",
        description=parameters.text("description") or None,
        metadata=parameters.metadata(),
        automatic=_automatic(parameters),
        kinds=parameters.texts("payment_method_types"),
    )
    _take_method(world, intent, parameters)
    return_url = parameters.text("return_url")
    if parameters.boolean("confirm"):
        return confirm(world, intent, return_url)
    return intent


def begin(
    world: World,
    customer: str | None,
    *,
    usage: str = "off_session",
    description: str | None = None,
    metadata: dict[str, str] | None = None,
    automatic: Obj | None = None,
    kinds: list[str] | None = None,
) -> Obj:
    """Keep a setup intent that waits for a payment method; subscriptions and pages use it too."""
    identifier = world.new_id("seti")
    intent: Obj = {
        "id": identifier,
        "object": KIND,
        "application": None,
        "automatic_payment_methods": automatic,
        "cancellation_reason": None,
        "client_secret": world.new_id(f"{identifier}_secret"),
        "created": world.now({"customer": customer}),
        "customer": customer,
        "customer_account": None,
        "description": description,
        "excluded_payment_method_types": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": metadata or {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {
            "card": {"mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
        },
        "payment_method_types": kinds or ["card"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": usage,
    }
    return world.insert(intent, "setup_intent.created")


def confirm(world: World, intent: Obj, return_url: str | None = None) -> Obj:
    """Try to set the payment method up. Raises: StripeFailure card_error; the intent keeps it as its last error."""
    if intent["status"] == "requires_payment_method":
        raise StripeFailure(
            "You cannot confirm this SetupIntent because it's missing a payment method. "
            "Update the SetupIntent with a payment method and then try again.",
            code="setup_intent_unexpected_state" if intent["payment_method"] else "parameter_missing",
            param="payment_method",
        )
    if intent["status"] != "requires_confirmation":
        raise _unexpected_state(intent, "confirm")
    method = world.get("payment_method", intent["payment_method"], "payment_method")
    outcome = setup_outcome(method)
    if outcome.kind == "declined":
        return _fail(world, intent, method, outcome)
    if outcome.kind == "authentication_required":
        action: Obj = {"type": "use_stripe_sdk", "use_stripe_sdk": {}}
        if return_url:
            url = f"{world.base_url}/authenticate/{intent['client_secret']}"
            action = {"type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": url}}
        return world.update(
            intent, {"status": "requires_action", "next_action": action}, "setup_intent.requires_action"
        )
    return _succeed(world, intent, method)


def authenticate(world: World, intent: Obj, *, passed: bool) -> Obj:
    """Take the holder's answer to the bank's question. Raises: StripeFailure when it was no."""
    if intent["status"] != "requires_action":
        raise _unexpected_state(intent, "authenticate")
    method = world.get("payment_method", intent["payment_method"], "payment_method")
    if not passed:
        return _fail(world, intent, method, _NOT_AUTHENTICATED)
    world.update(method, {"_authenticated": "set_up"})
    return _succeed(world, intent, method)


def _succeed(world: World, intent: Obj, method: Obj) -> Obj:
    if intent["customer"]:
        payment_methods.attach(world, method, world.get("customer", intent["customer"], "customer"))
    changes = {"status": "succeeded", "next_action": None, "last_setup_error": None}
    return world.update(intent, changes, "setup_intent.succeeded")


def _fail(world: World, intent: Obj, method: Obj, outcome: Outcome) -> Obj:
    failure = declined(outcome, payment_method=public(method))
    changes: Obj = {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "last_setup_error": failure.body()["error"],
    }
    world.update(intent, changes)
    world.emit("setup_intent.setup_failed", intent)
    failure.extra = {**failure.extra, "setup_intent": public(intent)}
    raise failure


def _take_method(world: World, intent: Obj, parameters: Parameters) -> None:
    identifier, data = parameters.text("payment_method"), parameters.mapping("payment_method_data")
    if not identifier and data is None:
        return
    method = payment_methods.named(world, identifier) if identifier else payment_methods.read(world, data or parameters)
    if method["customer"] not in (None, intent["customer"]):
        message = "The provided PaymentMethod belongs to another Customer."
        raise StripeFailure(message, param="payment_method")
    world.update(intent, {"payment_method": method["id"], "status": "requires_confirmation"})


def _automatic(parameters: Parameters) -> Obj | None:
    sent = parameters.mapping("automatic_payment_methods")
    if sent is None:
        return None
    redirects = sent.choice("allow_redirects", ("always", "never")) or "always"
    return {"allow_redirects": redirects, "enabled": bool(sent.boolean("enabled"))}


def _unexpected_state(intent: Obj, verb: str) -> StripeFailure:
    return StripeFailure(
        f"You cannot {verb} this SetupIntent because it has a status of {intent['status']}.",
        code="setup_intent_unexpected_state",
        extra={"setup_intent": public(intent)},
    )


def _confirm(world: World, call: Call, intent: str) -> Obj:
    found = world.get(KIND, intent)
    if found["status"] in ("requires_payment_method", "requires_confirmation"):
        _take_method(world, found, call.parameters)
    return confirm(world, found, call.parameters.text("return_url"))


def _update(world: World, call: Call, intent: str) -> Obj:
    found = world.get(KIND, intent)
    if found["status"] not in _CANCELABLE:
        raise _unexpected_state(found, "update")
    parameters = call.parameters
    changes: Obj = {"metadata": parameters.metadata(found["metadata"])}
    if parameters.given("description"):
        changes["description"] = parameters.text("description") or None
    if customer := parameters.text("customer"):
        changes["customer"] = world.get("customer", customer, "customer")["id"]
    world.update(found, changes)
    _take_method(world, found, parameters)
    return found


def _cancel(world: World, call: Call, intent: str) -> Obj:
    found = world.get(KIND, intent)
    reason = call.parameters.choice("cancellation_reason", _REASONS) or None
    if found["status"] not in _CANCELABLE:
        raise _unexpected_state(found, "cancel")
    changes = {"status": "canceled", "cancellation_reason": reason, "next_action": None}
    return world.update(found, changes, "setup_intent.canceled")


def _retrieve(world: World, call: Call, intent: str) -> Obj:
    call.parameters.text("client_secret")
    return world.get(KIND, intent)


def _list(world: World, call: Call) -> Page:
    parameters = call.parameters
    equal = {name: value for name in ("customer", "payment_method") if (value := parameters.text(name))}
    return paginate(parameters, call.path, within(parameters, world.find(KIND, **equal)))


ROUTES = [
    Route("POST", "/v1/setup_intents", create),
    Route("GET", "/v1/setup_intents", _list),
    Route("GET", "/v1/setup_intents/{intent}", _retrieve),
    Route("POST", "/v1/setup_intents/{intent}", _update),
    Route("POST", "/v1/setup_intents/{intent}/confirm", _confirm),
    Route("POST", "/v1/setup_intents/{intent}/cancel", _cancel),
]
