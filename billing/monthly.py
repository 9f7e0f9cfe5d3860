"""What a subscription brings in a month (MRR): its licensed prices at their quantities, before discounts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any, Final

from billing.periods import cycle_name
from billing.rates import Tier, graduated_amount, tier_amount

# A year has 12 months, 52 weeks or 365 days here, as in most of the field.
_A_MONTH: Final = {"day": Fraction(365, 12), "week": Fraction(52, 12), "month": Fraction(1), "year": Fraction(1, 12)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFacts:
    """An item of a subscription; `amount` is what a whole period costs, in exact minor units (metered: 0)."""

    id: str
    price: str
    product: str
    quantity: int
    licensed: bool
    interval: str
    interval_count: int
    amount: Decimal

    @property
    def cycle(self) -> str:
        """Return how often it is billed: `month`, `3 months`."""
        return cycle_name(self.interval, self.interval_count)


def monthly_minor(items: Iterable[ItemFacts]) -> int:
    """Return the items' exact sum a month, rounded once, half up."""
    total = sum((Fraction(item.amount) * _A_MONTH[item.interval] / item.interval_count for item in items), Fraction(0))
    rounded = (2 * total.numerator + total.denominator) // (2 * total.denominator)
    return int(rounded)


def read_items(items: Sequence[Mapping[str, Any]], currency: str) -> tuple[ItemFacts, ...]:
    """Read the items of a subscription, in the order of their ids."""
    return tuple(_item(item, currency) for item in sorted(items, key=lambda item: str(item["id"])))


def lacks_amounts(price: Mapping[str, Any], currency: str) -> bool:
    """Say whether an answer leaves out what the price costs in a currency; reading that price alone shows it."""
    terms = _terms(price, currency)
    return terms is None or (price["billing_scheme"] == "tiered" and not terms.get("tiers"))


def _item(item: Mapping[str, Any], currency: str) -> ItemFacts:
    price = item["price"]
    recurring = price["recurring"]
    product = price["product"]
    licensed, quantity = recurring["usage_type"] == "licensed", item.get("quantity")
    return ItemFacts(
        id=item["id"],
        price=price["id"],
        product=product["id"] if isinstance(product, Mapping) else product,
        quantity=1 if quantity is None else quantity,
        licensed=licensed,
        interval=recurring["interval"],
        interval_count=recurring["interval_count"],
        amount=_amount(price, currency, 1 if quantity is None else quantity) if licensed else Decimal(0),
    )


def _terms(price: Mapping[str, Any], currency: str) -> Mapping[str, Any] | None:
    """Return where the amounts of a currency are: at the price itself or among its options."""
    options = price.get("currency_options") or {}
    if price["currency"] == currency:
        return price
    found: Mapping[str, Any] | None = options.get(currency)
    return found


def _amount(price: Mapping[str, Any], currency: str, quantity: int) -> Decimal:
    terms = _terms(price, currency)
    if terms is None:
        raise ValueError(f"price {price['id']} has no amounts in {currency}")
    if price["billing_scheme"] == "tiered":
        return _tiered(price["tiers_mode"], [_tier(tier) for tier in terms["tiers"]], quantity)
    if transform := price.get("transform_quantity"):
        whole, rest = divmod(quantity, transform["divide_by"])
        quantity = whole + (1 if rest and transform["round"] == "up" else 0)
    return Decimal(terms["unit_amount_decimal"] or 0) * quantity


def _tiered(mode: str, tiers: Sequence[Tier], quantity: int) -> Decimal:
    if mode == "graduated":
        return graduated_amount(tiers, quantity)
    return tier_amount(next(t for t in tiers if t.up_to is None or quantity <= t.up_to), Decimal(quantity))


def _tier(tier: Mapping[str, Any]) -> Tier:
    flat = Decimal(tier.get("flat_amount_decimal") or tier.get("flat_amount") or 0)
    return Tier(
        tier["up_to"],
        Decimal(tier.get("unit_amount_decimal") or tier.get("unit_amount") or 0),
        int(flat.to_integral_value(ROUND_HALF_UP)),
    )
