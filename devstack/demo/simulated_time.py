"""A test clock of the Stripe simulator: a customer's own time, in which a month passes at once.

Only simulators and sandboxes have such clocks, so the gateway knows nothing of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import httpx

from runtime.errors import Unavailable
from runtime.settings import StripeSettings

_CLOCKS: Final = "/v1/test_helpers/test_clocks"
_PATIENCE_S: Final = 60.0


class SimulatedTime:
    """What is created on the clock `id` lives in its time."""

    def __init__(self, api: httpx.AsyncClient, clock: str) -> None:
        self.id = clock
        self._api = api

    async def adopt(self, customer: str) -> None:
        """Let a customer who has bought nothing yet live in this time. Raises: Unavailable."""
        try:
            answer = await self._api.post("/_simulator/clock", json={"customer": customer, "clock": self.id})
            answer.raise_for_status()
        except httpx.HTTPError as exc:
            raise Unavailable(f"The Stripe simulator did not do as asked: {exc}") from exc

    async def advance(self, to: datetime) -> None:
        """Go on, and return when everything that is due by then is done. Raises: Unavailable."""
        await _ask(self._api, "POST", f"{_CLOCKS}/{self.id}/advance", frozen_time=int(to.timestamp()))
        deadline = time.monotonic() + _PATIENCE_S
        while (await _ask(self._api, "GET", f"{_CLOCKS}/{self.id}"))["status"] != "ready":
            if time.monotonic() > deadline:
                raise Unavailable(f"The Stripe simulator did not reach {to:%F} within {_PATIENCE_S:.0f} s.")
            await asyncio.sleep(0.1)


@asynccontextmanager
async def simulated_time(stripe: StripeSettings, began_at: datetime) -> AsyncIterator[SimulatedTime]:
    """Give a clock that stands at an instant; in the end its customers and all that is theirs are deleted."""
    assert stripe.api_key is not None
    headers = {"Authorization": f"Bearer {stripe.api_key.get_secret_value()}"}
    # No proxy of the environment: the simulator is on this machine.
    async with httpx.AsyncClient(base_url=stripe.api_base or "", headers=headers, trust_env=False) as api:
        clock = (await _ask(api, "POST", _CLOCKS, frozen_time=int(began_at.timestamp())))["id"]
        try:
            yield SimulatedTime(api, clock)
        finally:
            await _ask(api, "DELETE", f"{_CLOCKS}/{clock}")


async def _ask(api: httpx.AsyncClient, method: str, path: str, **form: int) -> dict[str, Any]:
    """Call the simulator. Raises: Unavailable."""
    try:
        answer = await api.request(method, path, data=form or None)
        answer.raise_for_status()
    except httpx.HTTPError as exc:
        raise Unavailable(f"The Stripe simulator did not do as asked: {exc}") from exc
    found: dict[str, Any] = answer.json()
    return found
