"""`/ledger`: the proof that every record has exactly one fate, and that the stores agree on it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.access.authentication import Actor, OpenStores, allowed
from api.http.documentation import PREFIX, errors
from api.http.query_parameters import From, To
from api.http.responses import json_answer
from sinks.clickhouse.ledger import compare
from sinks.postgres.ledger import CHECKS, read_ledger, read_recent_loads

router = APIRouter(prefix=f"{PREFIX}/ledger", tags=["ledger"])

# A load a second and partition for 20 minutes; the command line compares all.
_COMPARED_LOADS: Final = 10_000


class HourBody(BaseModel):
    """What became of the records that arrived at one partition in one hour."""

    partition: int
    arrival_hour: datetime
    records: int = Field(description="Always counted + duplicates + rejected + forwarded.")
    counted: int
    duplicates: int
    rejected: int
    forwarded: int


class DifferenceBody(BaseModel):
    """A place where two books disagree."""

    check: str = Field(examples=["gaps"])
    partition: int
    from_position: int
    to_position: int
    expected: int
    found: int
    meaning: str


class LedgerBody(BaseModel):
    """The ledger."""

    topic: str
    clean: bool = Field(description="True when there is no difference.")
    hours: list[HourBody]
    differences: list[DifferenceBody]
    compared_loads: int = Field(description="How many warehouse loads ClickHouse was asked about, the newest ones.")


@router.get("", summary="Show the ledger", response_model=LedgerBody, responses=errors(400))
async def show(
    request: Request,
    actor: Annotated[Actor, allowed("operators:read")],
    stores: OpenStores,
    from_at: From = None,
    to_at: To = None,
) -> Response:
    """Show the ledger of the hours asked for, and every difference there is at whatever time (operators only)."""
    topic = stores.shape.topic
    whole_log = request.app.state.settings.kafka.retention_ms < 0
    async with stores.postgres.acting(actor.access, snapshot=True) as connection:
        ledger = await read_ledger(connection, topic, whole_log=whole_log, from_at=from_at, to_at=to_at)
        loads = await read_recent_loads(connection, topic, limit=_COMPARED_LOADS)
    differences: list[dict[str, Any]] = [
        {
            "check": difference.check,
            "partition": difference.partition,
            "from_position": difference.from_position,
            "to_position": difference.to_position,
            "expected": difference.expected,
            "found": difference.found,
            "meaning": CHECKS[difference.check],
        }
        for difference in ledger.differences
    ]
    differences += [
        {
            "check": "clickhouse",
            "partition": difference.load.partition,
            "from_position": difference.load.from_position,
            "to_position": difference.load.to_position,
            "expected": difference.load.counted,
            "found": difference.stored,
            "meaning": str(difference),
        }
        for difference in await stores.clickhouse.run(compare, loads)
    ]
    return json_answer(
        {
            "topic": topic,
            "clean": not differences,
            "hours": ledger.hours,
            "differences": differences,
            "compared_loads": len(loads),
        }
    )
