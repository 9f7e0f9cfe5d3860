"""The hosted page of an invoice: what it is for, a way to pay it, and a form to print."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from devstack.stripe_simulator import cards, payment_methods, web
from devstack.stripe_simulator.billing import collection, payment_intents
from devstack.stripe_simulator.card_forms import read_card
from devstack.stripe_simulator.currencies import shown
from devstack.stripe_simulator.failures import Obj, StripeFailure
from devstack.stripe_simulator.world import World

_NOT_AUTHENTICATED = "We are unable to authenticate your card. Please choose a different card and try again."


class InvoicePage:
    """The handlers of `/invoices/{invoice}`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Return what is to be served."""
        return [
            Route("/invoices/{invoice}", self._show, methods=["GET"]),
            Route("/invoices/{invoice}", self._pay, methods=["POST"]),
            Route("/invoices/{invoice}/pdf", self._print, methods=["GET"]),
            Route("/invoices/{invoice}/authenticate", self._ask, methods=["GET"]),
            Route("/invoices/{invoice}/authenticate", self._answer, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        invoice = self._invoice(request)
        return _missing() if invoice is None else self._page(invoice)

    async def _print(self, request: Request) -> Response:
        invoice = self._invoice(request)
        return _missing() if invoice is None else self._page(invoice, is_print=True)

    async def _pay(self, request: Request) -> Response:
        invoice = self._invoice(request)
        if invoice is None:
            return _missing()
        try:
            fields = await web.form(request)
            customer = self._world.get("customer", invoice["customer"])
            with self._world.call():
                method = payment_methods.attach(self._world, read_card(self._world, fields, {}), customer)
                collection.pay(self._world, invoice, method=method, off_session=False)
        except StripeFailure as failure:
            return self._refused(invoice, failure)
        return RedirectResponse(f"/invoices/{invoice['id']}", 303)

    async def _ask(self, request: Request) -> Response:
        invoice = self._invoice(request)
        method = self._asked(invoice)
        if invoice is None or method is None:
            return _missing()
        due = shown(invoice["amount_remaining"], invoice["currency"])
        action = f"/invoices/{invoice['id']}/authenticate"
        return web.page("authentication.html", last4=method["card"]["last4"], amount=due, action=action)

    async def _answer(self, request: Request) -> Response:
        invoice = self._invoice(request)
        method = self._asked(invoice)
        if invoice is None or method is None:
            return _missing()
        if (await web.form(request)).get("answer") != "complete":
            return self._page(invoice, error=_NOT_AUTHENTICATED)
        try:
            with self._world.call():
                self._world.update(method, {"_authenticated": "now"})
                try:
                    collection.pay(self._world, invoice, method=method, off_session=False)
                finally:
                    self._world.update(method, {"_authenticated": "set_up"})
        except StripeFailure as failure:
            return self._page(invoice, error=failure.message)
        return RedirectResponse(f"/invoices/{invoice['id']}", 303)

    def _refused(self, invoice: Obj, failure: StripeFailure) -> Response:
        if self._asked(invoice) is not None:
            return RedirectResponse(f"/invoices/{invoice['id']}/authenticate", 303)
        return self._page(invoice, error=failure.message)

    def _invoice(self, request: Request) -> Obj | None:
        """Return the invoice once it has a page: drafts have none."""
        invoice = self._world.known("invoice", request.path_params["invoice"])
        return invoice if invoice is not None and invoice["hosted_invoice_url"] else None

    def _asked(self, invoice: Obj | None) -> Obj | None:
        """Return the card of which the bank wants to know whose it is."""
        intent = payment_intents.of_invoice(self._world, invoice) if invoice else None
        if intent is None or intent["status"] != "requires_action":
            return None
        return self._world.known("payment_method", intent["payment_method"])

    def _page(self, invoice: Obj, *, error: str | None = None, is_print: bool = False) -> Response:
        return web.page(
            "invoice.html",
            status=402 if error else 200,
            invoice=invoice,
            lines=invoice["lines"]["data"],
            discount=sum(one["amount"] for one in invoice["total_discount_amounts"] or []),
            cards=cards.OFFERED,
            asked=self._asked(invoice) is not None,
            error=error,
            is_print=is_print,
        )


def _missing() -> Response:
    return web.notice("There is no such page", "Check the link that brought you here.", status=404)
