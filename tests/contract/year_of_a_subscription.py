"""A year of one subscription, as Stripe's documentation says that it goes: written by hand, nothing in it is computed.

Basic is 10.00 and Pro 30.00 a month, in cents here. Times are UTC; an hour that is left out is midnight. A row holds
what was done, what the subscription is then, the invoices that came or changed, each event since the row before, and
the pages that say so. Within a row events have no order: Stripe does not promise any (docs.stripe.com/webhooks.md).
Charges are not simulated, so that `charge.*` is left out, as are the events of the test clock itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_DOCS: Final = "https://docs.stripe.com"
API_INVOICE: Final = f"{_DOCS}/api/invoices/object"
CANCEL: Final = f"{_DOCS}/billing/subscriptions/cancel.md"
EVENTS: Final = f"{_DOCS}/api/events/types"
INVOICES: Final = f"{_DOCS}/billing/invoices/subscription"
OVERVIEW: Final = f"{_DOCS}/billing/subscriptions/overview"
PAUSE: Final = f"{_DOCS}/billing/subscriptions/pause-payment.md"
PRORATIONS: Final = f"{_DOCS}/billing/subscriptions/prorations.md"
RETRIES: Final = f"{_DOCS}/billing/revenue-recovery/smart-retries.md"
SCHEDULES: Final = f"{_DOCS}/billing/subscriptions/subscription-schedules"
TRIALS: Final = f"{_DOCS}/billing/subscriptions/trials/free-trials.md"
WEBHOOKS: Final = f"{_DOCS}/billing/subscriptions/webhooks.md"

CREATED: Final = "subscription_create"
CYCLE: Final = "subscription_cycle"
UPDATE: Final = "subscription_update"

UPCOMING: Final = ("invoice.upcoming",)
"""Some days before a renewal; how many is a setting (EVENTS), seven here."""
RENEWED: Final = ("customer.subscription.updated", "invoice.created")
"""The period changes and a draft is made (WEBHOOKS)."""
FINALIZED: Final = ("invoice.finalized", "customer.updated")
"""The draft becomes open (WEBHOOKS); the customer's next invoice gets another number (EVENTS: any property)."""
PAID: Final = ("invoice.updated", "invoice.paid", "invoice.payment_succeeded")
"""WEBHOOKS and EVENTS; `updated` because the status is another."""
CHARGED: Final = ("payment_intent.created", "payment_intent.succeeded", "invoice_payment.paid")
"""The money came (EVENTS)."""
COLLECTED: Final = (*FINALIZED, *CHARGED, *PAID)
DECLINED: Final = ("payment_intent.payment_failed", "invoice.payment_failed", "invoice.updated")
"""WEBHOOKS; `updated` because attempts and the next of them changed."""
CARD_CHANGED: Final = ("payment_method.attached", "customer.updated")


@dataclass(frozen=True)
class Bill:
    """An invoice; line amounts are in ascending order."""

    reason: str
    status: str
    lines: tuple[int, ...]
    total: int
    paid: int = 0
    attempts: int = 0
    next_attempt: str | None = None


@dataclass(frozen=True)
class State:
    """A subscription."""

    status: str
    plan: str
    start: str
    end: str
    cancel_at: str | None = None
    paused: str | None = None
    scheduled: bool = False


@dataclass(frozen=True)
class Row:
    """A moment; `action` names what is done then, `wait` is only time that passes."""

    at: str
    action: str
    state: State
    sources: tuple[str, ...]
    bills: tuple[Bill, ...] = ()
    events: tuple[str, ...] = field(default=())


PAID_IN_ALL: Final = 17_000
"""Seven times Basic at 10.00, three times Pro at 30.00, and 10.00 for the upgrade; August was void."""

