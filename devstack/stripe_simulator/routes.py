"""Which handler answers a call, and what the handler is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from devstack.stripe_simulator.failures import Obj
from devstack.stripe_simulator.forms import Parameters
from devstack.stripe_simulator.pages import Page

Handler = Callable[..., Obj | Page]
"""`handler(world, call, **path)`; the answer is sent without its private keys, expanded as the caller asked."""


@dataclass(frozen=True)
class Call:
    """One request, authenticated and decoded."""

    method: str
    path: str
    parameters: Parameters
    request_id: str
    idempotency_key: str | None = None
    api_version: str = ""


@dataclass(frozen=True)
class Route:
    """A method, a path such as `/v1/customers/{customer}`, and who answers."""

    method: str
    template: str
    handler: Handler
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        parts = (f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else part for part in self.template.split("/"))
        object.__setattr__(self, "pattern", re.compile("/".join(parts)))


class Router:
    """The routes; a word wins against a placeholder (`/invoices/create_preview` against `/invoices/{invoice}`)."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = sorted(routes, key=lambda route: route.template.count("{"))

    def match(self, method: str, path: str) -> tuple[Route, dict[str, Any]] | None:
        """Return the route and what its placeholders stand for."""
        for route in self._routes:
            if route.method == method and (match := route.pattern.fullmatch(path)):
                return route, match.groupdict()
        return None
