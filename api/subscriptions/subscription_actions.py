"""What is done to a subscription beside changing its plan: cancelled and kept, paused and resumed, its trial moved."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from api.http.documentation import PREFIX, errors
from api.http.responses import ExactRoute
from api.stripe.refusals import explained_refusals
from api.subscriptions.subscription_models import (
    MAX_TRIAL_DAYS,
    Because,
    CancelSubscription,
    ChangeTrial,
    PauseSubscription,
    SubscriptionBody,
)
from api.subscriptions.subscription_targets import has_scheduled_change
from api.subscriptions.subscription_turns import (
    SubscriptionId,
    Turn,
    Writing,
    require_action,
    require_seller,
    take_turn,
)
from billing.subscriptions import Action, Status
from runtime.errors import BusinessLogicError, InvalidInput, InvalidStateTransition
from sinks.postgres.subscriptions import SubscriptionRow

router = APIRouter(prefix=f"{PREFIX}/subscriptions", tags=["subscriptions"], route_class=ExactRoute)

_CONFIRM_CARD: Final = "let them save the card on Stripe's page (POST /portal), which asks them, and repeat this"
# Without a body, too.
_NO_REASON: Final = Because(reason=None)
_AT_PERIOD_END: Final = CancelSubscription()
_VOID: Final = PauseSubscription(reason=None)
_ANSWERS: Final[dict[str, Any]] = {
    "response_model": SubscriptionBody,
    "responses": errors(400, 404, 409, 413, 422, 429),
}


@router.post("/{id}/cancel", summary="Cancel", **_ANSWERS)
async def cancel(
    id: SubscriptionId,
    asker: Writing,
    body: CancelSubscription = _AT_PERIOD_END,
) -> Response:
    """End a subscription: now, or with the period that is paid. A change that was to come is withdrawn.

    `now` bills at once what no invoice has yet: usage of the period and prorations of earlier changes. It gives no
    money back: the rest of the period is neither refunded nor prorated.
    """
    details: dict[str, str] = {}
    if body.reason is not None:
        details["feedback"] = body.reason
    if body.comment is not None:
        details["comment"] = body.comment
    said: dict[str, Any] = {"cancellation_details": details} if details else {}
    now = body.at == "now"

    async def check(row: SubscriptionRow) -> None:
        _require_not_ended(row)
        require_action(row, Action.CANCEL if now else Action.SCHEDULE_CANCELLATION)

    async def write(turn: Turn, _: None) -> None:
        await (_end_now if now else _end_with_period)(turn, said)

    return await take_turn(asker, id, "cancel", check=check, write=write, reason=body.comment or body.reason)


@router.post("/{id}/reactivate", summary="Withdraw a cancellation", **_ANSWERS)
async def reactivate(
    id: SubscriptionId,
    asker: Writing,
    body: Because = _NO_REASON,
) -> Response:
    """Let a subscription go on that was to end. One that has ended stays so: create another."""

    async def check(row: SubscriptionRow) -> None:
        _require_not_ended(row)
        require_action(row, Action.KEEP)
        if row.cancel_at is None and not row.cancel_at_period_end:
            raise InvalidStateTransition(
                "The subscription goes on already: no cancellation is scheduled.", code="NOT_CANCELING"
            )

    async def write(turn: Turn, _: None) -> None:
        await turn.update(cancel_at_period_end=False)

    return await take_turn(asker, id, "reactivate", check=check, write=write, reason=body.reason)


@router.post("/{id}/pause", summary="Pause collection", **_ANSWERS)
async def pause(
    id: SubscriptionId,
    asker: Writing,
    body: PauseSubscription = _VOID,
) -> Response:
    """Collect nothing for a while; the status stays as it is. Paused already: with these terms from now on."""
    require_seller(asker.actor, "pause what is to be paid")
    settings: dict[str, Any] = {"behavior": body.behavior}
    if body.resumes_at is not None:
        settings["resumes_at"] = int(body.resumes_at.timestamp())

    async def check(row: SubscriptionRow) -> None:
        if body.resumes_at is not None:
            _require_future(body.resumes_at, asker, "resumes_at")
        require_action(row, Action.PAUSE_COLLECTION)

    async def write(turn: Turn, _: None) -> None:
        await turn.update(pause_collection=settings)

    return await take_turn(asker, id, "pause", check=check, write=write, reason=body.reason)


@router.post("/{id}/resume", summary="Resume", **_ANSWERS)
async def resume(
    id: SubscriptionId,
    asker: Writing,
    body: Because = _NO_REASON,
) -> Response:
    """Collect again; what is paused because its trial ended unpaid begins a period, which is billed at once.

    Where a change is scheduled, beginning a period is refused with 422 CHANGE_SCHEDULED.
    """

    async def check(row: SubscriptionRow) -> None:
        if row.state is Status.PAUSED:
            _require_nothing_scheduled(row)
        else:
            require_action(row, Action.RESUME_COLLECTION)
            require_seller(asker.actor, "resume what they paused")
            if row.pause_behavior is None:
                raise InvalidStateTransition("The subscription is not paused.", code="NOT_PAUSED")

    async def write(turn: Turn, _: None) -> None:
        if turn.row.state is Status.PAUSED:
            subscriptions = asker.stores.selling.stripe.subscriptions
            # A mark first: of what runs again a repetition could not tell whether it was its own doing.
            await turn.update()
            with explained_refusals(authenticate=_CONFIRM_CARD):
                await subscriptions.unpause(
                    turn.key("unpause"), turn.row.stripe_subscription_id, billing_cycle_anchor={"type": "now"}
                )
            return
        await turn.update(pause_collection="")

    return await take_turn(asker, id, "resume", check=check, write=write, reason=body.reason)


@router.post("/{id}/trial", summary="Extend or end the trial", **_ANSWERS)
async def trial(
    id: SubscriptionId,
    body: ChangeTrial,
    asker: Writing,
) -> Response:
    """Move the end of the trial, or begin one; `now` ends it, and a card that is declined leaves it as it was.

    A trial that begins in a paid period lasts at least as long: 422 TRIAL_TOO_SHORT otherwise. Where a change is
    scheduled: 422 CHANGE_SCHEDULED.
    """
    ends_at = body.ends_at
    if isinstance(ends_at, datetime):
        require_seller(asker.actor, "give a trial")

    async def check(row: SubscriptionRow) -> None:
        if not isinstance(ends_at, datetime):
            require_action(row, Action.END_TRIAL)
            _require_nothing_scheduled(row)
            return
        _require_future(ends_at, asker, "ends_at")
        if ends_at > asker.stores.clock() + timedelta(days=MAX_TRIAL_DAYS):
            raise BusinessLogicError(
                f"A trial lasts {MAX_TRIAL_DAYS} days at most: write an earlier end.",
                code="TRIAL_TOO_LONG",
                field="ends_at",
            )
        if row.state is not Status.TRIALING:
            require_action(row, Action.START_TRIAL)
            _require_paid_time_kept(ends_at, row)
        _require_nothing_scheduled(row)

    async def write(turn: Turn, _: None) -> None:
        trial_end = int(ends_at.timestamp()) if isinstance(ends_at, datetime) else "now"
        await turn.update(trial_end=trial_end, proration_behavior="none", payment_behavior="error_if_incomplete")

    return await take_turn(asker, id, "trial", check=check, write=write, reason=body.reason)


async def _end_with_period(turn: Turn, said: dict[str, Any]) -> None:
    """Let a subscription end with its period.

    Stripe lets nobody end what a schedule manages, and releasing the schedule alone would only undo what was to come.
    So the schedule itself learns to end the subscription before it is let go: whatever fails, the customer does not go
    on at the present terms.
    """
    stripe, schedule = turn.asker.stores.selling.stripe, turn.active_schedule
    if schedule is not None:
        schedules, present = stripe.subscription_schedules, await stripe.subscriptions.get(turn.stripe_id)
        await schedules.end_with_phase(turn.key(f"end:{schedule['id']}"), schedule, present)
        await schedules.release(turn.key(f"release:{schedule['id']}"), schedule["id"], preserve_cancel_date=True)
    await turn.update(cancel_at_period_end=True, **said)


async def _end_now(turn: Turn, said: dict[str, Any]) -> None:
    """End a subscription at once, in one call, with an invoice of what is not billed yet."""
    stripe, schedule = turn.asker.stores.selling.stripe, turn.active_schedule
    # A mark first: of what has ended a repetition could not tell whether it was its own doing.
    if schedule is not None:
        await turn.update(**said)
        await stripe.subscription_schedules.cancel(
            turn.key(f"cancel:{schedule['id']}"), schedule["id"], invoice_now=True, prorate=False
        )
        return
    await turn.update()
    if not turn.row.ended:
        await stripe.subscriptions.cancel_now(turn.stripe_id, invoice_now=True, prorate=False, **said)


def _require_not_ended(row: SubscriptionRow) -> None:
    if row.ended:
        raise InvalidStateTransition(
            "The subscription has ended already. To sell again, create another one: POST /subscriptions or POST"
            " /checkout.",
            code="ALREADY_CANCELED",
            status=row.status,
            allowed=[],
        )


def _require_nothing_scheduled(row: SubscriptionRow) -> None:
    """Refuse to move a period's end while a change waits for it: the change would come at the old date."""
    if has_scheduled_change(row):
        raise BusinessLogicError(
            "A change is scheduled for the end of the present period, which this would move. Withdraw the change first:"
            f' PATCH {PREFIX}/subscriptions/{row.id} with "quantity": {row.quantity} and "timing":'
            ' "next_billing_cycle"; schedule it again afterwards.',
            code="CHANGE_SCHEDULED",
        )


def _require_paid_time_kept(ends_at: datetime, row: SubscriptionRow) -> None:
    """Refuse a trial that ends, and bills anew, before the time that is paid already."""
    if ends_at < row.current_period_end:
        raise BusinessLogicError(
            f"The subscription is paid until {row.current_period_end:%Y-%m-%d %H:%M} UTC, and a trial that ends earlier"
            " would bill that time once more: write that instant or a later one.",
            code="TRIAL_TOO_SHORT",
            field="ends_at",
            least=row.current_period_end.isoformat(),
        )


def _require_future(at: datetime, asker: Writing, field: str) -> None:
    if at <= asker.stores.clock():
        raise InvalidInput(f"{field}: lies in the past; write a later instant", field=field)
