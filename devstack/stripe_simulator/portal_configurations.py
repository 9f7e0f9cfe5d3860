"""Portal configurations: what customers may do by themselves."""

from __future__ import annotations

from devstack.stripe_simulator.failures import Obj, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page, paginate
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

CONFIGURATION = "billing_portal.configuration"
_REASONS = (
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
)
_CUSTOMER_FIELDS = ("address", "email", "name", "phone", "shipping", "tax_id")
_PRORATIONS = ("always_invoice", "create_prorations", "none")
_MOST_PRODUCTS = 10
_NOTHING_ALLOWED: Obj = {
    "customer_update": {"allowed_updates": [], "enabled": False},
    "invoice_history": {"enabled": False},
    "payment_method_update": {"enabled": False, "payment_method_configuration": None},
    "subscription_cancel": {
        "cancellation_reason": {"enabled": False, "options": []},
        "enabled": False,
        "mode": "at_period_end",
        "proration_behavior": "none",
    },
    "subscription_update": {
        "billing_cycle_anchor": None,
        "default_allowed_updates": [],
        "enabled": False,
        "products": [],
        "proration_behavior": "none",
        "schedule_at_period_end": {"conditions": []},
        "trial_update_behavior": "end_trial",
    },
}
_DEFAULT_FEATURES: Obj = {
    **_NOTHING_ALLOWED,
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True, "payment_method_configuration": None},
    "subscription_cancel": {**_NOTHING_ALLOWED["subscription_cancel"], "enabled": True},
}


def default(world: World) -> Obj:
    """Return the default configuration, which in Stripe is made in the Dashboard."""
    found = world.find(CONFIGURATION, is_default=True)
    return found[0] if found else world.insert(_new(world, is_default=True, features=_DEFAULT_FEATURES))


def _new(world: World, **fields: object) -> Obj:
    now = world.now()
    return {
        "id": world.new_id("bpc"),
        "object": CONFIGURATION,
        "active": True,
        "application": None,
        "business_profile": {"headline": None, "privacy_policy_url": None, "terms_of_service_url": None},
        "created": now,
        "default_return_url": None,
        "features": _NOTHING_ALLOWED,
        "is_default": False,
        "livemode": False,
        "login_page": {"enabled": False, "url": None},
        "metadata": {},
        "name": None,
        "updated": now,
        **fields,
    }


def _create(world: World, call: Call) -> Obj:
    if call.parameters.mapping("features") is None:
        raise missing_parameter("features")
    configuration = _new(world)
    configuration |= _read(world, call.parameters, configuration)
    return world.insert(configuration, "billing_portal.configuration.created")


def _update(world: World, call: Call, configuration: str) -> Obj:
    found = world.get(CONFIGURATION, configuration)
    changes = _read(world, call.parameters, found)
    if (active := call.parameters.boolean("active")) is not None:
        if not active and found["is_default"]:
            raise invalid_parameter("active", "The default configuration can not be deactivated.")
        changes["active"] = active
    return world.update(found, {**changes, "updated": world.now()}, "billing_portal.configuration.updated")


def _read(world: World, parameters: Parameters, current: Obj) -> Obj:
    changes: Obj = {"metadata": parameters.metadata(current["metadata"])}
    for name in ("default_return_url", "name"):
        if parameters.given(name):
            changes[name] = parameters.text(name) or None
    if profile := parameters.mapping("business_profile"):
        known = current["business_profile"]
        changes["business_profile"] = {
            name: (profile.text(name) or None) if profile.given(name) else known[name] for name in known
        }
    if (login := parameters.mapping("login_page")) and login.boolean("enabled"):
        raise invalid_parameter("login_page[enabled]", "The simulator has no login page: create sessions.")
    if features := parameters.mapping("features"):
        changes["features"] = _features(world, features, current["features"])
    return changes


