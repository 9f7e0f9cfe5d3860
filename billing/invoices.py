"""Previews of invoices: what Stripe will bill, computed here.

`preview_invoice(state, reason, …)` takes
- `state` (`subscribed.SubscriptionState`): currency, items (price, quantity; usage of metered ones), current period and
  anchor, whether it is on trial, discounts in order, the customer's balance;
- `reason`: CREATE, the first invoice, of `state.period`; CYCLE, the renewal at `state.period.end`; UPDATE, the invoice
  of a change made at `now` (Stripe's `proration_behavior=always_invoice`);
- `change` and `now`, for UPDATE;
- `pending`: lines that earlier changes left for the next invoice (`create_prorations`), the newest first.

Lines: on CREATE the licensed items' whole period (at 0 while on trial); on CYCLE the usage of the ended period and the
next period of the licensed items; on UPDATE `proration.change_lines`. Discounts active at that instant reduce all
lines but prorations. A negative total becomes credit on the customer's balance, and credit pays what it can
(docs.stripe.com/billing/customer/balance). Taxes and Stripe's least charge amounts are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from billing.discounts import Discount, Reduction, reduce_amounts
from billing.money import Money
from billing.periods import next_period, utc_second
from billing.proration import InvoiceLine, change_lines, recurring_lines, usage_lines
from billing.subscribed import Change, SubscriptionState, one_cycle
from runtime.errors import InvalidInput


class Reason(StrEnum):
    """Why an invoice is made; Stripe's `billing_reason`."""

    CREATE = "subscription_create"
    CYCLE = "subscription_cycle"
    UPDATE = "subscription_update"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """A computed invoice, in minor units: total = subtotal - discount."""

    currency: str
    lines: tuple[InvoiceLine, ...]
    subtotal: int
    discount: int
    total: int
    amount_due: int
    starting_balance: int
    ending_balance: int
    """The customer's balance afterwards: negative is credit."""


def preview_invoice(
    state: SubscriptionState,
    reason: Reason,
    *,
    change: Change | None = None,
    now: datetime | None = None,
    pending: Sequence[InvoiceLine] = (),
) -> Invoice:
    """Compute an invoice; the module says of what. Raises: InvalidInput."""
    if (reason is Reason.UPDATE) != (change is not None and now is not None):
        raise InvalidInput("change: write change and now for an update, and only for one", field="change")
    discounts, at = state.discounts, state.period.start
    if reason is Reason.CREATE:
        lines = [*pending, *recurring_lines(state.items, state.currency, state.period, trial=state.trialing)]
    elif change is None or now is None:
        lines, at = [*pending, *_renewal_lines(state)], state.period.end
    else:
        lines, at = list(change_lines(state, change, now, pending)), utc_second(now)
        discounts = discounts if change.discounts is None else change.discounts
    return make_invoice(lines, discounts, currency=state.currency, at=at, balance=state.balance)


def make_invoice(
    lines: Sequence[InvoiceLine], discounts: Sequence[Discount], *, currency: str, at: datetime, balance: int
) -> Invoice:
    """Add up lines, discounts and the customer's balance.

    What is due is rounded to what the currency can be charged in; Stripe keeps the difference on the balance
    (docs.stripe.com/currencies, special cases). Without lines Stripe makes no invoice, so that nothing is due
    (docs.stripe.com/billing/subscriptions/billing-mode/compare).
    """
    reduced = tuple(_discounted(lines, discounts, currency=currency, at=at))
    subtotal, discount = sum(line.amount for line in reduced), sum(line.discount for line in reduced)
    owed = subtotal - discount + balance
    due = Money(max(owed, 0), currency).chargeable().amount_minor if lines else 0
    return Invoice(
        currency=currency,
        lines=reduced,
        subtotal=subtotal,
        discount=discount,
        total=subtotal - discount,
        amount_due=due,
        starting_balance=balance,
        ending_balance=owed - due,
    )


def _renewal_lines(state: SubscriptionState) -> Iterator[InvoiceLine]:
    cycle = one_cycle(state.items)
    if cycle is None:
        raise InvalidInput("items: are missing; a renewal needs one", field="items")
    if not state.trialing:
        yield from usage_lines(state.items, state.currency, state.period)
    coming = next_period(state.anchor, cycle, state.period)
    yield from recurring_lines(state.items, state.currency, coming, trial=False)


def _discounted(
    lines: Sequence[InvoiceLine], discounts: Sequence[Discount], *, currency: str, at: datetime
) -> Iterator[InvoiceLine]:
    open_lines = [line for line in lines if not line.proration]
    amounts = [(line.plan, line.amount) for line in open_lines]
    reductions = iter(_by_line(reduce_amounts(discounts, amounts, currency=currency, at=at), len(open_lines)))
    for line in lines:
        yield line if line.proration else replace(line, discount=next(reductions))


def _by_line(reductions: Sequence[Reduction], count: int) -> list[int]:
    return [sum(reduction.shares[index] for reduction in reductions) for index in range(count)]
