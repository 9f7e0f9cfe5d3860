"""What Stripe refuses, in words that say what a client of ours can do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from runtime.errors import BusinessLogicError, InvalidInput, NotFoundError, PaymentFailed
from runtime.logging import get_logger

log = get_logger(__name__)

_TAX_ID: Final = re.compile(r"tax_id_data\[(\d+)\]")


@contextmanager
def explained_refusals(field: str = "tax_ids") -> Iterator[None]:
    """Turn Stripe's refusals into ours; `field` is the tax id that is sent, where it is one alone.

    Raises: BusinessLogicError PAYMENT_METHOD_REQUIRED, TAX_ID_INVALID; NotFoundError NO_UPCOMING_INVOICE. Other errors
    pass.
    """
    try:
        yield
    except PaymentFailed as exc:
        # Without a traceback: a card that is declined is no bug.
        told = ("call", "decline_code", "stripe_code", "stripe_request_id")
        log.error("A payment failed", **{each: exc.details[each] for each in told if each in exc.details})  # noqa: TRY400
        raise
    except InvalidInput as exc:
        if exc.details.get("stripe_code") == "tax_id_invalid":
            # Named as Stripe's list of them, where there is one.
            place = _TAX_ID.match(exc.details.get("field", ""))
            raise BusinessLogicError(
                f"{exc.message.rstrip('.')}: give it in the form of its type, as"
                " https://docs.stripe.com/billing/customer/tax-ids shows.",
                code="TAX_ID_INVALID",
                field=field if place is None else f"tax_ids.{place[1]}.value",
            ) from exc
        # Without a parameter's name it is no id that is missing, but something to charge.
        if exc.details.get("stripe_code") == "resource_missing" and "field" not in exc.details:
            raise BusinessLogicError(
                "The customer has nothing to pay with: let them add a payment method first (POST /portal), or pay on a"
                " page (POST /checkout).",
                code="PAYMENT_METHOD_REQUIRED",
            ) from exc
        raise
    except NotFoundError as exc:
        if exc.details.get("stripe_code") == "invoice_upcoming_none":
            raise NotFoundError(
                "Nothing more will be billed: the subscription has ended, ends with its period, or is paused.",
                code="NO_UPCOMING_INVOICE",
            ) from exc
        raise
