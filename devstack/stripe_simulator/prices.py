"""Prices: flat, tiered or in packages; once or recurring; licensed or metered; in several currencies."""

from __future__ import annotations

from devstack.stripe_simulator import price_terms, products
from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter, missing_parameter
from devstack.stripe_simulator.pages import Page, paginate, within
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

_LOOKUP_KEYS = 10


def create(world: World, call: Call) -> Obj:
    """Create a price of an existing product or of a new one."""
    parameters = call.parameters
    described = parameters.mapping("product_data")
    identifier = parameters.text("product")
    if bool(identifier) == (described is not None):
        raise (
            missing_parameter("product")
            if described is None
            else invalid_parameter("product", "You may only specify one of these parameters: product, product_data.")
        )
    if described is not None:
        product = products.new(world, described)
    else:
        product = world.get("product", identifier or "", "product")
    return price_terms.new(world, parameters, product)


def _update(world: World, call: Call, price: str) -> Obj:
    found, parameters = world.get("price", price), call.parameters
    changes: Obj = {"metadata": parameters.metadata(found["metadata"])}
    if (active := parameters.boolean("active")) is not None:
        if not active and world.find("product", default_price=price):
            raise StripeFailure(
                "This price cannot be archived because it is the default price of its product.", param="active"
            )
        changes["active"] = active
    if parameters.given("nickname"):
        changes["nickname"] = parameters.text("nickname") or None
    if (behavior := parameters.choice("tax_behavior", price_terms.TAX_BEHAVIORS)) and behavior != found["tax_behavior"]:
        if found["tax_behavior"] != "unspecified":
            raise invalid_parameter("tax_behavior", "Tax behavior cannot be changed once it is specified.")
        changes["tax_behavior"] = behavior
    if parameters.given("currency_options"):
        changes["_currency_options"] = {**found["_currency_options"], **price_terms.currency_options(parameters, found)}
    parameters.boolean("transfer_lookup_key")
    if parameters.given("lookup_key"):
        changes["lookup_key"] = price_terms.take_lookup_key(world, parameters, price)
    return world.update(found, changes, "price.updated")


def _retrieve(world: World, call: Call, price: str) -> Obj:
    return world.get("price", price)


def _list(world: World, call: Call) -> Page:
    parameters = call.parameters
    equal: Obj = {name: value for name in ("currency", "product", "type") if (value := parameters.text(name))}
    if (active := parameters.boolean("active")) is not None:
        equal["active"] = active
    keys = parameters.texts("lookup_keys")
    if keys and len(keys) > _LOOKUP_KEYS:
        raise invalid_parameter("lookup_keys", f"At most {_LOOKUP_KEYS} lookup keys can be asked for at once.")
    recurring = parameters.mapping("recurring")
    names = ("interval", "meter", "usage_type")
    wanted = {name: value for name in names if recurring and (value := recurring.text(name))}
    found = [
        price
        for price in world.find("price", **equal)
        if (not keys or price["lookup_key"] in keys)
        and all((price["recurring"] or {}).get(name) == value for name, value in wanted.items())
    ]
    return paginate(parameters, call.path, within(parameters, found))


ROUTES = [
    Route("POST", "/v1/prices", create),
    Route("GET", "/v1/prices", _list),
    Route("GET", "/v1/prices/{price}", _retrieve),
    Route("POST", "/v1/prices/{price}", _update),
]
