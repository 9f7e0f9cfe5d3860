"""What a change in the middle of a period costs: exactly the lines that Stripe charges, to the second.

Unused time is credited and remaining time debited: amount × seconds left / seconds of the period, rounded half up.
Discounts are inside of these amounts, and invoice discounts leave them alone (`discountable=false`): an amount off is
shared over the items by what they cost. Only what is billed ahead is prorated, never usage; nothing is during a trial.
Usage of an item that is removed, or whose period restarts, is billed at once.
Sources: docs.stripe.com/billing/subscriptions/prorations, …/billing-mode/compare (billing mode flexible) and
…/usage-based/manage-billing-setup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from billing.discounts import Discount, reduce_amounts
from billing.money import prorate
from billing.periods import Period, cycle_start, utc_second
from billing.subscribed import Change, Item, SubscriptionState, one_cycle
from runtime.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """A line of an invoice, in minor units; a credit is negative."""

    item_id: str
    plan: str
    description: str
    amount: int
    quantity: int
    """Of a licensed item its quantity, of a metered one the usage."""
    period: Period
    """What it pays for."""
    proration: bool = False
    discount: int = 0
    """What the invoice's discounts take off it."""


def change_lines(
    state: SubscriptionState, change: Change, now: datetime, pending: Sequence[InvoiceLine] = ()
) -> tuple[InvoiceLine, ...]:
    """Return the lines that a change makes at `now`, inside of the current period, and those that already wait.

    Stripe lists what is new before what waits, and then whole periods (docs.stripe.com/api/invoices/object, `lines`);
    the order decides which line gets the last unit of a discount. Raises: InvalidInput.
    """
    now = utc_second(now)
    if not state.period.start <= now < state.period.end:
        raise InvalidInput("now: lies outside of the current period; write an instant within it", field="now")
    if restarts(state, change):
        trial = _trial_end(change, now) is not None
        whole = recurring_lines(change.items, state.currency, period_after(state, change, now), trial=trial)
        return (*_credits(state, now), *_used(state.items, state, now), *pending, *whole)
    return (*_proration_lines(state, change, now), *pending)


def restarts(state: SubscriptionState, change: Change) -> bool:
    """Say whether a change begins a new period."""
    before, after = one_cycle(state.items), one_cycle(change.items)
    other_cycle = before is not None and after is not None and before != after
    return change.restart or change.trial_end is not None or other_cycle


def period_after(state: SubscriptionState, change: Change, now: datetime) -> Period:
    """Return the current period after a change."""
    now, cycle = utc_second(now), one_cycle(change.items)
    if not restarts(state, change) or cycle is None:
        return state.period
    trial_end = _trial_end(change, now)
    return Period(now, trial_end or cycle_start(now, cycle, 1))


def recurring_lines(items: Sequence[Item], currency: str, period: Period, *, trial: bool) -> Iterator[InvoiceLine]:
    """Yield the lines of a whole period that is billed ahead; a trial's cost nothing."""
    for item in items:
        if item.licensed:
            named = _named(item)
            text, amount = (f"Free trial for {named}", 0) if trial else (named, item.amount(currency))
            yield _line(item, text, amount, period)


def usage_lines(items: Sequence[Item], currency: str, period: Period) -> Iterator[InvoiceLine]:
    """Yield what was used in a period that is no trial: a trial's usage is on no invoice."""
    for item in items:
        if not item.licensed:
            text, amount = f"{item.usage} × {_title(item)}", item.amount(currency)
            yield _line(item, text, amount, replace(period, start=item.used_since or period.start))


def _proration_lines(state: SubscriptionState, change: Change, now: datetime) -> Iterator[InvoiceLine]:
    before = {item.id: item for item in state.items}
    after = {item.id: item for item in change.items}
    kept = {key for key in before.keys() & after.keys() if before[key].same_terms(after[key])}
    left = _left(state.period, now)
    credits_ = {line.item_id: line for line in _credits(state, now)}
    debits = {line.item_id: line for line in _debits(state, change, left)}
    for key in [*before, *(key for key in after if key not in before)]:
        if key in kept:
            continue
        yield from (lines[key] for lines in (credits_, debits) if key in lines)
    gone = [item for key, item in before.items() if key not in kept]
    yield from _used(gone, state, now)


def _credits(state: SubscriptionState, now: datetime) -> Iterator[InvoiceLine]:
    if state.trialing:
        return
    left = _left(state.period, now)
    for item, net in _net_amounts(state.items, state, state.discounts, now):
        whole = net if item.billed is None else item.billed
        amount = -prorate(whole, left.seconds, state.period.seconds)
        yield _line(item, f"Unused time on {_named(item)} after {_day(now)}", amount, left, proration=True)


def _debits(state: SubscriptionState, change: Change, left: Period) -> Iterator[InvoiceLine]:
    if state.trialing:
        return
    discounts = state.discounts if change.discounts is None else change.discounts
    for item, net in _net_amounts(change.items, state, discounts, left.start):
        amount = prorate(net, left.seconds, state.period.seconds)
        yield _line(item, f"Remaining time on {_named(item)} after {_day(left.start)}", amount, left, proration=True)


def _net_amounts(
    items: Sequence[Item], state: SubscriptionState, discounts: Sequence[Discount], now: datetime
) -> Iterator[tuple[Item, int]]:
    """Yield the licensed items with what a whole period costs after discounts."""
    licensed = [item for item in items if item.licensed]
    amounts = [(item.plan, item.amount(state.currency)) for item in licensed]
    reductions = reduce_amounts(discounts, amounts, currency=state.currency, at=now)
    for index, item in enumerate(licensed):
        yield item, amounts[index][1] - sum(reduction.shares[index] for reduction in reductions)


def _used(items: Sequence[Item], state: SubscriptionState, now: datetime) -> Iterator[InvoiceLine]:
    """Yield the usage so far of items whose period ends now, the last first; Stripe makes no line of nothing."""
    used = [item for item in reversed(items) if item.usage and now > (item.used_since or state.period.start)]
    if used and not state.trialing:
        yield from usage_lines(used, state.currency, Period(state.period.start, now))


def _trial_end(change: Change, now: datetime) -> datetime | None:
    """Return the end of the trial that a change begins; None also when it ends one."""
    if change.trial_end is None:
        return None
    end = utc_second(change.trial_end, "trial_end")
    return end if end > now else None


def _left(period: Period, now: datetime) -> Period:
    return replace(period, start=now)


def _line(item: Item, description: str, amount: int, period: Period, *, proration: bool = False) -> InvoiceLine:
    return InvoiceLine(
        item_id=item.id,
        plan=item.plan,
        description=description,
        amount=amount,
        quantity=item.quantity if item.licensed else item.usage,
        period=period,
        proration=proration,
    )


def _title(item: Item) -> str:
    return item.price.name or item.price.slug


def _named(item: Item) -> str:
    return _title(item) if item.quantity == 1 else f"{item.quantity} × {_title(item)}"


def _day(instant: datetime) -> str:
    """Write a day as Stripe's lines do: `01 Sep 2020`."""
    return instant.strftime("%d %b %Y")
