"""Products."""

from __future__ import annotations

from devstack.stripe_simulator import price_terms
from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page, paginate, within
from devstack.stripe_simulator.routes import Call, Route
from devstack.stripe_simulator.world import World

_TEXTS = ("description", "statement_descriptor", "tax_code", "unit_label", "url")
_FEATURES = 15
_IMAGES = 8


def create(world: World, call: Call) -> Obj:
    """Create a product, with its default price where one is described."""
    parameters = call.parameters
    product = new(world, parameters)
    if default := parameters.mapping("default_price_data"):
        price = price_terms.new(world, default, product)
        world.update(product, {"default_price": price["id"]})
    return product


def new(world: World, parameters: Parameters) -> Obj:
    """Keep the product that `parameters` describe; `product_data` of prices is one, too."""
    identifier = parameters.text("id") or world.new_id("prod", 14)
    if world.find("product", id=identifier) or world.is_deleted("product", identifier):
        raise invalid_parameter(parameters.path("id"), "Product already exists.", "resource_already_exists")
    now = world.now()
    product: Obj = {
        "id": identifier,
        "object": "product",
        "active": True,
        "created": now,
        "default_price": None,
        "description": None,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "name": parameters.required("name"),
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "unit_label": None,
        "updated": now,
        "url": None,
    }
    return world.insert(product | _read(parameters, product), "product.created")


def _read(parameters: Parameters, current: Obj) -> Obj:
    changes: Obj = {"metadata": parameters.metadata(current["metadata"])}
    for name in _TEXTS:
        if parameters.given(name):
            changes[name] = parameters.text(name) or None
    if parameters.given("name"):
        changes["name"] = parameters.required("name")
    for name in ("active", "shippable"):
        if (flag := parameters.boolean(name)) is not None:
            changes[name] = flag
    if (images := parameters.texts("images")) is not None:
        changes["images"] = images
        if len(images) > _IMAGES:
            raise invalid_parameter("images", f"A product has at most {_IMAGES} images.")
    if (features := parameters.items("marketing_features")) is not None:
        changes["marketing_features"] = [{"name": feature.required("name")} for feature in features]
        if len(features) > _FEATURES:
            raise invalid_parameter("marketing_features", f"A product has at most {_FEATURES} features.")
    return changes


def _update(world: World, call: Call, product: str) -> Obj:
    found = world.get("product", product)
    changes = _read(call.parameters, found)
    if price := call.parameters.text("default_price"):
        default = world.get("price", price, "default_price")
        if default["product"] != product:
            raise invalid_parameter("default_price", f"The price specified does not belong to product `{product}`.")
        changes["default_price"] = price
    if any(found[name] != value for name, value in changes.items()):
        changes["updated"] = world.now()
    return world.update(found, changes, "product.updated")


def _delete(world: World, call: Call, product: str) -> Obj:
    found = world.get("product", product)
    if world.find("price", product=product):
        raise StripeFailure("This product cannot be deleted because it has one or more user-created prices.")
    world.delete(found, "product.deleted")
    return {"id": product, "object": "product", "deleted": True}


def _retrieve(world: World, call: Call, product: str) -> Obj:
    return world.get("product", product)


def _list(world: World, call: Call) -> Page:
    parameters = call.parameters
    ids = parameters.texts("ids")
    equal: Obj = {name: flag for name in ("active", "shippable") if (flag := parameters.boolean(name)) is not None}
    if url := parameters.text("url"):
        equal["url"] = url
    found = [product for product in world.find("product", **equal) if not ids or product["id"] in ids]
    return paginate(parameters, call.path, within(parameters, found))


ROUTES = [
    Route("POST", "/v1/products", create),
    Route("GET", "/v1/products", _list),
    Route("GET", "/v1/products/{product}", _retrieve),
    Route("POST", "/v1/products/{product}", _update),
    Route("DELETE", "/v1/products/{product}", _delete),
]
