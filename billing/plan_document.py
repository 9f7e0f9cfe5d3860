"""Plans as code: a document (YAML or JSON, parsed to a mapping) becomes checked plans, or a list of all its errors.

Amounts are written in major units, as text or whole numbers: "20.00" USD, "0.0004" USD. `docs/plans.example.yaml` shows
every field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from billing.money import read_decimal, read_major, whole_minor
from billing.periods import Cycle, Interval
from billing.plans import Feature, Limit, Plan
from billing.prices import MeteredBy, Price
from billing.rates import WHOLE, PriceKind, Problem, Rate, Tier
from metering.meters import Aggregation
from runtime.errors import InvalidInput, SchemaValidation

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


def _exact(value: object) -> Decimal:
    """Read a number for pydantic, which wants a ValueError."""
    try:
        return read_decimal(value, "number")
    except InvalidInput as exc:
        raise ValueError(exc.message.removeprefix("number: ")) from exc


Number = Annotated[Decimal, BeforeValidator(_exact)]

# Valid values for required fields that have the wrong shape; what they would lead to is told of nobody.
_PLAN_STAND_INS: Final = {"slug": "a", "name": "A", "prices": ()}
_PRICE_STAND_INS: Final = {"slug": "a", "kind": "flat", "interval": "month", "currencies": {}}
_BY_KIND: Final = frozenset({"currencies", "meter", "included_quantity", "package_size"})
_FIRST_STEP: Final = re.compile(r"[^.\[]+")


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TierDocument(_Document):
    """`up_to` is the last unit of the tier; the last tier has none."""

    up_to: int | None = None
    unit_amount: Number = Decimal(0)
    flat_amount: Number = Decimal(0)


class RateDocument(_Document):
    """What a price asks in one currency: `amount` or `tiers`."""

    amount: Number | None = None
    tiers: tuple[TierDocument, ...] = Field((), strict=False)
    minimum: Number | None = None
    maximum: Number | None = None


class MeterDocument(_Document):
    """The meter that a price is billed by."""

    slug: str
    aggregation: Aggregation = Field(strict=False)


class PriceDocument(_Document):
    """A price of a plan."""

    slug: str
    name: str = ""
    kind: PriceKind = Field(strict=False)
    interval: Interval = Field(strict=False)
    interval_count: int = 1
    currencies: dict[str, RateDocument]
    meter: MeterDocument | None = None
    included_quantity: int = 0
    package_size: int | None = None


class LimitDocument(_Document):
    """How much of a meter a period allows."""

    meter: str
    quantity: Number
    mode: Literal["hard", "soft"] = "hard"


class FeatureDocument(_Document):
    """Something that a plan gives."""

    slug: str
    name: str = ""
    limit: LimitDocument | None = None


class PlanDocument(_Document):
    """A plan. Its prices are PriceDocuments, checked one by one so that an error in one does not hide the others'."""

    slug: str
    name: str
    description: str = ""
    product: str = ""
    trial_days: int = 0
    version: int = 1
    metadata: dict[str, str] = {}
    features: tuple[FeatureDocument, ...] = Field((), strict=False)
    prices: tuple[Any, ...] = Field(strict=False)


class PlansDocument(_Document):
    """The whole document; its plans are PlanDocuments."""

    plans: tuple[Any, ...] = Field(strict=False, min_length=1)


def read_plans(document: object) -> tuple[Plan, ...]:
    """Turn a parsed document into plans.

    Raises: SchemaValidation, whose `details["problems"]` are all the errors, each a field such as
    `plans[0].prices[1].kind` and a message.
    """
    problems: list[Problem] = []
    whole = _shaped(PlansDocument, document, "", problems)
    raw = whole.plans if whole else ()
    plans = [_plan(each, f"plans[{index}]", problems) for index, each in enumerate(raw)]
    slugs = [each.get("slug") if isinstance(each, Mapping) else None for each in raw]
    for index, slug in enumerate(slugs):
        if isinstance(slug, str) and slug in slugs[:index]:
            problems.append((f"plans[{index}].slug", f"{slug} comes twice; write another one"))
    problems.extend(_shared_prices(plans))
    if problems:
        lines = [f"{where}: {text}" if where else text for where, text in problems]
        told = [{"field": where, "message": text} for where, text in problems]
        raise SchemaValidation("\n".join(lines), field=problems[0][0], problems=told)
    return tuple(plan for plan in plans if plan is not None)


def _shared_prices(plans: Sequence[Plan | None]) -> Iterator[Problem]:
    """Yield the prices whose slug another plan uses: it is a lookup key, one for all of Stripe's account."""
    owners: dict[str, int] = {}
    for index, plan in enumerate(plans):
        for number, price in enumerate(plan.prices if plan else ()):
            if (owner := owners.setdefault(price.slug, index)) != index:
                field = f"plans[{index}].prices[{number}].slug"
                yield field, f"{price.slug} is a price of plans[{owner}] already; write another one"


def _shaped(model: type[M], value: object, where: str, problems: list[Problem]) -> M | None:
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        problems.extend((_path(where, error["loc"]), _shape_text(error)) for error in exc.errors())
    return None


