"""What a subscription holds when an invoice of it is computed, and what a change makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from billing.currencies import read_currency
from billing.discounts import Discount
from billing.periods import Cycle, Period
from billing.prices import Price
from billing.rates import PriceKind
from billing.rating import rate_quantity
from runtime.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A price that is subscribed to. Licensed prices have a quantity; metered ones the period's usage so far, in the
    whole units that Stripe is told."""

    id: str
    price: Price
    quantity: int = 1
    usage: int = 0
    used_since: datetime | None = None
    """When a metered price came within the period: usage before was billed at the price before it."""
    plan: str = ""
    """The plan's slug: coupons are for plans."""
    billed: int | None = None
    """What the whole current period was billed at, after discounts. None: its price, less the present discounts.
    Stripe credits what was debited, with its discounts of then (docs.stripe.com/billing/subscriptions/prorations)."""

    def __post_init__(self) -> None:
        for name, units in (("quantity", self.quantity), ("usage", self.usage)):
            if isinstance(units, bool) or not isinstance(units, int) or units < 0:
                raise InvalidInput(f"{name}: {units!r} is no whole quantity; write 0 or more", field=name)
        if self.price.kind is PriceKind.FLAT and self.quantity != 1:
            # Stripe would multiply it: there a flat price is a unit amount with quantity 1.
            raise InvalidInput(f"quantity: {self.quantity} of a flat price; write 1, or use per_seat", field="quantity")

    @property
    def licensed(self) -> bool:
        """Say whether it is billed ahead, by quantity."""
        return self.price.metered is None

    def amount(self, currency: str) -> int:
        """Return what a whole period costs, in minor units, before discounts."""
        return rate_quantity(self.price, currency, self.quantity if self.licensed else self.usage).amount

    def same_terms(self, other: Item) -> bool:
        """Say whether a change from one to the other leaves what is paid for as it is."""
        return self.price == other.price and (self.quantity == other.quantity or not self.licensed)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionState:
    """A subscription at an instant of its current period; all its items have one cycle. Raises: InvalidInput."""

    currency: str
    items: tuple[Item, ...]
    period: Period
    anchor: datetime
    """Where the following periods are counted from; the trial's end for one on trial."""
    trialing: bool = False
    discounts: tuple[Discount, ...] = ()
    """In the order in which they are applied, without used-up `once` ones."""
    balance: int = 0
    """The customer's, in minor units as Stripe keeps it: negative is credit, positive is owed."""

    def __post_init__(self) -> None:
        read_currency(self.currency)
        one_cycle(self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a subscription becomes: its items afterwards (same id: kept or changed; missing: removed; new id: added).

    The period restarts when the interval changes, `restart` asks for it, or a trial begins or ends: everything unused
    is credited, and the new period is billed in full. In Stripe's flexible billing mode another interval alone does
    not restart it: whoever carries out such a change sends `billing_cycle_anchor=now`.
    """

    items: tuple[Item, ...]
    restart: bool = False
    trial_end: datetime | None = None
    """In the future: a trial begins, until then. Now: the trial ends."""
    discounts: tuple[Discount, ...] | None = None
    """None keeps them. Others count already for this change, as Stripe's documentation of prorations says."""

    def __post_init__(self) -> None:
        one_cycle(self.items)


def one_cycle(items: tuple[Item, ...]) -> Cycle | None:
    """Return the cycle that all items share, None without items. Raises: InvalidInput."""
    if len({item.id for item in items}) != len(items):
        raise InvalidInput("items: the same id comes twice; write each item once", field="items")
    cycles = {item.price.cycle for item in items}
    if len(cycles) > 1:
        raise InvalidInput("items: have several intervals; subscribe to prices with the same interval", field="items")
    return next(iter(cycles), None)
