"""Publishes plans to Stripe: whatever was done before, repeated or interrupted, it ends with exactly the plans.

What keeps doubles out: a product's id is the plan's slug; a price carries the lookup key `plan:price:vN`, which Stripe
gives once, and is created under an idempotency key made of its version and terms; a meter's event name is unique among
active meters. Changes of what exists set absolute values, so that doing them twice is doing them once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from stripe.params import ProductCreateParams, ProductUpdateParams

from billing.plans import Plan
from runtime.errors import ConflictError, InvalidInput
from runtime.logging import get_logger
from sinks.stripe.calls import Json
from sinks.stripe.client import StripeGateway
from sinks.stripe.plan_changes import (
    PRICE_KEY,
    PRODUCT_KEY,
    TERMS_KEY,
    VERSION_KEY,
    Action,
    Change,
    Held,
    HeldPrice,
    HeldProduct,
    Thing,
    plan_changes,
    price_name,
    product_id,
    product_metadata,
    wanted_terms,
)
from sinks.stripe.price_terms import creation_params, digest, held_terms

log = get_logger(__name__)


@dataclass(slots=True)
class PublishReport:
    """What was done, and Stripe's ids of all that the plans need."""

    changes: list[Change]
    meters: dict[str, str] = field(default_factory=dict)
    """By event name."""
    products: dict[str, str] = field(default_factory=dict)
    """By plan."""
    prices: dict[str, str] = field(default_factory=dict)
    """By `plan:price`."""


async def compare_plans(
    gateway: StripeGateway, plans: Sequence[Plan], *, archive_missing: bool = False
) -> list[Change]:
    """Return what publishing would do."""
    return plan_changes(plans, await read_held(gateway), archive_missing=archive_missing)


async def publish_plans(
    gateway: StripeGateway, plans: Sequence[Plan], *, archive_missing: bool = False
) -> PublishReport:
    """Make Stripe sell exactly these plans; nothing is written where nothing differs.

    May be repeated after any failure, and run twice at once.
    """
    held = await read_held(gateway)
    changes = plan_changes(plans, held, archive_missing=archive_missing)
    return await make_changes(gateway, plans, held, changes)


async def make_changes(
    gateway: StripeGateway, plans: Sequence[Plan], held: Held, changes: list[Change]
) -> PublishReport:
    """Make the changes that these plans need beyond what Stripe holds."""
    publication = _Publication(gateway, report := _report(plans, held, changes))
    for change in changes:
        await publication.make(change)
    return report


def _report(plans: Sequence[Plan], held: Held, changes: list[Change]) -> PublishReport:
    """Begin a report with what is there already."""
    report = PublishReport(changes)
    for plan in plans:
        report.products[plan.slug] = product_id(plan.product_slug)
        for price in plan.prices:
            if price.metered is not None and price.metered.meter in held.meters:
                report.meters[price.metered.meter] = held.meters[price.metered.meter]
            versions = [each for each in held.prices if each.active and each.name == price_name(plan, price)]
            if versions:
                report.prices[price_name(plan, price)] = max(versions, key=lambda each: each.version).id
    return report


async def read_held(gateway: StripeGateway, *, products: Sequence[str] = ()) -> Held:
    """Read what Stripe holds of ours; with `products`, of these only."""
    listed = gateway.products.each(ids=list(products)) if products else gateway.products.each()
    meters = {meter["event_name"]: meter["id"] async for meter in gateway.meters.each(status="active")}
    names = {identifier: name for name, identifier in meters.items()}
    found = {
        product["metadata"][PRODUCT_KEY]: _held_product(product)
        async for product in listed
        if PRODUCT_KEY in product["metadata"]
    }
    prices = [
        _held_price(price, names)
        for product in found.values()
        async for price in gateway.prices.each(product=product.id)
        if PRICE_KEY in price["metadata"]
    ]
    return Held(meters, found, prices)


def _held_product(product: Json) -> HeldProduct:
    return HeldProduct(
        product["id"],
        product["metadata"][PRODUCT_KEY],
        product["name"],
        product["description"] or "",
        product["active"],
        product["metadata"],
    )


