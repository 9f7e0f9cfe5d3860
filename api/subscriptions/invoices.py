"""`/invoices`: what was billed. Stripe makes them; here they are read, and paid when somebody asks."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Final, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from psycopg import AsyncConnection
from starlette.responses import RedirectResponse, Response

from api.access.actor import Actor
from api.access.authentication import OpenStores, allowed
from api.customers.owners import customers_seen
from api.http.documentation import PREFIX, errors
from api.http.paging import Cursor, Limit, Listed, Page, decode_cursor, page
from api.http.responses import ExactRoute, json_answer
from api.stores import Stores
from api.stripe.refusals import explained_refusals
from api.stripe.request_keys import stripe_key
from api.subscriptions.invoice_models import (
    InvoiceBody,
    InvoiceStatus,
    LineBody,
    PayInvoice,
    PdfLink,
    invoice_as_json,
    line_as_json,
)
from runtime.errors import InvalidInput, InvalidStateTransition, NotFoundError, PaymentFailed, RateLimited, Unavailable
from runtime.logging import get_logger
from sinks.postgres.access import Access
from sinks.postgres.audit import record
from sinks.postgres.invoices import InvoiceFilters, InvoiceRow, find_invoice, list_invoices, list_lines
from sinks.postgres.payment_methods import find_payment_method

log = get_logger(__name__)

router = APIRouter(prefix=f"{PREFIX}/invoices", tags=["invoices"], route_class=ExactRoute)

InvoiceId = Annotated[UUID, Path(description="The invoice's id.", examples=["7c9e6679-7425-40de-944b-e07fc1f90ae7"])]
_LINKS_WORK: Final = timedelta(days=7)
"""Stripe's links to the page and the PDF of an invoice expire some 30 days after it was made final, or renewed."""
_WITH_THE_DEFAULT: Final = PayInvoice()
Reader = Annotated[Actor, allowed("invoices:read")]


class _AfterLine(NamedTuple):
    position: int


@router.get("", summary="List invoices", response_model=Page[InvoiceBody], responses=errors(400))
async def list_all(
    actor: Reader,
    stores: OpenStores,
    *,
    status: Annotated[list[InvoiceStatus] | None, Query(description="Any of these.")] = None,
    customer_id: Annotated[UUID | None, Query(description="Of this customer.")] = None,
    subscription_id: Annotated[UUID | None, Query(description="Of this subscription.")] = None,
    listed: Listed,
) -> Response:
    """List invoices by creation; an end user's are their own, also of a customer who was deleted."""
    async with stores.postgres.acting(actor.access) as connection:
        filters = InvoiceFilters(
            organization_id=actor.organization_id,
            customers=await customers_seen(connection, actor, customer_id),
            subscription_id=str(subscription_id) if subscription_id else None,
            status=status,
        )
        rows = await list_invoices(connection, filters, listed.listing)
    return json_answer(listed.page(rows, show=invoice_as_json))


@router.get("/{id}", summary="Show an invoice", response_model=InvoiceBody, responses=errors(400, 404))
async def show(
    id: InvoiceId,
    actor: Reader,
    stores: OpenStores,
) -> Response:
    """Show an invoice. Of one that waits for its payment for long Stripe is asked again: links to its page expire."""
    row = await _visible(stores, actor, id)
    if row.status == "open":
        row = await _with_links_that_work(stores, actor, row)
    return json_answer(invoice_as_json(row))


