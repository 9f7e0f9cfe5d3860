"""Our half of a random customer's story: what `billing` computes, kept from invoice to invoice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum

from billing.discounts import Discount, Duration, reduce_amounts
from billing.invoices import Invoice, Reason, preview_invoice
from billing.periods import Cycle, Period, cycle_start, next_period, utc_second
from billing.proration import InvoiceLine, change_lines, period_after, restarts
from billing.subscribed import Change, Item, SubscriptionState, one_cycle


class Billed(Enum):
    """When a change is billed."""

    NOW = "now"
    WITH_NEXT = "with the next invoice"
    NEVER = "never"


class OurSide:
    """The subscription as we know it; each step returns the invoice that we expect."""

    def __init__(self, state: SubscriptionState, pending: Sequence[InvoiceLine] = ()) -> None:
        self.state = state
        self._pending = list(pending)

    @classmethod
    def beginning(
        cls,
        items: tuple[Item, ...],
        currency: str,
        start: datetime,
        *,
        trial_end: datetime | None,
        discounts: tuple[Discount, ...],
        balance: int,
    ) -> OurSide:
        """Return a subscription that begins, perhaps with a trial."""
        return cls(
            SubscriptionState(
                currency=currency,
                items=items,
                period=Period(start, trial_end or cycle_start(start, cycle_of(items), 1)),
                anchor=trial_end or start,
                trialing=trial_end is not None,
                discounts=discounts,
                balance=balance,
            )
        )

    def preview_creation(self) -> Invoice:
        """Return the first invoice."""
        return preview_invoice(self.state, Reason.CREATE)

    def create(self) -> Invoice:
        """Begin."""
        invoice = self.preview_creation()
        self._note_billed(invoice, self.state.period.start)
        return invoice

    def use(self, item_id: str, value: int) -> None:
        """Count usage."""
        items = (replace(item, usage=item.usage + value) if item.id == item_id else item for item in self.state.items)
        self.state = replace(self.state, items=tuple(items))

    def preview_renewal(self) -> Invoice:
        """Return the invoice at the period's end."""
        return preview_invoice(self.state, Reason.CYCLE, pending=self._pending)

    def renew(self) -> Invoice:
        """Go on to the next period."""
        invoice, ended = self.preview_renewal(), self.state.period
        self.state = replace(
            self.state,
            items=tuple(replace(item, usage=0, used_since=None) for item in self.state.items),
            period=next_period(self.state.anchor, cycle_of(self.state.items), ended),
            trialing=False,
        )
        self._note_billed(invoice, ended.end)
        return invoice

    def preview_change(self, change: Change, now: datetime, billed: Billed) -> Invoice:
        """Return the invoice of a change; of one that brings none, the renewal after it, as Stripe does."""
        rehearsal = OurSide(self.state, self._pending)
        return rehearsal.change(change, now, billed) or rehearsal.preview_renewal()

    def change(self, change: Change, now: datetime, billed: Billed) -> Invoice | None:
        """Make a change; return its invoice if it brings one at once."""
        if billed is Billed.NOW:
            return self._change_at_once(change, now)
        if billed is Billed.WITH_NEXT:
            self._pending = list(change_lines(self.state, change, now, self._pending))
        self._replace_items(change, now, prorated=billed is Billed.WITH_NEXT)
        return None

    def settle(self, balance: int) -> None:
        """Take over the customer's balance after an invoice."""
        self.state = replace(self.state, balance=balance)

    def _change_at_once(self, change: Change, now: datetime) -> Invoice | None:
        invoice = preview_invoice(self.state, Reason.UPDATE, change=change, now=now, pending=self._pending)
        if restarts(self.state, change):
            trial_end = change.trial_end if change.trial_end and change.trial_end > now else None
            self.state = replace(
                self.state,
                items=tuple(replace(item, usage=0, used_since=None) for item in change.items),
                period=period_after(self.state, change, now),
                anchor=trial_end or now,
                trialing=trial_end is not None,
                discounts=self.state.discounts if change.discounts is None else change.discounts,
            )
        else:
            self._replace_items(change, now, prorated=True)
        self._note_billed(invoice, utc_second(now))
        return invoice if invoice.lines else None

    def _replace_items(self, change: Change, now: datetime, *, prorated: bool) -> None:
        """Go on with a change's items; the usage of those with another price counts from now on."""
        before = {item.id: item for item in self.state.items}
        discounts = self.state.discounts if change.discounts is None else change.discounts
        nets = self._full_amounts(change.items, discounts, now)
        items = []
        for item in change.items:
            old = before.get(item.id)
            if old is not None and old.same_terms(item):
                items.append(old)
                continue
            unprorated = 0 if old is None else old.billed
            billed = nets.get(item.id) if prorated else unprorated
            items.append(replace(item, usage=0, used_since=None if item.licensed else now, billed=billed))
        self.state = replace(self.state, items=tuple(items), discounts=discounts)

    def _full_amounts(self, items: Sequence[Item], discounts: Sequence[Discount], now: datetime) -> dict[str, int]:
        """Return what licensed items are billed at for a whole period."""
        licensed = [item for item in items if item.licensed]
        amounts = [(item.plan, item.amount(self.state.currency)) for item in licensed]
        cuts = reduce_amounts(discounts, amounts, currency=self.state.currency, at=utc_second(now))
        return {
            item.id: amounts[place][1] - sum(cut.shares[place] for cut in cuts) for place, item in enumerate(licensed)
        }

    def _note_billed(self, invoice: Invoice, at: datetime) -> None:
        """Remember what licensed items were billed at; let go what waited, and the coupons for one invoice."""
        whole = {
            line.item_id: line.amount - line.discount
            for line in invoice.lines
            if not line.proration and line.period == self.state.period
        }
        items = (
            replace(item, billed=whole[item.id]) if item.licensed and item.id in whole else item
            for item in self.state.items
        )
        amounts = [(line.plan, line.amount) for line in invoice.lines if not line.proration]
        cuts = reduce_amounts(self.state.discounts, amounts, currency=self.state.currency, at=at)
        used = {cut.code for cut in cuts if any(cut.shares)}
        left = (
            discount
            for discount in self.state.discounts
            if discount.coupon.duration is not Duration.ONCE or discount.coupon.code not in used
        )
        self.state = replace(self.state, items=tuple(items), discounts=tuple(left))
        self._pending = []


def cycle_of(items: tuple[Item, ...]) -> Cycle:
    """Return the one cycle of items, of which there are some."""
    cycle = one_cycle(items)
    assert cycle is not None
    return cycle
