"""Tax ids of customers: Stripe keeps and judges them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from api.stripe.refusals import explained_refusals
from runtime.errors import BusinessLogicError, ConflictError, NotFoundError, RateLimited, Unavailable, ValidationError
from sinks.stripe.client import StripeGateway


@asynccontextmanager
async def replaced_tax_ids(
    stripe: StripeGateway, customer: str, wanted: Sequence[Mapping[str, str]], *, key: Callable[[str], str]
) -> AsyncIterator[None]:
    """Let a customer have these tax ids and no others, once what else a request changes at Stripe is done.

    What Stripe refuses, here or in the block, leaves those that there were. Where it does not answer there may be new
    ones beside the old: none is missing, and a repetition, which counts those as held, finishes it.
    Raises: BusinessLogicError TAX_ID_INVALID.
    """
    held = {(each["type"], each["value"]): str(each["id"]) async for each in stripe.tax_ids.each(customer)}
    named = {(each["type"], each["value"]): index for index, each in enumerate(wanted)}
    added: list[str] = []
    try:
        for (kind, value), index in ((each, index) for each, index in named.items() if each not in held):
            with explained_refusals(f"tax_ids.{index}.value"):
                made = await stripe.tax_ids.create(key(f"tax_id:{kind}:{value}"), customer, type=kind, value=value)
            added.append(str(made["id"]))
        yield
    except (ValidationError, BusinessLogicError, NotFoundError, ConflictError):
        with suppress(Unavailable, RateLimited):  # what the caller is to hear is the refusal
            for tax_id in added:
                await stripe.tax_ids.delete(customer, tax_id)
        raise
    for tax_id in (held[each] for each in held if each not in named):
        await stripe.tax_ids.delete(customer, tax_id)
