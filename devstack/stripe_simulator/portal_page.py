"""The portal's page: subscriptions, cards and invoices of one customer."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from devstack.stripe_simulator import cards, portal, portal_configurations, price_words, setup_intents, web
from devstack.stripe_simulator.billing.subscription_items import held
from devstack.stripe_simulator.card_forms import read_card
from devstack.stripe_simulator.failures import Obj, StripeFailure
from devstack.stripe_simulator.world import World

Fields = dict[str, str]
_DONE = {
    "switch": "The plan is changed.",
    "cancel": "Your cancellation is saved.",
    "renew": "The subscription goes on.",
    "add_card": "The card is saved, and is the default now.",
    "default_card": "Payments go by this card from now on.",
    "remove_card": "The card is removed.",
}
_MOST_INVOICES = 24


class PortalPage:
    """The handlers of `/p/session/{session}`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._actions: dict[str, Callable[[Obj, Fields], str | None]] = {
            "switch": self._switch,
            "cancel": self._cancel,
            "renew": self._renew,
            "add_card": self._add_card,
            "default_card": self._default_card,
            "remove_card": self._remove_card,
        }

    def routes(self) -> list[Route]:
        """Return what is to be served."""
        return [
            Route("/p/session/{session}", self._show, methods=["GET"]),
            Route("/p/session/{session}", self._act, methods=["POST"]),
        ]

    async def _show(self, request: Request) -> Response:
        session = self._open(request)
        if isinstance(session, Response):
            return session
        return self._page(session, done=_DONE.get(request.query_params.get("done", "")))

    async def _act(self, request: Request) -> Response:
        session = self._open(request)
        if isinstance(session, Response):
            return session
        try:
            fields = await web.form(request)
            action = "add_card" if "test_card" in fields else fields.get("action", "")
            with self._world.call():
                elsewhere = self._actions.get(action, _unknown)(session, fields)
        except StripeFailure as failure:
            return self._page(session, error=failure.message)
        # Seen again by a GET, so that a reload repeats nothing.
        return RedirectResponse(elsewhere or self._after(session, action), 303)

    def _open(self, request: Request) -> Obj | Response:
        session = self._world.known(portal.SESSION, request.path_params["session"])
        if session is None or self._world.known("customer", session["customer"]) is None:
            return web.notice("There is no such page", "Check the link that brought you here.", status=404)
        if self._world.clock.now() >= session["_open_until"]:
            text = "Go back to where you came from, and open it again."
            link = session["return_url"]
            return web.notice("This page has expired", text, status=410, link=link, label="Go back")
        return session

    @staticmethod
    def _after(session: Obj, action: str) -> str:
        ending = session["flow"]["after_completion"] if session["flow"] else None
        if ending is not None and ending["type"] == "redirect":
            url: str = ending["redirect"]["return_url"]
            return url
        return f"/p/session/{session['id']}?done={action}"

    def _subscription(self, session: Obj, fields: Fields) -> Obj:
        return portal.own(self._world, session, "subscription", fields.get("subscription", ""))

    def _method(self, session: Obj, fields: Fields) -> Obj:
        return portal.own(self._world, session, "payment_method", fields.get("payment_method", ""))

    def _switch(self, session: Obj, fields: Fields) -> None:
        portal.switch(self._world, session, self._subscription(session, fields), fields.get("price", ""))

    def _cancel(self, session: Obj, fields: Fields) -> None:
        subscription = self._subscription(session, fields)
        portal.cancel(self._world, session, subscription, fields.get("feedback", ""), fields.get("comment", ""))

    def _renew(self, session: Obj, fields: Fields) -> None:
        portal.renew(self._world, session, self._subscription(session, fields))

    def _default_card(self, session: Obj, fields: Fields) -> None:
        portal.make_default(self._world, session, self._method(session, fields))

    def _remove_card(self, session: Obj, fields: Fields) -> None:
        portal.remove(self._world, session, self._method(session, fields))

    def _add_card(self, session: Obj, fields: Fields) -> str | None:
        """Set a card up; return where its bank asks for authentication, if it does."""
        portal.feature(self._world, session, "payment_method_update")
        method = read_card(self._world, fields, {})
        intent = setup_intents.begin(self._world, session["customer"])
        self._world.update(
            intent, {"payment_method": method["id"], "status": "requires_confirmation", "_portal": session["id"]}
        )
        back = f"{self._world.base_url}/p/session/{session['id']}"
        setup_intents.confirm(self._world, intent, back)
        if intent["status"] == "requires_action":
            return f"/authenticate/{intent['client_secret']}"
        portal.make_default(self._world, session, method)
        return None

    def _page(self, session: Obj, *, error: str | None = None, done: str | None = None) -> Response:
        world, customer = self._world, self._world.get("customer", session["customer"])
        configuration = world.get(portal_configurations.CONFIGURATION, session["configuration"])
        default = customer["invoice_settings"]["default_payment_method"]
        used = {one["default_payment_method"] for one in portal.subscriptions_of(world, session)}
        invoices = [one for one in world.find("invoice", customer=customer["id"]) if one["status"] != "draft"]
        return web.page(
            "portal.html",
            status=400 if error else 200,
            session=session,
            flow=session["flow"]["type"] if session["flow"] else None,
            features=configuration["features"],
            headline=configuration["business_profile"]["headline"],
            customer=customer,
            subscriptions=[self._shown(session, one) for one in portal.subscriptions_of(world, session)],
            methods=world.find("payment_method", customer=customer["id"]),
            default=default,
            used=used,
            invoices=invoices[:_MOST_INVOICES],
            cards=[card for card in cards.OFFERED if card.attaches],
            error=error,
            done=done,
        )

    def _shown(self, session: Obj, subscription: Obj) -> Obj:
        """Return what the page says of a subscription."""
        items = held(subscription)
        currency = subscription["currency"]
        return {
            "id": subscription["id"],
            "status": subscription["status"],
            "title": " and ".join(self._name(item["price"]) for item in items),
            "lines": [line for item in items for line in self._lines(item, currency)],
            "trial_end": subscription["trial_end"] if subscription["status"] == "trialing" else None,
            "ends": subscription["cancel_at"],
            "renews": min(item["current_period_end"] for item in items),
            "offers": [
                {
                    "id": price["id"],
                    "label": f"{self._name(price)}: {price_words.describe(price, currency)[0]}",
                }
                for price in portal.offers(self._world, session, subscription)
            ],
        }

    def _name(self, price: Obj) -> str:
        product = self._world.known("product", price["product"])
        return str(product["name"] if product else price["product"])

    @staticmethod
    def _lines(item: Obj, currency: str) -> list[str]:
        words = price_words.describe(item["price"], currency)
        quantity = item.get("quantity", 1)
        return [f"{quantity} × {words[0]}" if quantity > 1 else words[0], *words[1:]]


def _unknown(session: Obj, fields: Fields) -> None:
    raise StripeFailure("There is no such action.")
