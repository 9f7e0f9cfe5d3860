"""What a price costs and when: read from its parameters, validated as Stripe does, and kept."""

from __future__ import annotations

from decimal import Decimal

from devstack.stripe_simulator.currencies import check_currency
from devstack.stripe_simulator.failures import Obj, invalid_parameter, missing_parameter
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.price_tiers import amount_fields, read_tiers
from devstack.stripe_simulator.world import World

TAX_BEHAVIORS = ("exclusive", "inclusive", "unspecified")
# Three years, as the longest interval.
_MOST_INTERVALS = {"day": 1_095, "week": 156, "month": 36, "year": 3}
_MOST_AMOUNT = 999_999_999_999


def new(world: World, parameters: Parameters, product: Obj) -> Obj:
    """Keep the price that `parameters` describe; a product's `default_price_data` is one, too."""
    currency = check_currency(parameters.required("currency"), parameters.path("currency"))
    recurring = _recurring(world, parameters)
    scheme = parameters.choice("billing_scheme", ("per_unit", "tiered")) or "per_unit"
    price: Obj = {
        "id": world.new_id("price"),
        "object": "price",
        "active": parameters.boolean("active") is not False,
        "billing_scheme": scheme,
        "created": world.now(),
        "currency": currency,
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": parameters.metadata(),
        "nickname": parameters.text("nickname") or None,
        "product": product["id"],
        "recurring": recurring,
        "tax_behavior": parameters.choice("tax_behavior", TAX_BEHAVIORS) or "unspecified",
        "tiers_mode": parameters.choice("tiers_mode", ("graduated", "volume")) or None,
        "transform_quantity": _transform(parameters),
        "type": "recurring" if recurring else "one_time",
    }
    price |= _amounts(parameters, scheme)
    _check_scheme(parameters, price)
    price["_currency_options"] = currency_options(parameters, price)
    price["lookup_key"] = take_lookup_key(world, parameters)
    return world.insert(price, "price.created")


def _amounts(parameters: Parameters, scheme: str) -> Obj:
    """Return what a price has in one currency: an amount, or tiers."""
    if scheme == "tiered":
        for name in ("unit_amount", "unit_amount_decimal"):
            if parameters.given(name):
                message = f"`{parameters.path(name)}` can not be used with `billing_scheme=tiered`: tiers have amounts."
                raise invalid_parameter(parameters.path(name), message)
        return {"unit_amount": None, "unit_amount_decimal": None, "_tiers": read_tiers(parameters)}
    if parameters.given("tiers"):
        message = "`tiers` needs `billing_scheme=tiered` and a `tiers_mode`."
        raise invalid_parameter(parameters.path("tiers"), message)
    whole = parameters.integer("unit_amount", least=0, most=_MOST_AMOUNT)
    exact = parameters.decimal("unit_amount_decimal")
    if (whole is None) == (exact is None):
        message = "You must specify exactly one of `unit_amount` and `unit_amount_decimal`."
        raise invalid_parameter(parameters.path("unit_amount"), message, "parameter_missing")
    if exact is not None and not 0 <= exact <= _MOST_AMOUNT:
        message = "Invalid decimal: a price is not negative, and at most 999999999999."
        raise invalid_parameter(parameters.path("unit_amount_decimal"), message)
    return amount_fields("unit_amount", Decimal(whole) if whole is not None else exact)


def _check_scheme(parameters: Parameters, price: Obj) -> None:
    tiered = price["billing_scheme"] == "tiered"
    if tiered and price["tiers_mode"] is None:
        raise missing_parameter(parameters.path("tiers_mode"))
    if price["tiers_mode"] and not tiered:
        message = "`tiers_mode` needs `billing_scheme=tiered`."
        raise invalid_parameter(parameters.path("tiers_mode"), message)
    if tiered and price["transform_quantity"]:
        message = "`transform_quantity` can not be combined with tiers."
        raise invalid_parameter(parameters.path("transform_quantity"), message)


def _recurring(world: World, parameters: Parameters) -> Obj | None:
    sent = parameters.mapping("recurring")
    if sent is None:
        return None
    interval = sent.choice("interval", _MOST_INTERVALS)
    if not interval:
        raise missing_parameter(sent.path("interval"))
    count = sent.integer("interval_count", least=1)
    if count is None:
        count = 1
    if count > _MOST_INTERVALS[interval]:
        message = f"Interval count must be at most {_MOST_INTERVALS[interval]} for `{interval}`: three years."
        raise invalid_parameter(sent.path("interval_count"), message)
    usage = sent.choice("usage_type", ("licensed", "metered")) or "licensed"
    meter = sent.text("meter") or None
    if usage == "metered" and meter is None:
        message = "A metered price must be backed by a meter: set `recurring[meter]`."
        raise invalid_parameter(sent.path("meter"), message, "parameter_missing")
    if meter is not None:
        if usage != "metered":
            raise invalid_parameter(sent.path("meter"), "A meter needs `recurring[usage_type]=metered`.")
        if world.get("billing.meter", meter, sent.path("meter"))["status"] != "active":
            raise invalid_parameter(sent.path("meter"), "The meter is inactive.", "archived_meter")
    return {"interval": interval, "interval_count": count, "meter": meter, "usage_type": usage}


def _transform(parameters: Parameters) -> Obj | None:
    sent = parameters.mapping("transform_quantity")
    if sent is None:
        return None
    divide_by = sent.integer("divide_by", least=1)
    if divide_by is None:
        raise missing_parameter(sent.path("divide_by"))
    rounding = sent.choice("round", ("down", "up"))
    if not rounding:
        raise missing_parameter(sent.path("round"))
    return {"divide_by": divide_by, "round": rounding}


def currency_options(parameters: Parameters, price: Obj) -> Obj:
    """Return the amounts by currency, the price's own among them; shown where the caller expands them."""
    own: Obj = {
        "custom_unit_amount": None,
        "tax_behavior": price["tax_behavior"],
        "unit_amount": price["unit_amount"],
        "unit_amount_decimal": price["unit_amount_decimal"],
    }
    if "_tiers" in price:
        own["tiers"] = price["_tiers"]
    options = {price["currency"]: own}
    sent = parameters.mapping("currency_options")
    for name in sent.names() if sent else []:
        currency = check_currency(name, parameters.path(f"currency_options][{name}"))
        option = sent.mapping(name) if sent else None
        if option is None or currency == price["currency"]:
            message = "Currency options are mappings of other currencies than the price's own."
            raise invalid_parameter(parameters.path("currency_options"), message)
        if option.boolean("custom_unit_amount") is not None:
            raise invalid_parameter(option.path("custom_unit_amount"), "Recurring prices have amounts.")
        amounts = _amounts(option, price["billing_scheme"])
        if tiers := amounts.pop("_tiers", None):
            amounts["tiers"] = tiers
        behavior = option.choice("tax_behavior", TAX_BEHAVIORS) or "unspecified"
        options[currency] = {"custom_unit_amount": None, "tax_behavior": behavior, **amounts}
    return options


def take_lookup_key(world: World, parameters: Parameters, mine: str | None = None) -> str | None:
    """Return the lookup key, taken from the price that had it where the caller says so."""
    key, transfer = parameters.text("lookup_key", max_length=200) or None, parameters.boolean("transfer_lookup_key")
    if key is None:
        return None
    for other in world.find("price", lookup_key=key):
        if other["id"] == mine:
            continue
        if not transfer:
            message = f"A price (`{other['id']}`) already uses that lookup key."
            raise invalid_parameter(parameters.path("lookup_key"), message, "resource_already_exists")
        world.update(other, {"lookup_key": None}, "price.updated")
    return key
