"""Plans: what is sold, its prices and what it allows; and what differs between two versions of one.

A price never changes at Stripe but for its name: other terms under the same slug are a new version of the price, and
subscribers keep theirs until they are moved (docs.stripe.com/products-prices/manage-prices).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from billing.periods import Cycle
from billing.prices import Price, slug_problem
from billing.rates import Problem
from runtime.errors import InvalidInput

MAX_TRIAL_DAYS: Final = 730
"""Stripe's longest trial (docs.stripe.com/billing/subscriptions/trials)."""

MAX_METADATA: Final = (50, 40, 500)
"""Pairs, characters of a key, characters of a value (docs.stripe.com/api/metadata)."""

_PRODUCT_FIELDS: Final = ("name", "description", "metadata")
_OWN_FIELDS: Final = ("trial_days", "features")


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of a meter a period allows; a hard one is enforced, a soft one is only announced."""

    meter: str
    quantity: Decimal
    hard: bool = True


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that a plan gives: without a limit as much as wanted."""

    slug: str
    name: str = ""
    limit: Limit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plan, checked when it is made. Raises: InvalidInput; `details["problems"]` lists all that is wrong."""

    slug: str
    name: str
    prices: tuple[Price, ...]
    description: str = ""
    product: str = ""
    """Stripe's product, under a name of ours; the plan's slug if empty."""
    trial_days: int = 0
    features: tuple[Feature, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    version: int = 1

    def __post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            where, text = problems[0]
            raise InvalidInput(f"{where}: {text}", field=where, problems=problems)

    @property
    def product_slug(self) -> str:
        """Return the name under which its product is published."""
        return self.product or self.slug

    def prices_for(self, cycle: Cycle, currency: str) -> tuple[Price, ...]:
        """Return the prices of an interval that can be paid in a currency."""
        return tuple(price for price in self.prices if price.cycle == cycle and currency in price.rates)


@dataclass(frozen=True, slots=True)
class PlanDifference:
    """What publishing the newer plan means."""

    product_fields: tuple[str, ...] = ()
    """Updated on Stripe's product, in place: name, description, metadata; `product` moves to another one."""
    own_fields: tuple[str, ...] = ()
    """Ours only: trial days and features, for subscriptions that begin from now on."""
    added: tuple[Price, ...] = ()
    replaced: tuple[Price, ...] = ()
    """Other terms: each needs a new price, which takes over the lookup key."""
    renamed: tuple[Price, ...] = ()
    """The same terms under another name: updated in place."""
    removed: tuple[Price, ...] = ()
    """Archived; their subscribers keep them."""

    def __bool__(self) -> bool:
        """Say whether anything differs."""
        return any((self.product_fields, self.own_fields, self.added, self.replaced, self.renamed, self.removed))

    @property
    def needs_new_version(self) -> bool:
        """Say whether what subscribers pay or get differs, not only how it is called."""
        return bool(self.own_fields or self.added or self.replaced or self.removed)


def plan_difference(old: Plan | None, new: Plan) -> PlanDifference:
    """Compare a plan with what was published; the versions' numbers do not count. Raises: InvalidInput."""
    if old is None:
        return PlanDifference(product_fields=_PRODUCT_FIELDS, own_fields=_OWN_FIELDS, added=new.prices)
    if old.slug != new.slug:
        raise InvalidInput(f"slug: {new.slug} is another plan than {old.slug}", field="slug")
    before = {price.slug: price for price in old.prices}
    after = {price.slug: price for price in new.prices}
    same = [(before[slug], price) for slug, price in after.items() if slug in before]
    moved = ("product",) if old.product_slug != new.product_slug else ()
    return PlanDifference(
        product_fields=(*moved, *_differing(old, new, _PRODUCT_FIELDS)),
        own_fields=tuple(_differing(old, new, _OWN_FIELDS)),
        added=tuple(price for slug, price in after.items() if slug not in before),
        replaced=tuple(price for earlier, price in same if moved or not _same_terms(earlier, price)),
        renamed=tuple(
            price for earlier, price in same if not moved and earlier != price and _same_terms(earlier, price)
        ),
        removed=tuple(price for slug, price in before.items() if slug not in after),
    )


