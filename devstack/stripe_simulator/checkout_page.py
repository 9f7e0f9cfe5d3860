"""The page of a checkout session, and the step at which a bank asks for authentication."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from devstack.stripe_simulator import cards, checkout, price_words, web
from devstack.stripe_simulator.addresses import check_email
from devstack.stripe_simulator.card_forms import read_card
from devstack.stripe_simulator.currencies import shown
from devstack.stripe_simulator.failures import Obj, StripeFailure
from devstack.stripe_simulator.world import World

_NOT_AUTHENTICATED = "We are unable to authenticate your card. Please choose a different card and try again."


class CheckoutPage:
    """The handlers of `/c/pay/{session}`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Return what is to be served."""
        return [
            Route("/c/pay/{session}", self._show, methods=["GET"]),
            Route("/c/pay/{session}", self._submit, methods=["POST"]),
            Route("/c/pay/{session}/authenticate", self._ask, methods=["GET"]),
            Route("/c/pay/{session}/authenticate", self._answer, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        session = self._open(request)
        return session if isinstance(session, Response) else self._page(session)

    async def _submit(self, request: Request) -> Response:
        session = self._open(request)
        if isinstance(session, Response):
            return session
        fields: dict[str, str] = {}
        try:
            fields = await web.form(request)
            with self._world.call():
                if fields.get("action") in ("apply_code", "remove_code") and session["allow_promotion_codes"]:
                    checkout.apply_code(
                        self._world, session, fields.get("code", "") if fields["action"] == "apply_code" else ""
                    )
                    return self._page(session)
                payer = self._payer(session, fields)
                method = read_card(self._world, fields, payer) if checkout.needs_card(session) else None
                outcome = checkout.complete(self._world, session, method, payer)
        except StripeFailure as failure:
            return self._page(session, fields, failure.message)
        return self._go_on(session, outcome, fields)

    async def _ask(self, request: Request) -> Response:
        session = self._open(request)
        if isinstance(session, Response):
            return session
        method = self._world.known("payment_method", session["_pending_method"])
        if method is None:
            return self._page(session)
        due = shown(session["amount_total"], session["currency"]) if session["amount_total"] else None
        action = f"/c/pay/{session['id']}/authenticate"
        return web.page("authentication.html", last4=method["card"]["last4"], amount=due, action=action)

    async def _answer(self, request: Request) -> Response:
        session = self._open(request)
        if isinstance(session, Response):
            return session
        method = self._world.known("payment_method", session["_pending_method"])
        if method is None:
            return self._page(session)
        passed = (await web.form(request)).get("answer") == "complete"
        try:
            with self._world.call():
                self._world.update(session, {"_pending_method": None})
                if not passed:
                    return self._page(session, error=_NOT_AUTHENTICATED)
                self._world.update(method, {"_authenticated": "now"})
                outcome = checkout.complete(self._world, session, method, session["_payer"])
        except StripeFailure as failure:
            return self._page(session, error=failure.message)
        return self._go_on(session, outcome, {})

    def _open(self, request: Request) -> Obj | Response:
        """Return the session while it can be paid, else the page that says why not."""
        session = self._world.known(checkout.SESSION, request.path_params["session"])
        if session is None:
            return web.notice("There is no such page", "Check the link that brought you here.", status=404)
        with self._world.call():
            checkout.expire_due(self._world)
        if session["status"] == "complete":
            link = self._success_url(session)
            return web.notice("You are all done here", "This checkout is complete.", link=link, label="Go on")
        if session["status"] == "expired":
            text = "Go back to where you came from, and begin again."
            return web.notice("This page has expired", text, status=410, link=session["cancel_url"], label="Go back")
        return session

    def _go_on(self, session: Obj, outcome: cards.Outcome, fields: dict[str, str]) -> Response:
        if outcome.kind == "paid":
            return RedirectResponse(self._success_url(session), 303)
        if outcome.kind == "authentication_required":
            return RedirectResponse(f"/c/pay/{session['id']}/authenticate", 303)
        return self._page(session, fields, outcome.message)

    @staticmethod
    def _success_url(session: Obj) -> str:
        url: str = session["success_url"]
        return url.replace("{CHECKOUT_SESSION_ID}", session["id"])

    @staticmethod
    def _payer(session: Obj, fields: dict[str, str]) -> Obj:
        if session["customer"] is not None:
            return {}
        email = fields.get("email") or session["customer_email"] or ""
        if not email and "test_card" in fields:
            email = "visitor@example.com"  # one click must be enough
        check_email(email, "email")
        return {"email": email, "name": fields.get("name") or None}

    def _page(self, session: Obj, fields: dict[str, str] | None = None, error: str | None = None) -> Response:
        customer = self._world.known("customer", session["customer"])
        is_setup = session["mode"] == "setup"
        code, coupon = self._discount(session)
        names = " and ".join(line["description"] for line in session["_lines"])
        return web.page(
            "checkout.html",
            status=402 if error else 200,
            session=session,
            heading="Save a card" if is_setup else f"Subscribe to {names}",
            due=_due(session, coupon),
            lines=[_words(line) for line in session["_lines"]],
            code=code,
            coupon=coupon,
            needs_card=checkout.needs_card(session),
            cards=cards.OFFERED,
            asks_payer=customer is None,
            payer=customer and (customer["name"] or customer["email"]),
            values=fields or {},
            error=error,
            button=_button(session),
        )

    def _discount(self, session: Obj) -> tuple[str | None, Obj | None]:
        """Return the code that was typed on the page, and the coupon; what a seller gave goes by the coupon's name."""
        for discount in session["discounts"]:
            code = self._world.known("promotion_code", discount["promotion_code"])
            coupon = self._world.known("coupon", code["promotion"]["coupon"] if code else discount["coupon"])
            return (code["code"] if code and session["allow_promotion_codes"] else None), coupon
        return None, None


def _words(line: Obj) -> Obj:
    metered = (line["price"]["recurring"] or {}).get("usage_type") == "metered"
    return {
        "name": line["description"],
        "quantity": line["quantity"],
        "words": price_words.describe(line["price"], line["currency"]),
        "amount": "by usage" if metered else shown(line["amount_subtotal"], line["currency"]),
    }


def _due(session: Obj, coupon: Obj | None) -> str:
    if not session["_lines"]:
        return ""
    every = f"every {price_words.interval(session['_lines'][0]['price'])}"
    if coupon is None or coupon["duration"] == "forever" or not session["total_details"]["amount_discount"]:
        return every
    full = shown(session["amount_subtotal"], session["currency"])
    if coupon["duration"] == "once":
        return f"today, then {full} {every}"
    return f"{every} for {coupon['duration_in_months']} months, then {full}"


def _button(session: Obj) -> str:
    if session["mode"] == "setup":
        return "Save the card"
    if session["_trial_end"]:
        return "Start the trial"
    return f"Subscribe and pay {shown(session['amount_total'], session['currency'])}"