YEAR: Final = (
    # An invoice of nothing is made and paid at once; the status is trialing.
    Row(
        "2027-01-01",
        "subscribe with 14 days of trial",
        State("trialing", "Basic", "2027-01-01", "2027-01-15"),
        (TRIALS, OVERVIEW, API_INVOICE),
        (Bill(CREATED, "paid", (0,), 0),),
        ("customer.subscription.created", "invoice.created", *FINALIZED, *PAID),
    ),
    Row("2027-01-08", "wait", State("trialing", "Basic", "2027-01-01", "2027-01-15"), (EVENTS,), (), UPCOMING),
    Row("2027-01-11T23:59:59", "wait", State("trialing", "Basic", "2027-01-01", "2027-01-15"), (TRIALS, WEBHOOKS)),
    # Three days before the trial ends.
    Row(
        "2027-01-12",
        "wait",
        State("trialing", "Basic", "2027-01-01", "2027-01-15"),
        (WEBHOOKS, EVENTS),
        (),
        ("customer.subscription.trial_will_end",),
    ),
    # The trial's end begins a new period from then on; its invoice is a draft for an hour.
    Row(
        "2027-01-15",
        "wait",
        State("active", "Basic", "2027-01-15", "2027-02-15"),
        (TRIALS, OVERVIEW, INVOICES),
        (Bill(CYCLE, "draft", (1000,), 1000, next_attempt="2027-01-15T01:00:00"),),
        RENEWED,
    ),
    Row("2027-01-15T00:59:59", "wait", State("active", "Basic", "2027-01-15", "2027-02-15"), (INVOICES,)),
    Row(
        "2027-01-15T01:00:00",
        "wait",
        State("active", "Basic", "2027-01-15", "2027-02-15"),
        (INVOICES, WEBHOOKS),
        (Bill(CYCLE, "paid", (1000,), 1000, paid=1000, attempts=1),),
        COLLECTED,
    ),
    Row(
        "2027-02-15T01:00:00",
        "wait",
        State("active", "Basic", "2027-02-15", "2027-03-15"),
        (INVOICES, WEBHOOKS),
        (Bill(CYCLE, "paid", (1000,), 1000, paid=1000, attempts=1),),
        (*UPCOMING, *RENEWED, *COLLECTED),
    ),
    # Fourteen of the period's 28 days are left: half of 10.00 back, half of 30.00 to pay, billed at once.
    Row(
        "2027-03-01",
        "upgrade to Pro, invoiced at once",
        State("active", "Pro", "2027-02-15", "2027-03-15"),
        (PRORATIONS, API_INVOICE),
        (Bill(UPDATE, "paid", (-500, 1500), 1000, paid=1000, attempts=1),),
        ("invoiceitem.created", "invoiceitem.created", "customer.subscription.updated", "invoice.created", *COLLECTED),
    ),
    Row(
        "2027-03-15T01:00:00",
        "wait",
        State("active", "Pro", "2027-03-15", "2027-04-15"),
        (PRORATIONS, INVOICES),
        (Bill(CYCLE, "paid", (3000,), 3000, paid=3000, attempts=1),),
        (*UPCOMING, *RENEWED, *COLLECTED),
    ),
    Row(
        "2027-04-01",
        "change to a card that will be declined",
        State("active", "Pro", "2027-03-15", "2027-04-15"),
        (EVENTS,),
        (),
        CARD_CHANGED,
    ),
    # The subscription renews before it is known that the payment fails.
    Row(
        "2027-04-15",
        "wait",
        State("active", "Pro", "2027-04-15", "2027-05-15"),
        (INVOICES, WEBHOOKS),
        (Bill(CYCLE, "draft", (3000,), 3000, next_attempt="2027-04-15T01:00:00"),),
        (*UPCOMING, *RENEWED),
    ),
    # Declined: the invoice stays open, the subscription is past_due, the customer delinquent, another try is planned.
    Row(
        "2027-04-15T01:00:00",
        "wait",
        State("past_due", "Pro", "2027-04-15", "2027-05-15"),
        (OVERVIEW, INVOICES, WEBHOOKS, RETRIES),
        (Bill(CYCLE, "open", (3000,), 3000, attempts=1, next_attempt="2027-04-16T01:00:00"),),
        (*FINALIZED, "payment_intent.created", *DECLINED, "customer.subscription.updated", "customer.updated"),
    ),
    # When Stripe tries again is its own choice or a setting: after one day and after three more here.
    Row(
        "2027-04-16T01:00:00",
        "wait",
        State("past_due", "Pro", "2027-04-15", "2027-05-15"),
        (RETRIES, API_INVOICE),
        (Bill(CYCLE, "open", (3000,), 3000, attempts=2, next_attempt="2027-04-19T01:00:00"),),
        DECLINED,
    ),
    Row(
        "2027-04-19T01:00:00",
        "wait",
        State("past_due", "Pro", "2027-04-15", "2027-05-15"),
        (RETRIES, API_INVOICE),
        (Bill(CYCLE, "open", (3000,), 3000, attempts=3, next_attempt="2027-04-24T01:00:00"),),
        DECLINED,
    ),
    # A new card alone pays nothing before the next try.
    Row(
        "2027-04-20",
        "change to a card that pays",
        State("past_due", "Pro", "2027-04-15", "2027-05-15"),
        (RETRIES,),
        (),
        CARD_CHANGED,
    ),
    # Paid by hand: that counts as no attempt of the schedule; in good standing again.
    Row(
        "2027-04-20T00:00:00",
        "pay the open invoice",
        State("active", "Pro", "2027-04-15", "2027-05-15"),
        (OVERVIEW, API_INVOICE),
        (Bill(CYCLE, "paid", (3000,), 3000, paid=3000, attempts=3),),
        (
            *("payment_intent.succeeded", "invoice_payment.paid", *PAID),
            *("customer.subscription.updated", "customer.updated"),
        ),
    ),
    Row(
        "2027-05-15T01:00:00",
        "wait",
        State("active", "Pro", "2027-05-15", "2027-06-15"),
        (INVOICES, WEBHOOKS),
        (Bill(CYCLE, "paid", (3000,), 3000, paid=3000, attempts=1),),
        (*UPCOMING, *RENEWED, *COLLECTED),
    ),
    # A schedule of the subscription as it is, then a second phase from the period's end on, for a month.
    Row(
        "2027-05-20",
        "schedule the downgrade to Basic for the period's end",
        State("active", "Pro", "2027-05-15", "2027-06-15", scheduled=True),
        (SCHEDULES,),
        (),
        ("subscription_schedule.created", "customer.subscription.updated", "subscription_schedule.updated"),
    ),
    # Nothing is left to prorate when the phase changes where the period ends; price and period change one by one.
    Row(
        "2027-06-15",
        "wait",
        State("active", "Basic", "2027-06-15", "2027-07-15", scheduled=True),
        (SCHEDULES, PRORATIONS),
        (Bill(CYCLE, "draft", (1000,), 1000, next_attempt="2027-06-15T01:00:00"),),
        (*UPCOMING, "subscription_schedule.updated", "customer.subscription.updated", *RENEWED),
    ),
    Row(
        "2027-06-15T01:00:00",
        "wait",
        State("active", "Basic", "2027-06-15", "2027-07-15", scheduled=True),
        (INVOICES,),
        (Bill(CYCLE, "paid", (1000,), 1000, paid=1000, attempts=1),),
        COLLECTED,
    ),
    # Seven days before the schedule ends, and before the renewal.
    Row(
        "2027-07-08",
        "wait",
        State("active", "Basic", "2027-06-15", "2027-07-15", scheduled=True),
        (EVENTS,),
        (),
        (*UPCOMING, "subscription_schedule.expiring"),
    ),
    # After the last phase the schedule lets the subscription go, which stays as it is.
    Row(
        "2027-07-15T01:00:00",
        "wait",
        State("active", "Basic", "2027-07-15", "2027-08-15"),
        (SCHEDULES, EVENTS),
        (Bill(CYCLE, "paid", (1000,), 1000, paid=1000, attempts=1),),
        ("subscription_schedule.released", "customer.subscription.updated", *RENEWED, *COLLECTED),
    ),
    # Pausing collection leaves the status alone.
    Row(
        "2027-08-01",
        "pause collection, voiding invoices",
        State("active", "Basic", "2027-07-15", "2027-08-15", paused="void"),
        (PAUSE,),
        (),
        ("customer.subscription.updated",),
    ),
    # Invoices are still made, and void at once; no event comes ahead of them.
    Row(
        "2027-08-15T01:00:00",
        "wait",
        State("active", "Basic", "2027-08-15", "2027-09-15", paused="void"),
        (PAUSE,),
        (Bill(CYCLE, "void", (1000,), 1000),),
        (*RENEWED, *FINALIZED, "invoice.voided"),
    ),
    Row(
        "2027-09-01",
        "resume collection",
        State("active", "Basic", "2027-08-15", "2027-09-15"),
        (PAUSE,),
        (),
        ("customer.subscription.updated",),
    ),
    Row(
        "2027-09-15T01:00:00",
        "wait",
        State("active", "Basic", "2027-09-15", "2027-10-15"),
        (PAUSE, INVOICES),
        (Bill(CYCLE, "paid", (1000,), 1000, paid=1000, attempts=1),),
        (*UPCOMING, *RENEWED, *COLLECTED),
    ),
    Row(
        "2027-10-15T01:00:00",
        "wait",
        State("active", "Basic", "2027-10-15", "2027-11-15"),
        (INVOICES, WEBHOOKS),
        (Bill(CYCLE, "paid", (1000,), 1000, paid=1000, attempts=1),),
        (*UPCOMING, *RENEWED, *COLLECTED),
    ),
    Row(
        "2027-11-15T01:00:00",
        "wait",
        State("active", "Basic", "2027-11-15", "2027-12-15"),
        (INVOICES, WEBHOOKS),
        (Bill(CYCLE, "paid", (1000,), 1000, paid=1000, attempts=1),),
        (*UPCOMING, *RENEWED, *COLLECTED),
    ),
    # It runs on until the period's end.
    Row(
        "2027-12-01",
        "cancel at the period's end",
        State("active", "Basic", "2027-11-15", "2027-12-15", cancel_at="2027-12-15"),
        (CANCEL,),
        (),
        ("customer.subscription.updated",),
    ),
    # No renewal is coming.
    Row(
        "2027-12-14T23:59:59",
        "wait",
        State("active", "Basic", "2027-11-15", "2027-12-15", cancel_at="2027-12-15"),
        (CANCEL, EVENTS),
    ),
    Row(
        "2027-12-15",
        "wait",
        State("canceled", "Basic", "2027-11-15", "2027-12-15", cancel_at="2027-12-15"),
        (CANCEL, OVERVIEW, WEBHOOKS),
        (),
        ("customer.subscription.deleted",),
    ),
    Row(
        "2028-01-01",
        "wait",
        State("canceled", "Basic", "2027-11-15", "2027-12-15", cancel_at="2027-12-15"),
        (CANCEL, OVERVIEW),
    ),
)
