"""The states of a subscription and every move between them, in one table; any other move is refused.

Sources: docs.stripe.com/billing/subscriptions/overview (subscription statuses), docs.stripe.com/api/subscriptions:
object (`status`), pause and resume.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from runtime.errors import InvalidStateTransition


class Status(StrEnum):
    """Stripe's subscription statuses."""

    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"


class Action(StrEnum):
    """What happens to a subscription, by us, its customer, Stripe or time."""

    PAY_FIRST_INVOICE = "pay_first_invoice"
    EXPIRE = "expire"
    START_TRIAL = "start_trial"
    END_TRIAL = "end_trial"
    RENEW = "renew"
    CHANGE = "change"
    FAIL_PAYMENT = "fail_payment"
    RECOVER_PAYMENT = "recover_payment"
    GIVE_UP_PAYMENT = "give_up_payment"
    PAUSE = "pause"
    RESUME = "resume"
    PAUSE_COLLECTION = "pause_collection"
    RESUME_COLLECTION = "resume_collection"
    SCHEDULE_CANCELLATION = "schedule_cancellation"
    KEEP = "keep"
    CANCEL = "cancel"


_LIVE: Final = (Status.TRIALING, Status.ACTIVE, Status.PAST_DUE, Status.UNPAID, Status.PAUSED)
_BILLED: Final = (Status.TRIALING, Status.ACTIVE, Status.PAST_DUE, Status.UNPAID)


def _unchanged(*statuses: Status) -> dict[Status, Status]:
    return {status: status for status in statuses}


INITIAL: Final = frozenset({Status.INCOMPLETE, Status.TRIALING, Status.ACTIVE})
"""How a subscription may begin: its first payment is open, it is on trial, or it is paid (or free)."""

TRANSITIONS: Final = MappingProxyType(
    {
        # "Once the first invoice is paid, the subscription moves into an active status."
        Action.PAY_FIRST_INVOICE: {Status.INCOMPLETE: Status.ACTIVE},
        # "If the first invoice is not paid within 23 hours, the subscription transitions to incomplete_expired."
        Action.EXPIRE: {Status.INCOMPLETE: Status.INCOMPLETE_EXPIRED},
        Action.START_TRIAL: {Status.ACTIVE: Status.TRIALING},
        # "… trialing and moves to active when the trial period is over."
        Action.END_TRIAL: {Status.TRIALING: Status.ACTIVE},
        # An unpaid one goes on to get invoices, which stay drafts.
        Action.RENEW: _unchanged(Status.ACTIVE, Status.PAST_DUE, Status.UNPAID),
        # An incomplete one "can only have metadata and default_source updated".
        Action.CHANGE: _unchanged(*_LIVE),
        # "… past_due when payment is required but cannot be paid."
        Action.FAIL_PAYMENT: {Status.ACTIVE: Status.PAST_DUE} | _unchanged(Status.PAST_DUE, Status.UNPAID),
        Action.RECOVER_PAYMENT: {Status.PAST_DUE: Status.ACTIVE, Status.UNPAID: Status.ACTIVE},
        # "Once Stripe has exhausted all payment retry attempts, … canceled or unpaid": the former is CANCEL.
        Action.GIVE_UP_PAYMENT: {Status.PAST_DUE: Status.UNPAID},
        # "… when a trial ends without a payment method or when you pause it using the pause endpoint."
        Action.PAUSE: dict.fromkeys((Status.TRIALING, Status.ACTIVE, Status.PAST_DUE), Status.PAUSED),
        # Active once its resumption invoice, if there is one, is paid or marked uncollectible.
        Action.RESUME: {Status.PAUSED: Status.ACTIVE},
        # "Pausing collection … still generates invoices and leaves the subscription's status unchanged."
        Action.PAUSE_COLLECTION: _unchanged(*_BILLED),
        Action.RESUME_COLLECTION: _unchanged(*_BILLED),
        Action.SCHEDULE_CANCELLATION: _unchanged(*_LIVE),
        Action.KEEP: _unchanged(*_LIVE),
        # Cancelling an incomplete one shows as incomplete_expired (seen in events: github.com/pay-rails/pay/issues/91).
        Action.CANCEL: dict.fromkeys(_LIVE, Status.CANCELED) | {Status.INCOMPLETE: Status.INCOMPLETE_EXPIRED},
    }
)


def allowed_actions(status: Status) -> tuple[Action, ...]:
    """Return what may happen in a status; nothing in the final ones."""
    return tuple(action for action, moves in TRANSITIONS.items() if status in moves)


def next_status(status: Status, action: Action) -> Status:
    """Return the status after an action. Raises: InvalidStateTransition, whose details say what is allowed."""
    moved = TRANSITIONS[action].get(status)
    if moved is not None:
        return moved
    allowed = [each.value for each in allowed_actions(status)]
    possible = f"possible: {', '.join(allowed)}" if allowed else "it has ended for good; create another one"
    raise InvalidStateTransition(
        f"{action} is not possible while the subscription is {status}; {possible}",
        status=status.value,
        action=action.value,
        allowed=allowed,
    )
