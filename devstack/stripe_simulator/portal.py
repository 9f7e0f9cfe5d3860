"""Portal sessions: an hour in which a customer changes plan, cards and more by themselves, and what that does."""

from __future__ import annotations

from devstack.stripe_simulator import payment_methods, portal_configurations
from devstack.stripe_simulator.billing import cancellations, updates
from devstack.stripe_simulator.billing.subscription_items import held
from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

SESSION = "billing_portal.session"
_OPEN_S = 3_600
_FLOWS = ("payment_method_update", "subscription_cancel", "subscription_update")
_ENDINGS = ("hosted_confirmation", "portal_homepage", "redirect")


def create(world: World, call: Call) -> Obj:
    """Create a session."""
    parameters = call.parameters
    customer = world.get("customer", parameters.required("customer"), "customer")
    named = parameters.text("configuration")
    if named:
        configuration = world.get(portal_configurations.CONFIGURATION, named, "configuration")
    else:
        configuration = portal_configurations.default(world)
    if not configuration["active"]:
        raise invalid_parameter("configuration", "The configuration is inactive.")
    identifier = world.new_id("bps", 40)
    session: Obj = {
        "id": identifier,
        "object": SESSION,
        "configuration": configuration["id"],
        "created": world.now(customer),
        "customer": customer["id"],
        "customer_account": None,
        "flow": _flow(world, parameters, customer),
        "livemode": False,
        "locale": parameters.text("locale") or None,
        "on_behalf_of": None,
        "return_url": parameters.text("return_url") or configuration["default_return_url"],
        "url": f"{world.base_url}/p/session/{identifier}",
        "_open_until": world.clock.now() + _OPEN_S,
    }
    return world.insert(session, "billing_portal.session.created")


def _flow(world: World, parameters: Parameters, customer: Obj) -> Obj | None:
    sent = parameters.mapping("flow_data")
    if sent is None:
        return None
    kind = sent.choice("type", _FLOWS)
    if not kind:
        raise missing_parameter("flow_data[type]")
    flow: Obj = {"after_completion": _ending(sent), **dict.fromkeys(_FLOWS[1:]), "type": kind}
    flow["subscription_update_confirm"] = None
    if kind in _FLOWS[1:]:
        about = sent.mapping(kind)
        if about is None:
            raise missing_parameter(sent.path(kind))
        subscription = world.get("subscription", about.required("subscription"), about.path("subscription"))
        if subscription["customer"] != customer["id"]:
            raise invalid_parameter(about.path("subscription"), "The subscription is another customer's.")
        flow[kind] = {"subscription": subscription["id"]}
        if kind == "subscription_cancel":
            flow[kind]["retention"] = None
    return {name: value for name, value in flow.items() if name != "payment_method_update"}


def _ending(sent: Parameters) -> Obj:
    ending = sent.mapping("after_completion")
    if ending is None:
        return {"hosted_confirmation": None, "redirect": None, "type": "portal_homepage"}
    confirmation, redirect = ending.mapping("hosted_confirmation"), ending.mapping("redirect")
    return {
        "hosted_confirmation": confirmation and {"custom_message": confirmation.text("custom_message") or None},
        "redirect": redirect and {"return_url": redirect.required("return_url")},
        "type": ending.choice("type", _ENDINGS) or "portal_homepage",
    }


def subscriptions_of(world: World, session: Obj) -> list[Obj]:
    """Return what the customer has that has not ended."""
    found = world.find("subscription", customer=session["customer"])
    return [one for one in found if one["status"] not in ("canceled", "incomplete_expired")]


def own(world: World, session: Obj, kind: str, identifier: str) -> Obj:
    """Return an object of the session's customer. Raises: StripeFailure for those of others."""
    found = world.get(kind, identifier)
    if found["customer"] != session["customer"]:
        raise StripeFailure("This is another customer's.", status=404, code="resource_missing")
    return found


def feature(world: World, session: Obj, name: str) -> Obj:
    """Return how the customer may use a feature. Raises: StripeFailure where they may not."""
    features = world.get(portal_configurations.CONFIGURATION, session["configuration"])["features"]
    found: Obj = features[name]
    if not found["enabled"]:
        raise StripeFailure("This is not offered here.", status=403)
    return found