def _features(world: World, sent: Parameters, current: Obj) -> Obj:
    features = dict(current)
    if (update := sent.mapping("customer_update")) is not None:
        allowed = update.choices("allowed_updates", _CUSTOMER_FIELDS)
        features["customer_update"] = _laid(
            current["customer_update"], enabled=update.boolean("enabled"), allowed_updates=allowed
        )
    for name in ("invoice_history", "payment_method_update"):
        if (feature := sent.mapping(name)) is not None:
            features[name] = _laid(current[name], enabled=feature.boolean("enabled"))
    if (cancel := sent.mapping("subscription_cancel")) is not None:
        features["subscription_cancel"] = _cancel(cancel, current["subscription_cancel"])
    if (change := sent.mapping("subscription_update")) is not None:
        features["subscription_update"] = _change(world, change, current["subscription_update"])
    return features


def _cancel(sent: Parameters, current: Obj) -> Obj:
    reasons = current["cancellation_reason"]
    if (asked := sent.mapping("cancellation_reason")) is not None:
        reasons = _laid(reasons, enabled=asked.boolean("enabled"), options=asked.choices("options", _REASONS))
    return _laid(
        {**current, "cancellation_reason": reasons},
        enabled=sent.boolean("enabled"),
        mode=sent.choice("mode", ("at_period_end", "immediately")) or None,
        proration_behavior=sent.choice("proration_behavior", _PRORATIONS) or None,
    )


def _change(world: World, sent: Parameters, current: Obj) -> Obj:
    products = sent.items("products")
    if products is not None and len(products) > _MOST_PRODUCTS:
        raise invalid_parameter(sent.path("products"), f"At most {_MOST_PRODUCTS} products can be offered.")
    conditions = current["schedule_at_period_end"]
    if (schedule := sent.mapping("schedule_at_period_end")) is not None:
        kinds = ("decreasing_item_amount", "shortening_interval")
        conditions = {"conditions": [{"type": one.choice("type", kinds)} for one in schedule.items("conditions") or []]}
    changed = _laid(
        current,
        billing_cycle_anchor=sent.choice("billing_cycle_anchor", ("now", "unchanged")) or None,
        default_allowed_updates=sent.choices("default_allowed_updates", ("price", "promotion_code", "quantity")),
        enabled=sent.boolean("enabled"),
        products=None if products is None else [_product(world, product) for product in products],
        proration_behavior=sent.choice("proration_behavior", _PRORATIONS) or None,
        schedule_at_period_end=conditions,
        trial_update_behavior=sent.choice("trial_update_behavior", ("continue_trial", "end_trial")) or None,
    )
    if changed["enabled"] and not changed["products"]:
        raise missing_parameter(sent.path("products"))
    return changed


def _product(world: World, sent: Parameters) -> Obj:
    product = world.get("product", sent.required("product"), sent.path("product"))["id"]
    prices = sent.texts("prices") or []
    for price in prices:
        if world.get("price", price, sent.path("prices"))["product"] != product:
            raise invalid_parameter(sent.path("prices"), f"The price `{price}` is not one of `{product}`.")
    adjustable = sent.mapping("adjustable_quantity")
    quantity = {
        "enabled": bool(adjustable and adjustable.boolean("enabled")),
        "maximum": adjustable.integer("maximum") if adjustable else None,
        "minimum": (adjustable.integer("minimum") if adjustable else None) or 1,
    }
    return {"adjustable_quantity": quantity, "prices": prices, "product": product}


def _laid(current: Obj, **sent: object) -> Obj:
    """Return `current` with what was sent laid over it."""
    return {**current, **{name: value for name, value in sent.items() if value is not None}}


def _retrieve(world: World, call: Call, configuration: str) -> Obj:
    return world.get(CONFIGURATION, configuration)


def _list(world: World, call: Call) -> Page:
    parameters = call.parameters
    flags = {name: flag for name in ("active", "is_default") if (flag := parameters.boolean(name)) is not None}
    return paginate(parameters, call.path, world.find(CONFIGURATION, **flags))


ROUTES = [
    Route("POST", "/v1/billing_portal/configurations", _create),
    Route("GET", "/v1/billing_portal/configurations", _list),
    Route("GET", "/v1/billing_portal/configurations/{configuration}", _retrieve),
    Route("POST", "/v1/billing_portal/configurations/{configuration}", _update),
]
