"""What has to change at Stripe so that it sells exactly these plans. Pure: compares, changes nothing.

A price at Stripe never changes its terms: other terms are a new version, and the old one is archived, which leaves the
subscriptions that have it alone. Of a price the newest active version counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from billing.plans import Plan
from billing.prices import Price
from billing.stripe_form import StripePrice, stripe_price
from sinks.stripe.price_terms import UNREADABLE, Terms, digest, intended_terms

# Metadata by which we know our own; whatever else an account has is never looked at.
PRODUCT_KEY: Final = "meterstream_product"
PRICE_KEY: Final = "meterstream_price"
VERSION_KEY: Final = "meterstream_version"
TERMS_KEY: Final = "meterstream_terms"


class Action(StrEnum):
    """What is done to a thing at Stripe."""

    CREATE = "create"
    UPDATE = "update"
    NEW_VERSION = "new version"
    ARCHIVE = "archive"
    MISSING = "not in the file"
    """Nothing is done; `--archive-missing` would archive it."""


class Thing(StrEnum):
    """What there is at Stripe."""

    METER = "meter"
    PRODUCT = "product"
    PRICE = "price"


@dataclass(frozen=True, slots=True)
class HeldPrice:
    """One version of a price at Stripe."""

    id: str
    name: str
    """`plan:price`."""
    version: int
    active: bool
    nickname: str
    terms: Terms = field(hash=False)
    remembered: str = ""
    """The digest of the terms it was made with."""

    def has(self, terms: Terms) -> bool:
        """Tell whether these are its terms; where Stripe shows no amounts, what it was made with decides."""
        if UNREADABLE not in self.terms.values():
            return self.terms == terms
        shown = {what: value for what, value in self.terms.items() if value != UNREADABLE}
        same = shown.items() <= terms.items() and self.terms.keys() == terms.keys()
        return same and self.remembered == digest(terms)


@dataclass(frozen=True, slots=True)
class HeldProduct:
    """A product at Stripe."""

    id: str
    slug: str
    name: str
    description: str
    active: bool
    metadata: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Held:
    """What Stripe holds of ours."""

    meters: Mapping[str, str]
    """Active meters: event name → id."""
    products: Mapping[str, HeldProduct]
    """By slug."""
    prices: Sequence[HeldPrice]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do."""

    action: Action
    thing: Thing
    name: str
    """For people: a meter's event name, a product's slug, `plan:price`."""
    detail: str = ""
    """What changes, `from → to`."""
    id: str | None = None
    """Stripe's id of what is there already."""
    plan: Plan | None = field(default=None, hash=False)
    price: StripePrice | None = field(default=None, hash=False)
    version: int = 0

    @property
    def writes(self) -> bool:
        """Tell whether anything is done."""
        return self.action is not Action.MISSING


def product_id(product_slug: str) -> str:
    """Return the id that we give a product at Stripe, so that there cannot be two."""
    return f"meterstream_{product_slug}"


def price_name(plan: Plan, price: Price) -> str:
    """Return how a price is called beyond its plan."""
    return f"{plan.slug}:{price.slug}"


def plan_changes(plans: Sequence[Plan], held: Held, *, archive_missing: bool = False) -> list[Change]:
    """Return what to do, in the order in which it can be done."""
    products: dict[str, Plan] = {}
    for plan in plans:
        products.setdefault(plan.product_slug, plan)  # plans may share a product: the first names it
    prices = {price_name(plan, price): (plan, price) for plan in plans for price in plan.prices}
    changes = list(_meter_changes(prices.values(), held))
    for slug, plan in products.items():
        changes += _product_changes(plan, held.products.get(slug))
    for name, (plan, price) in prices.items():
        changes += _price_changes(name, plan, price, [each for each in held.prices if each.name == name])
    action, detail = (Action.ARCHIVE, "not in the file") if archive_missing else (Action.MISSING, "stays as it is")
    for version in held.prices:
        if version.active and version.name not in prices:
            changes.append(Change(action, Thing.PRICE, version.name, detail, version.id))
    for slug, product in held.products.items():
        if product.active and slug not in products:
            changes.append(Change(action, Thing.PRODUCT, slug, detail, product.id))
    return changes


def product_metadata(plan: Plan) -> dict[str, str]:
    """Return the metadata of a plan's product; other keys that people set at Stripe are left alone."""
    return {**plan.metadata, PRODUCT_KEY: plan.product_slug}


def wanted_terms(plan: Plan, price: StripePrice) -> Terms:
    """Return the terms of a price: which product it belongs to is one, because Stripe cannot change it."""
    return {"product": product_id(plan.product_slug), **intended_terms(price)}


def _meter_changes(prices: Iterable[tuple[Plan, Price]], held: Held) -> Iterator[Change]:
    meters = {price.metered.meter for _, price in prices if price.metered is not None}
    for meter in sorted(meters - held.meters.keys()):
        yield Change(Action.CREATE, Thing.METER, meter)


def _product_changes(plan: Plan, held: HeldProduct | None) -> Iterator[Change]:
    if held is None:
        yield Change(Action.CREATE, Thing.PRODUCT, plan.product_slug, plan.name, plan=plan)
        return
    before = {"name": held.name, "description": held.description, "sold": "yes" if held.active else "no"}
    after = {"name": plan.name, "description": plan.description, "sold": "yes"}
    for key, value in product_metadata(plan).items():
        before[key], after[key] = held.metadata.get(key, ""), value
    if before != after:
        detail = _differences(before, after)
        yield Change(Action.UPDATE, Thing.PRODUCT, plan.product_slug, detail, held.id, plan=plan)


def _price_changes(name: str, plan: Plan, price: Price, versions: Sequence[HeldPrice]) -> Iterator[Change]:
    intended = stripe_price(price)
    terms = wanted_terms(plan, intended)
    active = [each for each in versions if each.active]
    current = max(active, key=lambda each: each.version, default=None)
    kept = current if current is not None and current.has(terms) else None
    if kept is None:
        action = Action.NEW_VERSION if versions else Action.CREATE
        detail = _differences({"product": terms["product"]} if current is None else current.terms, terms)
        version = max((each.version for each in versions), default=0) + 1
        yield Change(action, Thing.PRICE, name, f"v{version} {detail}", plan=plan, price=intended, version=version)
    elif kept.nickname != intended.nickname:
        detail = f"name: {kept.nickname} → {intended.nickname}"
        yield Change(Action.UPDATE, Thing.PRICE, name, detail, kept.id, plan=plan, price=intended)
    for each in active:
        if each is not kept:
            yield Change(Action.ARCHIVE, Thing.PRICE, name, f"v{each.version}; subscriptions keep it", each.id)


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Write what differs; what there was not before is written alone."""
    return "; ".join(
        f"{what}: {before[what] or '–'} → {after.get(what) or '–'}" if what in before else f"{what}: {after[what]}"
        for what in {**before, **after}
        if before.get(what) != after.get(what)
    )
