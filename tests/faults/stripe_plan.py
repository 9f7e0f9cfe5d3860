"""What customers of ours are going to do at Stripe, and by that alone what Stripe must hold in the end.

Nothing here asks the gateway or the simulator: the test's recount compares what is there with these numbers.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum


class FirstInvoice(StrEnum):
    """How the first invoice of a subscription comes to its end."""

    BY_CARD = "by_card"
    PAID_LATER = "paid_later"
    VOIDED = "voided"


class End(StrEnum):
    """How a subscription ends."""

    NONE = "none"
    AT_PERIOD_END = "at_period_end"
    NOW = "now"


@dataclass(frozen=True)
class Journey:
    """All that one customer does, in this order."""

    name: str
    unit_amount: int
    quantity: int
    upgrades: tuple[int, ...]
    """Quantities, each larger than the one before and paid at once, as from the period's first second."""
    downgrade: int
    """A smaller quantity, from the next period on."""
    usage: tuple[int, ...]
    percent_off: int
    first: FirstInvoice
    end: End

    @property
    def calls(self) -> int:
        """Return how many operations it is made of, one by one as `caller.Caller` does them."""
        begun = 9 + (self.first is not FirstInvoice.BY_CARD)
        changed = 0 if self.first is FirstInvoice.VOIDED else len(self.upgrades) + 1
        return begun + changed + len(self.usage) + (self.end is not End.NONE) + 1

    @property
    def final_quantity(self) -> int:
        """Return what is subscribed in the end."""
        return self.quantity if self.first is FirstInvoice.VOIDED else self.downgrade

    @property
    def invoices(self) -> Counter[tuple[str, int]]:
        """Return status and total of the invoices: the first, and one for each upgrade's difference."""
        status = "void" if self.first is FirstInvoice.VOIDED else "paid"
        found = Counter({(status, self.unit_amount * self.quantity): 1})
        if self.first is not FirstInvoice.VOIDED:
            steps = zip((self.quantity, *self.upgrades), self.upgrades, strict=False)
            found.update(("paid", self.unit_amount * (more - less)) for less, more in steps)
        return found

    @property
    def paid(self) -> int:
        """Return what is taken from the card, in all."""
        return sum(total * count for (status, total), count in self.invoices.items() if status == "paid")


def plan(operations: int, *, seed: int) -> list[Journey]:
    """Return journeys of at least so many operations."""
    dice = random.Random(seed)
    journeys: list[Journey] = []
    while sum(journey.calls for journey in journeys) < operations:
        quantity = dice.randint(1, 5)
        first = dice.choice(list(FirstInvoice))
        more = dice.randint(1, 4), dice.randint(1, 4)
        journeys.append(
            Journey(
                name=f"journey-{len(journeys)}",
                unit_amount=dice.randint(100, 9_999),
                quantity=quantity,
                upgrades=(quantity + more[0], quantity + sum(more)),
                downgrade=quantity,
                usage=tuple(dice.randint(1, 1_000) for _ in range(4)),
                percent_off=dice.randint(1, 99),
                first=first,
                end=End.NONE if first is FirstInvoice.VOIDED else dice.choice(list(End)),
            )
        )
    return journeys