def _shaped_part(
    model: type[M], value: object, where: str, problems: list[Problem], stand_ins: Mapping[str, object]
) -> tuple[M | None, frozenset[str]]:
    """Return a document, and which of its fields have the wrong shape: stand-ins keep them from hiding other errors."""
    before = len(problems)
    document = _shaped(model, value, where, problems)
    if document is not None or not isinstance(value, Mapping):
        return document, frozenset()
    wrong = frozenset(_first_step(field, where) for field, _ in problems[before:])
    rest = {name: each for name, each in value.items() if name not in wrong}
    return _shaped(model, {**stand_ins, **rest}, where, []), wrong


def _first_step(field: str, where: str) -> str:
    """Return the name of the field of `where` that a problem is in."""
    step = _FIRST_STEP.match(field.removeprefix(where).removeprefix("."))
    return step[0] if step else ""


def _shape_text(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return "is no field of the document; leave it out"
    if error["type"] == "missing":
        return "is missing; write it"
    text = error["msg"].removeprefix("Value error, ")
    return text[0].lower() + text[1:]


def _path(where: str, location: tuple[int | str, ...]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return f"{where}{''.join(steps)}".removeprefix(".")


def _plan(value: object, where: str, problems: list[Problem]) -> Plan | None:
    raw = value.get("prices") if isinstance(value, Mapping) else None
    raw = raw if isinstance(raw, (list, tuple)) else ()
    prices = [_price(each, f"{where}.prices[{index}]", problems) for index, each in enumerate(raw)]
    document, wrong = _shaped_part(PlanDocument, value, where, problems, _PLAN_STAND_INS)
    if document is None:
        return None
    usable = tuple(price for price in prices if price is not None)
    own: list[Problem] = []
    plan = _collect(lambda: _build_plan(document, usable), where, own)
    if len(usable) < len(prices):  # then what the plan says of its prices is a consequence, with other numbers
        wrong |= {"prices"}
    problems.extend(each for each in own if _first_step(each[0], where) not in wrong)
    return plan


def _build_plan(document: PlanDocument, prices: tuple[Price, ...]) -> Plan:
    return Plan(
        slug=document.slug,
        name=document.name,
        prices=prices,
        description=document.description,
        product=document.product,
        trial_days=document.trial_days,
        features=tuple(_feature(each) for each in document.features),
        metadata=document.metadata,
        version=document.version,
    )


def _price(value: object, where: str, problems: list[Problem]) -> Price | None:
    document, wrong = _shaped_part(PriceDocument, value, where, problems, _PRICE_STAND_INS)
    if document is None:
        return None
    own: list[Problem] = []
    rates = {
        code: _rate(document.kind, rate, code, f"{where}.currencies.{code}", own)
        for code, rate in document.currencies.items()
    }
    cycle = _collect(lambda: Cycle(document.interval, document.interval_count), where, own)
    price = _collect(lambda: _build_price(document, cycle or Cycle(document.interval), rates), where, own)
    if "kind" in wrong:
        wrong |= _BY_KIND
    if "interval" in wrong:
        wrong |= {"interval_count"}
    problems.extend(each for each in own if _first_step(each[0], where) not in wrong)
    return None if own or wrong else price


def _build_price(document: PriceDocument, cycle: Cycle, rates: Mapping[str, Rate]) -> Price:
    return Price(
        slug=document.slug,
        kind=document.kind,
        cycle=cycle,
        rates=rates,
        metered=MeteredBy(document.meter.slug, document.meter.aggregation) if document.meter else None,
        included_quantity=document.included_quantity,
        package_size=document.package_size,
        name=document.name,
    )


def _rate(kind: PriceKind, document: RateDocument, currency: str, where: str, problems: list[Problem]) -> Rate:
    """Turn major units into minor ones; where these must be whole, a fraction is a problem, said in major units."""

    def minor(amount: Decimal, field: str, *, whole: bool) -> Decimal:
        exact = read_major(amount, currency, field)
        if whole and _collect(lambda: whole_minor(exact, currency, field), where, problems) is None:
            return Decimal(0)
        return exact

    def tier(index: int, each: TierDocument) -> Tier:
        flat = minor(each.flat_amount, f"tiers[{index}].flat_amount", whole=True)
        return Tier(each.up_to, minor(each.unit_amount, "", whole=False), int(flat))

    def bound(amount: Decimal | None, field: str) -> int | None:
        return None if amount is None else int(minor(amount, field, whole=True))

    amount = document.amount
    return Rate(
        unit_amount=None if amount is None else minor(amount, "amount", whole=kind in WHOLE),
        tiers=tuple(tier(index, each) for index, each in enumerate(document.tiers)),
        minimum=bound(document.minimum, "minimum"),
        maximum=bound(document.maximum, "maximum"),
    )


def _feature(document: FeatureDocument) -> Feature:
    limit = document.limit
    if limit is None:
        return Feature(document.slug, document.name)
    return Feature(document.slug, document.name, Limit(limit.meter, limit.quantity, limit.mode == "hard"))


def _collect(make: Callable[[], T], where: str, problems: list[Problem]) -> T | None:
    """Make something; on InvalidInput note all its problems, with where they are, and return None."""
    try:
        return make()
    except InvalidInput as exc:
        field = exc.details["field"]
        found = exc.details.get("problems") or [(field, exc.message.removeprefix(f"{field}: "))]
        problems.extend((f"{where}.{inner}" if inner else where, text) for inner, text in found)
    return None
