"""An invoice as both sides have it: ours, computed, and the simulator's, sent. Equal bills are equal money."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from billing.invoices import Invoice
from billing.proration import InvoiceLine


class BillLine(NamedTuple):
    """A line that is not nothing; of `item`, in minor units."""

    item: str
    amount: int
    discount: int
    quantity: int
    start: str
    end: str
    proration: bool


@dataclass(frozen=True)
class Bill:
    """Sums, and lines in no order."""

    subtotal: int
    discount: int
    total: int
    amount_due: int
    ending_balance: int
    lines: Counter[BillLine]

    @property
    def owed(self) -> int:
        """Return what is due now or stays on the balance."""
        return self.amount_due + self.ending_balance


def our_bill(invoice: Invoice) -> Bill:
    """Return the bill of a preview of ours."""
    return Bill(
        subtotal=invoice.subtotal,
        discount=invoice.discount,
        total=invoice.total,
        amount_due=invoice.amount_due,
        ending_balance=invoice.ending_balance,
        lines=Counter(_our_line(line) for line in invoice.lines if line.amount),
    )


def their_bill(invoice: Mapping[str, Any], lines: list[Mapping[str, Any]], items: Mapping[str, str]) -> Bill:
    """Return the bill of an invoice of Stripe's; `items` are our names for the items by their prices' ids."""
    due: int = invoice["amount_due"]
    return Bill(
        subtotal=invoice["subtotal"],
        discount=sum(each["amount"] for each in invoice["total_discount_amounts"]),
        total=invoice["total"],
        amount_due=due,
        # A draft and a preview have none yet.
        ending_balance=invoice["starting_balance"] + invoice["total"] - due,
        lines=Counter(_their_line(line, items) for line in lines if line["amount"]),
    )


def nothing(balance: int) -> Bill:
    """Return the bill of no invoice at all."""
    return Bill(0, 0, 0, 0, balance, Counter())


def _our_line(line: InvoiceLine) -> BillLine:
    return BillLine(
        line.item_id,
        line.amount,
        line.discount,
        line.quantity,
        line.period.start.isoformat(),
        line.period.end.isoformat(),
        line.proration,
    )


def _their_line(line: Mapping[str, Any], items: Mapping[str, str]) -> BillLine:
    return BillLine(
        items[line["pricing"]["price_details"]["price"]],
        line["amount"],
        sum(each["amount"] for each in line["discount_amounts"]),
        line["quantity"],
        _utc(line["period"]["start"]),
        _utc(line["period"]["end"]),
        line["parent"]["subscription_item_details"]["proration"],
    )


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
