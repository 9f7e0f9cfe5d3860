"""Meters in requests and answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from metering.meters import Aggregation, Operator
from sinks.postgres.meters import MeterRow


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not hold NUL")
    return text


Name = Annotated[str, Field(min_length=1, max_length=200, examples=["Tokens"]), AfterValidator(_without_nul)]
Description = Annotated[str, Field(max_length=2000), AfterValidator(_without_nul)]


class FilterBody(BaseModel):
    """One condition on an event's data; all must hold. Types are never converted: "5" is not 5."""

    model_config = ConfigDict(extra="forbid")

    property: str = Field(examples=["$.model"])
    operator: Operator
    value: Any = Field(
        description="eq, ne: string, number or boolean; in, nin: a list of these; gt, gte, lt, lte: a number;"
        " exists: a boolean.",
        examples=["small"],
    )


class CreateMeter(BaseModel):
    """A new meter. All but name and description is fixed for ever, so that a replay counts as the first run did."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "slug": "tokens",
                "name": "Tokens",
                "event_type": "llm.request",
                "aggregation": "SUM",
                "value_property": "$.tokens",
                "group_by": {"model": "$.model"},
            }
        },
    )

    slug: str = Field(description="1 to 63 of a-z, 0-9, _ and -; never used again.", examples=["tokens"])
    name: Name | None = Field(default=None, description="The slug, if missing.")
    description: Description = ""
    event_type: str = Field(description="Which events it reads.", examples=["llm.request"])
    aggregation: Aggregation
    value_property: str | None = Field(
        default=None, description="Path of the value; required but for COUNT.", examples=["$.tokens"]
    )
    group_by: dict[str, str] | None = Field(
        default=None, description="Name to path: what queries may group and filter by.", examples=[{"model": "$.model"}]
    )
    filters: list[FilterBody] | None = None


class RenameMeter(BaseModel):
    """New names."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"additionalProperties": False, "example": {"name": "All tokens"}}
    )

    name: Name | None = None
    description: Description | None = None


class MeterBody(BaseModel):
    """A meter."""

    slug: str = Field(examples=["tokens"])
    name: str = Field(examples=["Tokens"])
    description: str
    event_type: str = Field(examples=["llm.request"])
    aggregation: Aggregation
    value_property: str | None = Field(examples=["$.tokens"])
    group_by: dict[str, str] = Field(examples=[{"model": "$.model"}])
    filters: list[FilterBody]
    effective_at: datetime = Field(description="It reads events that arrived after this.")
    archived_at: datetime | None = Field(description="It reads nothing that arrived after this.")


class TriedEvent(BaseModel):
    """An event that the meter would have read."""

    id: str
    value: str | None
    groups: dict[str, str]


class FailedEvent(BaseModel):
    """An event that the meter could not have read: it would be a dead letter of this meter."""

    id: str
    code: str
    message: str


class DryRun(BaseModel):
    """What the meter would have done with the last 1,000 events of its type; nothing was created."""

    events: int = Field(description="How many there were.")
    hits: int = Field(description="Read.")
    filtered: int = Field(description="Kept out by a filter.")
    failures: int = Field(description="Not readable.")
    failure_codes: dict[str, int]
    hit_examples: list[TriedEvent]
    failure_examples: list[FailedEvent]


def meter_as_json(row: MeterRow) -> dict[str, Any]:
    """Return a meter as clients see it."""
    return {
        "slug": row.slug,
        "name": row.name,
        "description": row.description,
        "event_type": row.event_type,
        "aggregation": row.aggregation,
        "value_property": row.value_property,
        "group_by": row.group_paths(),
        "filters": row.conditions(),
        "effective_at": row.effective_at,
        "archived_at": row.archived_at,
    }
