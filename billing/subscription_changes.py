"""The history of a subscription: each line is a difference between two of its states; together they are all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from billing.stripe_objects import ENDED, SubscriptionFacts

ChangeKind = Literal[
    "created", "activated", "trial_started", "trial_changed", "trial_ended", "plan_changed", "price_changed",
    "quantity_changed",
    "change_scheduled", "change_withdrawn", "renewed", "past_due", "recovered", "unpaid", "paused", "pause_changed",
    "resumed", "cancel_scheduled", "cancel_withdrawn", "canceled", "incomplete", "expired", "updated",
]  # fmt: skip
"""What a line of the history tells."""
_BY_STATUS: Final[dict[str, ChangeKind]] = {
    "trialing": "trial_started",
    "past_due": "past_due",
    "unpaid": "unpaid",
    "paused": "paused",
    "canceled": "canceled",
    "incomplete": "incomplete",
    "incomplete_expired": "expired",
}
_TO_ACTIVE: Final[dict[str, ChangeKind]] = {
    "incomplete": "activated",
    "trialing": "trial_ended",
    "paused": "resumed",
    "past_due": "recovered",
    "unpaid": "recovered",
}
_PLAN: Final = ("items", "billing_cycle", "quantity", "currency")
_CANCEL: Final = (
    "cancel_at_period_end", "cancel_at", "canceled_at", "cancellation_reason", "cancellation_comment",
)  # fmt: skip
_PAUSE: Final = ("pause_behavior", "pause_resumes_at")
_TRIAL: Final = ("trial_start", "trial_end")
_PERIOD: Final = ("current_period_start", "current_period_end")
FIELDS: Final = ("status", "ended_at", *_PLAN, *_PAUSE, *_TRIAL, *_CANCEL, "scheduled", *_PERIOD)
"""What the history follows."""


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One change. `before` and `after` hold the fields that differ; nothing was before the first.

    None differs where a price that is paid costs something else now (`price_changed`).
    """

    kind: ChangeKind
    before: dict[str, Any] | None = field(hash=False)
    after: dict[str, Any] = field(hash=False)
    mrr_delta_minor: int
    effective_at: datetime


def describe(before: SubscriptionFacts | None, after: SubscriptionFacts, *, at: datetime) -> list[ChangeLine]:
    """Return what changed, the weightiest first; nothing for equal states.

    The difference in MRR stands on one line. `at` is when it was seen, for what Stripe gives no time of.
    """
    if before is None:
        return [ChangeLine("created", None, state(after), after.mrr_minor, after.created_at)]
    old, new = state(before), state(after)
    differing = [name for name in FIELDS if old[name] != new[name]]
    found = [(kind, [name for name in names if name in differing]) for kind, names in _kinds(before, after)]
    groups = [(kind, names) for kind, names in found if names]
    told = {name for _, names in groups for name in names}
    if rest := [name for name in differing if name not in told]:
        if groups:
            groups[0][1].extend(rest)
        else:
            groups.append(("updated", rest))
    delta = after.mrr_minor - before.mrr_minor
    if delta and not groups:
        groups.append(("price_changed", []))
    bearer = _mrr_bearer([kind for kind, _ in groups], before, after)
    return [
        ChangeLine(
            kind,
            {name: old[name] for name in names},
            {name: new[name] for name in names},
            delta if number == bearer else 0,
            _effective_at(kind, after) or at,
        )
        for number, (kind, names) in enumerate(groups)
    ]


def state(facts: SubscriptionFacts) -> dict[str, Any]:
    """Return the followed fields as JSON."""
    found = {name: getattr(facts, name) for name in FIELDS if name != "items"}
    plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in found.items()}
    items = [{"price": item.price, "quantity": item.quantity} for item in facts.items]
    return {**plain, "items": sorted(items, key=lambda item: (str(item["price"]), item["quantity"]))}


def _kinds(before: SubscriptionFacts, after: SubscriptionFacts) -> Iterator[tuple[ChangeKind, tuple[str, ...]]]:
    """Yield each kind of change that took place, and the fields that tell it."""
    ended = after.status in ENDED
    trial_moved = (before.trial_start, before.trial_end) != (after.trial_start, after.trial_end)
    if before.status != after.status:
        kind = _TO_ACTIVE.get(before.status, "activated") if after.status == "active" else _BY_STATUS[after.status]
        of_trial = _TRIAL if kind in ("trial_started", "trial_ended") else ()
        yield kind, ("status", "ended_at", *of_trial, *(_CANCEL if ended else ()))
        trial_moved = trial_moved and not of_trial
    if _bought(before) != _bought(after):
        same_prices = {item.price for item in before.items} == {item.price for item in after.items}
        yield "quantity_changed" if same_prices else "plan_changed", _PLAN
    if (before.pause_behavior, before.pause_resumes_at) != (after.pause_behavior, after.pause_resumes_at):
        yield _pause_kind(before, after), _PAUSE
    if trial_moved:
        yield "trial_changed", _TRIAL
    if not ended and _ending(before) != _ending(after):
        yield "cancel_scheduled" if any(_ending(after)) else "cancel_withdrawn", _CANCEL
    if before.scheduled != after.scheduled:
        if after.scheduled is not None:
            yield "change_scheduled", ("scheduled",)
        elif _bought(before) == _bought(after):
            yield "change_withdrawn", ("scheduled",)
    if before.status != "trialing" and after.current_period_start == before.current_period_end and not ended:
        yield "renewed", _PERIOD


def _bought(facts: SubscriptionFacts) -> list[tuple[str, int]]:
    return sorted((item.price, item.quantity) for item in facts.items)


def _ending(facts: SubscriptionFacts) -> tuple[bool, datetime | None]:
    return facts.cancel_at_period_end, facts.cancel_at


def _pause_kind(before: SubscriptionFacts, after: SubscriptionFacts) -> ChangeKind:
    if after.pause_behavior is None:
        return "resumed"
    return "paused" if before.pause_behavior is None else "pause_changed"


def _mrr_bearer(kinds: Sequence[ChangeKind], before: SubscriptionFacts, after: SubscriptionFacts) -> int:
    """Return which line says the difference in MRR: the change of what is bought, if it was paid before and after."""
    bought = next((n for n, kind in enumerate(kinds) if kind in ("plan_changed", "quantity_changed")), 0)
    return bought if before.mrr_minor and after.mrr_minor else 0


def _effective_at(kind: ChangeKind, after: SubscriptionFacts) -> datetime | None:
    """Return when Stripe says that a change takes effect."""
    match kind:
        case "canceled" | "expired":
            return after.ended_at or after.canceled_at
        case "cancel_scheduled":
            return after.cancel_at or after.current_period_end
        case "renewed":
            return after.current_period_start
        case "trial_started":
            return after.trial_start
        case "trial_ended":
            return after.trial_end
        case "change_scheduled" if after.scheduled is not None:
            return datetime.fromisoformat(after.scheduled["effective_at"])
    return None