def offers(world: World, session: Obj, subscription: Obj) -> list[Obj]:
    """Return the prices that a subscription of one item can switch to."""
    features = world.get(portal_configurations.CONFIGURATION, session["configuration"])["features"]
    update = features["subscription_update"]
    items = held(subscription)
    if not update["enabled"] or "price" not in update["default_allowed_updates"] or len(items) != 1:
        return []
    prices = (world.known("price", price) for product in update["products"] for price in product["prices"])
    return [
        price
        for price in prices
        if price is not None
        and price["active"]
        and price["id"] != items[0]["price"]["id"]
        and subscription["currency"] in price["_currency_options"]
    ]


def switch(world: World, session: Obj, subscription: Obj, price: str) -> None:
    """Change the plan as the configuration says. Raises: StripeFailure; then nothing has changed."""
    if price not in [offer["id"] for offer in offers(world, session, subscription)]:
        raise StripeFailure("This plan is not offered here.", status=403)
    item = held(subscription)[0]
    changed: Obj = {"id": item["id"], "price": price}
    if "quantity" in item and _is_licensed(world.get("price", price)):
        changed["quantity"] = item["quantity"]
    behavior = feature(world, session, "subscription_update")["proration_behavior"]
    values = {
        "items": [changed],
        "payment_behavior": "error_if_incomplete" if behavior == "always_invoice" else "allow_incomplete",
        "proration_behavior": behavior,
    }
    _update(world, subscription, values)


def _is_licensed(price: Obj) -> bool:
    return bool(price["recurring"]["usage_type"] == "licensed")


def cancel(world: World, session: Obj, subscription: Obj, feedback: str, comment: str) -> None:
    """Cancel as the configuration says: at the period's end or at once."""
    mode = feature(world, session, "subscription_cancel")
    details: Obj = {"feedback": feedback, "comment": comment[:500]}
    details = {"cancellation_details": {name: value for name, value in details.items() if value}}
    if mode["mode"] == "at_period_end":
        _update(world, subscription, {"cancel_at_period_end": True, **details})
        return
    sent = Parameters(details)
    world.update(
        subscription,
        {"cancellation_details": cancellations.read_details(sent, subscription["cancellation_details"])},
    )
    prorates = mode["proration_behavior"] != "none"
    cancellations.cancel(
        world, subscription, invoice_now=mode["proration_behavior"] == "always_invoice", prorate=prorates
    )


def renew(world: World, session: Obj, subscription: Obj) -> None:
    """Take a cancellation at the period's end back."""
    feature(world, session, "subscription_cancel")
    _update(world, subscription, {"cancel_at_period_end": False})


def _update(world: World, subscription: Obj, values: Obj) -> None:
    path = f"/v1/subscriptions/{subscription['id']}"
    updates.update(world, Call("POST", path, Parameters(values), ""), subscription["id"])


def make_default(world: World, session: Obj, method: Obj) -> None:
    """Pay with this from now on: as the customer, and for each subscription."""
    feature(world, session, "payment_method_update")
    customer = world.get("customer", session["customer"])
    settings = {**customer["invoice_settings"], "default_payment_method": method["id"]}
    world.update(customer, {"invoice_settings": settings}, "customer.updated")
    for subscription in subscriptions_of(world, session):
        if subscription["default_payment_method"] is not None:
            changes = {"default_payment_method": method["id"]}
            world.update(subscription, changes, "customer.subscription.updated")


def remove(world: World, session: Obj, method: Obj) -> None:
    """Forget a card. Raises: StripeFailure for the one that subscriptions are paid with."""
    feature(world, session, "payment_method_update")
    if any(one["default_payment_method"] == method["id"] for one in subscriptions_of(world, session)):
        raise StripeFailure("A subscription is paid with this card: make another one the default first.")
    payment_methods.detach(world, method)


ROUTES = [Route("POST", "/v1/billing_portal/sessions", create)]
