"""Refuses to start when the database follows one Stripe account and the key belongs to another."""

from __future__ import annotations

from typing import Final

from runtime.errors import RateLimited, RefusedToStart, StripeAPIError, Unavailable
from runtime.logging import get_logger
from runtime.settings import Settings, StripeSettings
from sinks.postgres.access import open_postgres
from sinks.postgres.stripe_account import SIMULATOR, StripeAccount, note_account, read_account
from sinks.stripe.client import StripeGateway, is_live

log = get_logger(__name__)
# A process begins without Stripe, too.
_PATIENCE_S: Final = 5.0


async def require_same_account(settings: Settings, *, service: str, role: str) -> None:
    """Refuse to let a database follow two accounts; the first one is noted. Stripe may be down: then it is not known.

    Raises: RefusedToStart, Unavailable without Postgres.
    """
    async with open_postgres(settings.postgres, service=service, role=role) as connection:
        followed = await read_account(connection)
        if followed is not None and _is_surely_another(followed, settings.stripe):
            raise _another(followed)
        account = await _ask(settings.stripe)
        if account is None:
            return
        followed = await note_account(connection, account)
        if followed != account:
            raise _another(followed, account)


def _is_surely_another(followed: StripeAccount, stripe: StripeSettings) -> bool:
    """Tell without Stripe: a key shows its mode, and the simulator is never at Stripe's own address."""
    return followed.livemode != is_live(stripe) or (followed.account_id == SIMULATOR and stripe.api_base is None)


async def _ask(settings: StripeSettings) -> StripeAccount | None:
    impatient = settings.model_copy(
        update={"max_tries": 1, "timeout_s": min(settings.timeout_s, _PATIENCE_S), "give_up_s": _PATIENCE_S}
    )
    async with StripeGateway(impatient) as stripe:
        try:
            answer = await stripe.accounts.own()
        except (Unavailable, RateLimited, StripeAPIError) as exc:
            log.warning("cannot ask whose account the key of Stripe opens", reason=exc.message)
            return None
    return StripeAccount(answer["id"], is_live(settings))


def _another(followed: StripeAccount, opened: StripeAccount | None = None) -> RefusedToStart:
    return RefusedToStart(
        f"This database follows the account {followed} of Stripe's, and METERSTREAM_STRIPE__API_KEY opens"
        f" {opened or 'another'}, which knows nothing of its customers and subscriptions. Set (or unset) the key as it"
        " was, or take another database: `meterstream up --fresh` begins anew, METERSTREAM_STATE_DIR names another"
        " folder."
    )