def _held_price(price: Json, meter_names: dict[str, str]) -> HeldPrice:
    version = price["metadata"].get(VERSION_KEY, "")
    if not version.isdecimal():
        raise ConflictError(f"At Stripe the metadata of {price['id']} were changed: {VERSION_KEY} is no number.")
    terms = {"product": price["product"], **held_terms(price, meter_names)}
    name = price["metadata"][PRICE_KEY]
    remembered = price["metadata"].get(TERMS_KEY, "")
    return HeldPrice(price["id"], name, int(version), price["active"], price["nickname"] or "", terms, remembered)


class _Publication:
    """Does one change after the other and keeps the ids."""

    def __init__(self, gateway: StripeGateway, report: PublishReport) -> None:
        self._gateway = gateway
        self._report = report

    async def make(self, change: Change) -> None:
        """Do one change."""
        match change.action, change.thing:
            case Action.MISSING, _:
                return
            case Action.ARCHIVE, Thing.PRICE:
                await self._gateway.prices.archive(_once(), _id(change))
            case Action.ARCHIVE, _:
                await self._gateway.products.archive(_once(), _id(change))
            case _, Thing.METER:
                self._report.meters[change.name] = await self._create_meter(change.name)
            case Action.CREATE, Thing.PRODUCT:
                await self._create_product(_plan(change))
            case _, Thing.PRODUCT:
                await self._gateway.products.update(_once(), _id(change), **_update_params(_plan(change)))
            case Action.UPDATE, _:
                assert change.price is not None
                await self._gateway.prices.update(_once(), _id(change), nickname=change.price.nickname)
            case _:
                self._report.prices[change.name] = await self._create_price(change)
        log.info("Stripe's catalogue is changed", action=change.action, thing=change.thing, name=change.name)

    async def _create_meter(self, event_name: str) -> str:
        try:
            meter = await self._gateway.meters.create(_once(), event_name=event_name, display_name=event_name)
        except (ConflictError, InvalidInput):
            # Somebody else made it meanwhile, or it is refused for another reason.
            found = await self._gateway.meters.find(event_name)
            if found is None:
                raise
            meter = found
        return str(meter["id"])

    async def _create_product(self, plan: Plan) -> None:
        params: ProductCreateParams = {
            "id": product_id(plan.product_slug),
            "name": plan.name,
            "metadata": product_metadata(plan),
        }
        if plan.description:
            params["description"] = plan.description
        try:
            await self._gateway.products.create(_once(), **params)
        except ConflictError:
            # Made by somebody else since we looked; unless it is a stranger with that id, it is the same plan.
            found = await self._gateway.products.get(params["id"])
            if found["metadata"].get(PRODUCT_KEY) != plan.product_slug:
                raise

    async def _create_price(self, change: Change) -> str:
        plan, intended = _plan(change), change.price
        assert intended is not None
        meter = None if intended.meter is None else self._report.meters[intended.meter]
        params = creation_params(intended, product=product_id(plan.product_slug), meter=meter)
        params["lookup_key"] = f"{change.name}:v{change.version}"
        params["metadata"] = {
            PRICE_KEY: change.name,
            VERSION_KEY: str(change.version),
            TERMS_KEY: digest(wanted_terms(plan, intended)),
        }
        body = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:32]
        created = await self._gateway.prices.create(f"publish:{params['lookup_key']}:{body}", **params)
        return str(created["id"])


def _update_params(plan: Plan) -> ProductUpdateParams:
    return {
        "name": plan.name,
        "description": plan.description,
        "active": True,
        "metadata": product_metadata(plan),
    }


def _once() -> str:
    """Return a key of this call alone: a key of the intent would give the answer of an equal change of yesterday."""
    return f"publish:{uuid4()}"


def _id(change: Change) -> str:
    assert change.id is not None
    return change.id


def _plan(change: Change) -> Plan:
    assert change.plan is not None
    return change.plan