@router.get("/{id}/lines", summary="List an invoice's lines", response_model=Page[LineBody], responses=errors(400, 404))
async def lines(
    id: InvoiceId,
    actor: Reader,
    stores: OpenStores,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List what is billed, in the invoice's order."""
    after = decode_cursor(cursor, _AfterLine)
    async with stores.postgres.acting(actor.access) as connection:
        await find_invoice(connection, str(id))
        rows = await list_lines(connection, str(id), after=after.position if after else -1, limit=limit + 1)
    return json_answer(page(rows, limit, show=line_as_json, place=lambda line: _AfterLine(line.position)))


@router.get(
    "/{id}/pdf",
    summary="Find the PDF",
    response_model=PdfLink,
    responses={
        303: {"description": "To the PDF, for who accepts a page or a PDF rather than JSON."},
        **errors(400, 404, 422),
    },
)
async def pdf(
    request: Request,
    id: InvoiceId,
    actor: Reader,
    stores: OpenStores,
) -> Response:
    """Tell where Stripe keeps the PDF of a finalized invoice, or send browsers and readers of PDFs there.

    Stripe's links last some weeks: after some days it is asked for the present one.
    """
    row = await _with_links_that_work(stores, actor, await _visible(stores, actor, id))
    if row.invoice_pdf_url is None:
        raise InvalidStateTransition(
            "A draft has no PDF: Stripe makes one when it finalizes the invoice.",
            code="INVOICE_NOT_FINALIZED",
            status=row.status,
        )
    if _wants_the_file(request):
        return RedirectResponse(row.invoice_pdf_url, status_code=303)
    return json_answer({"url": row.invoice_pdf_url})


@router.post(
    "/{id}/pay",
    summary="Pay an invoice",
    response_model=InvoiceBody,
    responses=errors(400, 404, 409, 413, 422, 429),
)
async def pay(
    id: InvoiceId,
    request: Request,
    actor: Annotated[Actor, allowed("invoices:write")],
    stores: OpenStores,
    body: PayInvoice = _WITH_THE_DEFAULT,
) -> Response:
    """Collect an open invoice now. A card that is declined: 422 PAYMENT_FAILED with `decline_code`.

    Where the bank wants the customer to confirm: 422 AUTHENTICATION_REQUIRED with `hosted_invoice_url`, where they can.
    """
    row = await _visible(stores, actor, id)
    _require_payable(row)
    access = Access(organization_id=row.organization_id)
    method = None
    if body.payment_method_id is not None:
        method = await _method_of(stores, actor, row, str(body.payment_method_id))
    stripe, key = stores.selling.stripe, stripe_key(request, actor, f"invoice:{row.id}:pay")
    try:
        with explained_refusals(authenticate=f"let them pay at {row.hosted_invoice_url}"):
            await stripe.invoices.pay(key, row.stripe_invoice_id, payment_method=method)
    except PaymentFailed as exc:
        # A try leaves its traces: the number of attempts, a subscription that is past due.
        await _look(stores, row, actor, access)
        if exc.code == "AUTHENTICATION_REQUIRED":
            exc.details["hosted_invoice_url"] = row.hosted_invoice_url
        raise
    except InvalidInput as exc:
        if exc.details.get("stripe_code") != "invoice_already_paid":
            raise
        await _look(stores, row, actor, access)
        raise _already_paid() from exc
    await _look(stores, row, actor, access)
    async with stores.postgres.acting(access) as connection:
        paid = await find_invoice(connection, row.id)
        await _audit(connection, actor, before=row, after=paid)
    log.info("An invoice is paid", invoice=row.id, amount_minor=paid.amount_paid_minor, currency=paid.currency)
    return json_answer(invoice_as_json(paid))


async def _visible(stores: Stores, actor: Actor, invoice_id: UUID) -> InvoiceRow:
    async with stores.postgres.acting(actor.access) as connection:
        return await find_invoice(connection, str(invoice_id))


async def _with_links_that_work(stores: Stores, actor: Actor, row: InvoiceRow) -> InvoiceRow:
    """Return an invoice whose links are of the last days; while Stripe is down, with those that there are."""
    if row.finalized_at is None or stores.clock() - row.updated_at < _LINKS_WORK or stores.mirror is None:
        return row
    with suppress(Unavailable, RateLimited):
        access = Access(organization_id=row.organization_id)
        await stores.mirror.look("invoice", row.stripe_invoice_id, actor=actor.name, access=access)
        return await _visible(stores, actor, UUID(row.id))
    return row


def _wants_the_file(request: Request) -> bool:
    """Say whether a client names a page or a PDF, and no JSON, as what it accepts."""
    accepted = request.headers.get("accept", "").lower()
    return ("application/pdf" in accepted or "text/html" in accepted) and "json" not in accepted


async def _method_of(stores: Stores, actor: Actor, row: InvoiceRow, method_id: str) -> str:
    async with stores.postgres.acting(actor.access) as connection:
        method = await find_payment_method(connection, method_id)
    if method.customer_id != row.customer_id or method.detached_at is not None:
        raise NotFoundError(f"The customer has no payment method {method_id}.", code="PAYMENT_METHOD_NOT_FOUND")
    return method.stripe_payment_method_id


async def _look(stores: Stores, row: InvoiceRow, actor: Actor, access: Access) -> None:
    mirror = stores.selling.mirror
    await mirror.look("invoice", row.stripe_invoice_id, actor=actor.name, access=access)
    if row.stripe_subscription_id is not None:
        await mirror.look(
            "subscription", row.stripe_subscription_id, actor=actor.name, reason="An invoice was paid", access=access
        )


async def _audit(connection: AsyncConnection, actor: Actor, *, before: InvoiceRow, after: InvoiceRow) -> None:
    await record(
        connection,
        organization_id=after.organization_id,
        author=actor.author,
        action="invoice.pay",
        target=("invoice", after.id),
        before=invoice_as_json(before),
        after=invoice_as_json(after),
    )


def _require_payable(row: InvoiceRow) -> None:
    if row.status == "paid":
        raise _already_paid()
    refusals: dict[str, tuple[str, str]] = {
        "draft": ("INVOICE_NOT_FINALIZED", "A draft is not due yet: Stripe finalizes it within the hour."),
        "void": ("INVOICE_VOID", "The invoice was voided: nothing is owed on it."),
    }
    if row.status in refusals:
        code, message = refusals[row.status]
        raise InvalidStateTransition(message, code=code, status=row.status)


def _already_paid() -> InvalidStateTransition:
    return InvalidStateTransition("The invoice is paid already.", code="ALREADY_PAID", status="paid")
