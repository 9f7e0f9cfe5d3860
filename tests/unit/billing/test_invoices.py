"""Invoices add up: lines, discounts, the customer's balance."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.discounts import Coupon, Discount, Duration, unspent
from billing.invoices import Invoice, Reason, preview_invoice
from billing.periods import Period
from billing.subscribed import Change, SubscriptionState
from runtime.errors import InvalidInput
from tests.unit.billing.builders import flat, per_seat, price, utc
from tests.unit.billing.subscriptions import APRIL, CALLS, HALFWAY, TEN, TWENTY, item, scenes, state

TEN_PERCENT = Discount(Coupon(code="TEN", percent_off=Decimal(10), duration=Duration.FOREVER), APRIL.start)


def lines(invoice: Invoice) -> list[tuple[str, int, int]]:
    return [(line.description, line.amount, line.discount) for line in invoice.lines]


def test_the_first_invoice_bills_licensed_items_only() -> None:
    first = preview_invoice(
        state(item(TEN), item(per_seat(300), "b", quantity=4), item(CALLS, "c", usage=9), discounts=(TEN_PERCENT,)),
        Reason.CREATE,
    )
    assert lines(first) == [("ten", 1000, 100), ("4 × test", 1200, 120)]
    assert (first.subtotal, first.discount, first.total, first.amount_due) == (2200, 220, 1980, 1980)
    assert first.lines[0].period == APRIL


def test_a_renewal_bills_usage_behind_and_licences_ahead() -> None:
    renewal = preview_invoice(state(item(TEN), item(CALLS, "b", usage=150)), Reason.CYCLE)
    assert [(line.description, line.amount, line.period) for line in renewal.lines] == [
        ("150 × calls", 300, APRIL),
        ("ten", 1000, Period(utc("2026-05-01"), utc("2026-06-01"))),
    ]


def test_a_renewal_keeps_the_anchors_day() -> None:
    february = Period(utc("2026-01-31"), utc("2026-02-28"))
    subscription = replace(state(item(TEN), period=february), anchor=utc("2025-12-31"))
    (line,) = preview_invoice(subscription, Reason.CYCLE).lines
    assert line.period == Period(utc("2026-02-28"), utc("2026-03-31"))


def test_a_trial_costs_nothing_and_its_end_bills() -> None:
    trial = replace(state(item(TEN), item(CALLS, "b", usage=50), trialing=True), anchor=APRIL.end)
    assert lines(preview_invoice(trial, Reason.CREATE)) == [("Free trial for ten", 0, 0)]
    assert lines(preview_invoice(trial, Reason.CYCLE)) == [("ten", 1000, 0)]


def test_discounts_leave_prorations_alone() -> None:
    before = state(item(TEN), discounts=(TEN_PERCENT,))
    change = Change(items=(item(TWENTY),), restart=True)
    update = preview_invoice(before, Reason.UPDATE, change=change, now=HALFWAY)
    assert [(line.amount, line.discount) for line in update.lines] == [(-450, 0), (2000, 200)]
    assert update.total == 2000 - 450 - 200


def test_pending_prorations_come_with_the_next_invoice() -> None:
    before = state(item(TEN))
    pending = preview_invoice(before, Reason.UPDATE, change=Change(items=(item(TWENTY),)), now=HALFWAY).lines
    renewal = preview_invoice(replace(before, items=(item(TWENTY),)), Reason.CYCLE, pending=pending)
    assert [line.amount for line in renewal.lines] == [-500, 1000, 2000]
    assert renewal.amount_due == 2500


@pytest.mark.parametrize(
    ("balance", "due", "ending"), [(0, 1000, 0), (-300, 700, 0), (-1000, 0, 0), (-1500, 0, -500), (200, 1200, 0)]
)
def test_credit_pays_what_it_can(balance: int, due: int, ending: int) -> None:
    invoice = preview_invoice(state(item(TEN), balance=balance), Reason.CREATE)
    assert (invoice.amount_due, invoice.starting_balance, invoice.ending_balance) == (due, balance, ending)


def test_without_lines_nothing_is_due() -> None:
    owing = state(item(CALLS), balance=700)
    invoice = preview_invoice(owing, Reason.CREATE)
    assert (invoice.lines, invoice.amount_due, invoice.ending_balance) == ((), 0, 700)


def test_a_new_price_counts_usage_from_its_change_on() -> None:
    """docs.stripe.com/billing/subscriptions/usage-based/manage-billing-setup, "Update prices mid-cycle"."""
    changed = state(item(CALLS, "b", usage=5, used_since=HALFWAY))
    (line,) = preview_invoice(changed, Reason.CYCLE).lines
    assert line.period == Period(HALFWAY, APRIL.end)


def test_a_negative_total_becomes_credit() -> None:
    downgrade = preview_invoice(
        state(item(TWENTY), balance=-50), Reason.UPDATE, change=Change(items=(item(TEN),)), now=HALFWAY
    )
    assert (downgrade.total, downgrade.amount_due, downgrade.ending_balance) == (-500, 0, -550)


def test_what_a_currency_cannot_be_charged_stays_on_the_balance() -> None:
    """docs.stripe.com/currencies: UGX is rounded to whole shillings, the difference goes to the balance."""
    shillings = price(per_seat(1).kind, 1, rates={"ugx": per_seat(1050).rate("usd")})
    subscription = replace(state(item(TEN)), currency="ugx", items=(item(shillings),))
    invoice = preview_invoice(subscription, Reason.CREATE)
    assert (invoice.total, invoice.amount_due, invoice.ending_balance) == (1050, 1100, -50)


def test_a_once_coupon_reduces_one_invoice() -> None:
    once = replace(TEN_PERCENT, coupon=replace(TEN_PERCENT.coupon, duration=Duration.ONCE))
    first = state(item(TEN), discounts=(once,))
    assert preview_invoice(first, Reason.CREATE).total == 900
    assert preview_invoice(replace(first, discounts=unspent(first.discounts)), Reason.CYCLE).total == 1000


def test_a_repeating_coupon_counts_at_the_invoices_instant() -> None:
    coupon = replace(TEN_PERCENT.coupon, duration=Duration.REPEATING, months=1)
    month = Discount(coupon, APRIL.start, APRIL.end)
    subscription = state(item(TEN), discounts=(month,))
    assert preview_invoice(subscription, Reason.CREATE).total == 900
    assert preview_invoice(subscription, Reason.CYCLE).total == 1000


def test_what_is_asked_must_fit_together() -> None:
    with pytest.raises(InvalidInput, match="change"):
        preview_invoice(state(item(TEN)), Reason.UPDATE)
    with pytest.raises(InvalidInput, match="change"):
        preview_invoice(state(item(TEN)), Reason.CYCLE, change=Change(items=()), now=HALFWAY)
    with pytest.raises(InvalidInput, match="items: are missing"):
        preview_invoice(state(), Reason.CYCLE)
    with pytest.raises(InvalidInput, match="no price in eur"):
        preview_invoice(replace(state(item(flat(1))), currency="eur"), Reason.CREATE)


@given(scenes(), scenes(), st.sampled_from(Reason), st.integers(-(10**5), 10**5), st.booleans())
def test_every_invoice_adds_up(
    scene: tuple[SubscriptionState, datetime],
    other: tuple[SubscriptionState, datetime],
    reason: Reason,
    balance: int,
    restart: bool,
) -> None:
    before, now = scene
    before = replace(before, balance=balance)
    change = Change(items=other[0].items, restart=restart)
    update = reason is Reason.UPDATE
    made = preview_invoice(before, reason, change=change if update else None, now=now if update else None)
    assert made.subtotal == sum(line.amount for line in made.lines)
    assert made.discount == sum(line.discount for line in made.lines)
    assert made.total == made.subtotal - made.discount
    assert made.total + made.starting_balance == made.amount_due + made.ending_balance
    assert made.amount_due >= 0
    assert made.amount_due == 0 or made.ending_balance == 0
    for line in made.lines:
        assert line.amount >= 0 or line.proration
        assert 0 <= line.discount <= max(line.amount, 0)
        assert not (line.proration and line.discount)
