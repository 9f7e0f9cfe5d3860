"""Query parameters: those that several routes share, and which of them a route has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import FastAPI, Query, Request, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from pydantic import AfterValidator, AwareDatetime

from metering.texts import text_problem
from runtime.errors import InvalidInput

_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2099


def _storable(instant: datetime) -> datetime:
    # A day's distance from both ends: whatever its zone, the instant is within them in UTC too.
    if not _FIRST_YEAR < instant.year < _LAST_YEAR:
        raise ValueError(f"must be after {_FIRST_YEAR} and before {_LAST_YEAR}")
    return instant


def _fit(text: str) -> str:
    problem = text_problem(text)
    if problem is not None:
        raise ValueError(problem)
    return text


Instant = Annotated[AwareDatetime, AfterValidator(_storable)]
Text = Annotated[str, AfterValidator(_fit)]
"""What may be a name or id of an event: 1 to 256 characters, none of control."""

From = Annotated[
    Instant | None,
    Query(alias="from", description="RFC 3339 with a zone; inclusive.", examples=["2026-11-01T00:00:00Z"]),
]
To = Annotated[
    Instant | None, Query(alias="to", description="RFC 3339 with a zone; exclusive.", examples=["2026-12-01T00:00:00Z"])
]


@dataclass(frozen=True, slots=True)
class _Parameters:
    """What a route's query may hold."""

    names: tuple[str, ...]
    """In the order in which they are declared."""
    known: frozenset[str]
    objects: tuple[str, ...]
    """Beginnings of those that are written `name[key]`."""


def install_query_parameters(app: FastAPI) -> None:
    """Let `require_known_parameters` know what each route is declared with."""
    routes = (route for route in app.routes if isinstance(route, APIRoute))
    app.state.query_parameters = {route.endpoint: _parameters_of(route) for route in routes}


def require_known_parameters(request: Request) -> None:
    """Refuse parameters that the route does not have: a misspelt filter would answer with everything.

    Raises: InvalidInput UNKNOWN_PARAMETER.
    """
    if not request.scope["query_string"]:
        return
    parameters: _Parameters = request.app.state.query_parameters[request.scope["endpoint"]]
    for name in request.query_params:
        if name in parameters.known or name.startswith(parameters.objects):
            continue
        there_are = f"there are {', '.join(parameters.names)}" if parameters.names else "there are none"
        raise InvalidInput(
            f"{name[:80]}: is no query parameter of this operation; {there_are}.",
            code="UNKNOWN_PARAMETER",
            field=name[:80],
            known=list(parameters.names),
        )


def _parameters_of(route: APIRoute) -> _Parameters:
    declared = [each.alias for each in get_flat_params(route.dependant) if isinstance(each.field_info, params.Query)]
    # Those that FastAPI has no form for.
    written = [each["name"] for each in (route.openapi_extra or {}).get("parameters", ()) if each["in"] == "query"]
    return _Parameters((*declared, *written), frozenset(declared), tuple(written))
