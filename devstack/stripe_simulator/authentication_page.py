"""The page on which a card's holder answers the bank's question for a setup intent."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from devstack.stripe_simulator import portal, setup_intents, web
from devstack.stripe_simulator.failures import Obj, StripeFailure
from devstack.stripe_simulator.world import World


class AuthenticationPage:
    """The handlers of `/authenticate/{client_secret}`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Return what is to be served."""
        return [
            Route("/authenticate/{secret}", self._ask, methods=["GET"]),
            Route("/authenticate/{secret}", self._answer, methods=["POST"]),
        ]

    async def _ask(self, request: Request) -> Response:
        intent = self._waiting(request)
        if intent is None:
            return _nothing()
        method = self._world.get("payment_method", intent["payment_method"])
        action = request.url.path
        return web.page("authentication.html", last4=method["card"]["last4"], amount=None, action=action)

    async def _answer(self, request: Request) -> Response:
        intent = self._waiting(request)
        if intent is None:
            return _nothing()
        back = intent["next_action"].get("redirect_to_url", {}).get("return_url")
        method = intent["payment_method"]
        passed = (await web.form(request)).get("answer") == "complete"
        try:
            with self._world.call():
                setup_intents.authenticate(self._world, intent, passed=passed)
                self._end_in_portal(intent, method)
            outcome = "succeeded"
        except StripeFailure:
            outcome = "failed"
        if back is None:
            return web.notice("Thank you", "You can close this page.")
        values = {
            "setup_intent": intent["id"],
            "setup_intent_client_secret": intent["client_secret"],
            "redirect_status": outcome,
        }
        return RedirectResponse(f"{back}{'&' if '?' in back else '?'}{urlencode(values)}", 303)

    def _end_in_portal(self, intent: Obj, method: str) -> None:
        """A card that was added in the portal becomes the default there."""
        session = self._world.known(portal.SESSION, intent.get("_portal"))
        if session is not None:
            portal.make_default(self._world, session, self._world.get("payment_method", method))

    def _waiting(self, request: Request) -> Obj | None:
        found = self._world.find(setup_intents.KIND, client_secret=request.path_params["secret"])
        return found[0] if found and found[0]["status"] == "requires_action" else None


def _nothing() -> Response:
    return web.notice("There is nothing to answer", "The bank does not ask, or not any more.", status=404)
