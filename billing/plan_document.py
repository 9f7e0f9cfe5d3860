"""Plans as code: a document (YAML or JSON, parsed to a mapping) becomes checked plans, or a list of all its errors.

Amounts are written in major units, as text or whole numbers: "20.00" USD, "0.0004" USD. `docs/plans.example.yaml` shows
every field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from billing.currencies import read_currency
from billing.money import read_decimal, read_major, whole_minor
from billing.periods import Cycle, Interval
from billing.plans import Feature, Limit, Plan
from billing.prices import MeteredBy, Price
from billing.rates import PriceKind, Problem, Rate, Tier
from metering.meters import Aggregation
from runtime.errors import InvalidInput, SchemaValidation

T = TypeVar("T")


def _exact(value: object) -> Decimal:
    """Read a number for pydantic, which wants a ValueError."""
    try:
        return read_decimal(value, "number")
    except InvalidInput as exc:
        raise ValueError(exc.message.removeprefix("number: ")) from exc


Number = Annotated[Decimal, BeforeValidator(_exact)]


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
    """A plan."""

    slug: str
    name: str
    description: str = ""
    product: str = ""
    trial_days: int = 0
    version: int = 1
    metadata: dict[str, str] = {}
    features: tuple[FeatureDocument, ...] = Field((), strict=False)
    prices: tuple[PriceDocument, ...] = Field(strict=False)


class PlansDocument(_Document):
    """The whole document."""

    plans: tuple[PlanDocument, ...] = Field(strict=False, min_length=1)


def read_plans(document: object) -> tuple[Plan, ...]:
    """Turn a parsed document into plans.

    Raises: SchemaValidation, whose `details["problems"]` are all the errors, each `plans[0].prices[1]…: what is wrong`.
    """
    problems: list[Problem] = []
    shaped = _shaped(document, problems)
    plans = [_plan(each, f"plans[{index}]", problems) for index, each in enumerate(shaped)]
    slugs = [plan.slug for plan in shaped]
    for index, slug in enumerate(slugs):
        if slug in slugs[:index]:
            problems.append((f"plans[{index}].slug", f"{slug} comes twice; write another one"))
    if problems:
        lines = [f"{where}: {text}" if where else text for where, text in problems]
        raise SchemaValidation("\n".join(lines), field=problems[0][0], problems=lines)
    return tuple(plan for plan in plans if plan is not None)


def _shaped(document: object, problems: list[Problem]) -> tuple[PlanDocument, ...]:
    """Check the shape. Plans of a right shape are returned even if others are not, so that all errors are told."""
    try:
        return PlansDocument.model_validate(document).plans
    except ValidationError as exc:
        problems.extend(_shape_problems(exc))
    return ()


def _shape_problems(exc: ValidationError) -> Iterator[Problem]:
    for error in exc.errors():
        text = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            text = "is no field of the document; leave it out"
        elif error["type"] == "missing":
            text = "is missing; write it"
        yield _path(error["loc"]), text[0].lower() + text[1:]


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path.removeprefix(".")


def _plan(document: PlanDocument, where: str, problems: list[Problem]) -> Plan | None:
    prices = [_price(each, f"{where}.prices[{index}]", problems) for index, each in enumerate(document.prices)]
    usable = tuple(price for price in prices if price is not None)
    if document.prices and not usable:
        return None  # that there are no prices left is no error of its own
    return _collect(
        lambda: Plan(
            slug=document.slug,
            name=document.name,
            prices=usable,
            description=document.description,
            product=document.product,
            trial_days=document.trial_days,
            features=tuple(_feature(each) for each in document.features),
            metadata=document.metadata,
            version=document.version,
        ),
        where,
        problems,
    )


def _price(document: PriceDocument, where: str, problems: list[Problem]) -> Price | None:
    before = len(problems)
    rates = {}
    for code, rate in document.currencies.items():
        inner = f"{where}.currencies.{code}"
        currency = _collect(lambda code=code: read_currency(code, ""), inner, problems)  # type: ignore[misc]
        if currency is not None:
            rates[currency] = _rate(rate, currency, inner, problems)
    cycle = _collect(lambda: Cycle(document.interval, document.interval_count), where, problems)
    if cycle is None or len(problems) > before:
        return None
    return _collect(
        lambda: Price(
            slug=document.slug,
            kind=document.kind,
            cycle=cycle,
            rates=rates,
            metered=MeteredBy(document.meter.slug, document.meter.aggregation) if document.meter else None,
            included_quantity=document.included_quantity,
            package_size=document.package_size,
            name=document.name,
        ),
        where,
        problems,
    )


def _rate(document: RateDocument, currency: str, where: str, problems: list[Problem]) -> Rate:
    def whole(amount: Decimal, field: str) -> int:
        return _collect(lambda: whole_minor(read_major(amount, currency, field), currency, field), where, problems) or 0

    def tier(index: int, each: TierDocument) -> Tier:
        flat = whole(each.flat_amount, f"tiers[{index}].flat_amount")
        return Tier(each.up_to, read_major(each.unit_amount, currency, "unit_amount"), flat)

    return Rate(
        unit_amount=None if document.amount is None else read_major(document.amount, currency, "amount"),
        tiers=tuple(tier(index, each) for index, each in enumerate(document.tiers)),
        minimum=None if document.minimum is None else whole(document.minimum, "minimum"),
        maximum=None if document.maximum is None else whole(document.maximum, "maximum"),
    )


def _feature(document: FeatureDocument) -> Feature:
    limit = document.limit
    return Feature(
        document.slug,
        document.name,
        None if limit is None else Limit(limit.meter, limit.quantity, limit.mode == "hard"),
    )


def _collect(make: Callable[[], T], where: str, problems: list[Problem]) -> T | None:
    """Make something; on InvalidInput note all its problems, with where they are, and return None."""
    try:
        return make()
    except InvalidInput as exc:
        field = exc.details["field"]
        found = exc.details.get("problems") or [(field, exc.message.removeprefix(f"{field}: "))]
        problems.extend((f"{where}.{inner}" if inner else where, text) for inner, text in found)
    return None
