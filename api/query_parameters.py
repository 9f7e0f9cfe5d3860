"""Query parameters that several routes share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime

from metering.texts import text_problem

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