def _differing(old: Plan, new: Plan, fields: tuple[str, ...]) -> Iterator[str]:
    return (name for name in fields if getattr(old, name) != getattr(new, name))


def _same_terms(one: Price, other: Price) -> bool:
    """Compare all but the name. Which currency comes first is a term too: Stripe's `currency` cannot be changed."""
    return replace(one, name="") == replace(other, name="") and one.currencies[0] == other.currencies[0]


def _problems(plan: Plan) -> Iterator[Problem]:
    if wrong := slug_problem(plan.slug):
        yield "slug", wrong
    if plan.product and (wrong := slug_problem(plan.product)):
        yield "product", wrong
    if not plan.name.strip():
        yield "name", "is missing; write what customers read"
    if not plan.prices:
        yield "prices", "are missing; write at least one"
    if not 0 <= plan.trial_days <= MAX_TRIAL_DAYS:
        yield "trial_days", f"{plan.trial_days} is out of range; write 0 to {MAX_TRIAL_DAYS}"
    if plan.version < 1:
        yield "version", f"{plan.version} is out of range; write 1 or more"
    yield from _repeated("prices", [price.slug for price in plan.prices])
    yield from _currency_problems(plan.prices)
    yield from _meter_problems(plan.prices)
    yield from _repeated("features", [feature.slug for feature in plan.features])
    for index, feature in enumerate(plan.features):
        yield from _feature_problems(f"features[{index}]", feature)
    yield from _metadata_problems(plan.metadata)


def _currency_problems(prices: Sequence[Price]) -> Iterator[Problem]:
    """Whoever pays by an interval in a currency pays all prices of the interval: one without would silently be free."""
    offered: dict[Cycle, dict[str, None]] = {}
    for price in prices:
        offered.setdefault(price.cycle, {}).update(dict.fromkeys(price.rates))
    for index, price in enumerate(prices):
        if missing := [currency for currency in offered[price.cycle] if currency not in price.rates]:
            yield (
                f"prices[{index}].currencies",
                f"lacks {' and '.join(missing)}, in which other prices of the {price.cycle} are sold; write"
                " an amount in each, 0 where it is free",
            )


def _meter_problems(prices: Sequence[Price]) -> Iterator[Problem]:
    """What is used costs something by whichever interval the plan is paid."""
    cycles: dict[Cycle, set[str]] = {}
    for price in prices:
        cycles.setdefault(price.cycle, set()).update([price.metered.meter] if price.metered else [])
    for meter in sorted(set().union(*cycles.values())):
        for cycle in (cycle for cycle, meters in cycles.items() if meter not in meters):
            yield (
                "prices",
                f"bill the meter {meter}, but not by the {cycle}, where usage would be free; write a price"
                " of it for each interval, with amount 0 where it is free",
            )


def _repeated(where: str, slugs: list[str]) -> Iterator[Problem]:
    for index, slug in enumerate(slugs):
        if slug in slugs[:index]:
            yield f"{where}[{index}].slug", f"{slug} comes twice; write another one"


def _feature_problems(where: str, feature: Feature) -> Iterator[Problem]:
    if wrong := slug_problem(feature.slug):
        yield f"{where}.slug", wrong
    if feature.limit is None:
        return
    if wrong := slug_problem(feature.limit.meter):
        yield f"{where}.limit.meter", wrong
    if not feature.limit.quantity.is_finite() or feature.limit.quantity < 0:
        yield f"{where}.limit.quantity", f"{feature.limit.quantity} is no quantity; write 0 or more"


def _metadata_problems(metadata: Mapping[str, str]) -> Iterator[Problem]:
    pairs, key_chars, value_chars = MAX_METADATA
    if len(metadata) > pairs:
        yield "metadata", f"has {len(metadata)} pairs; write at most {pairs}"
    for key, value in metadata.items():
        if not key or len(key) > key_chars or "[" in key or "]" in key:
            yield f"metadata.{key}", f"is no key for Stripe; write 1 to {key_chars} characters without square brackets"
        if len(value) > value_chars:
            yield f"metadata.{key}", f"is too long; write at most {value_chars} characters"
