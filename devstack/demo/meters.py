"""The meters that the demo creates, over HTTP, for its organization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from devstack.demo.sendings import EVENT_TYPE


@dataclass(frozen=True, slots=True)
class DemoMeter:
    """One meter; `column` is the trace's column that it reads."""

    slug: str
    aggregation: str
    column: str | None = None
    grouped: bool = False
    """By model."""
    above: int | None = None
    """Only requests with more output tokens than this."""

    def request(self) -> dict[str, Any]:
        """Return the body of `POST /meters`."""
        body: dict[str, Any] = {
            "slug": self.slug,
            "name": self.slug.replace("_", " ").capitalize(),
            "event_type": EVENT_TYPE,
            "aggregation": self.aggregation,
        }
        if self.column is not None:
            body["value_property"] = f"$.{self.column}"
        if self.grouped:
            body["group_by"] = {"model": "$.model"}
        if self.above is not None:
            body["filters"] = [{"property": "$.output_tokens", "operator": "gt", "value": self.above}]
        return body


METERS: Final = (
    DemoMeter("input_tokens", "SUM", "input_tokens", grouped=True),
    DemoMeter("output_tokens", "SUM", "output_tokens", grouped=True),
    DemoMeter("requests", "COUNT"),
    DemoMeter("long_answers", "COUNT", above=100),
    DemoMeter("models", "UNIQUE_COUNT", "model"),
    DemoMeter("largest_prompt", "MAX", "input_tokens"),
    DemoMeter("mean_prompt", "AVG", "input_tokens"),
    DemoMeter("last_prompt", "LATEST", "input_tokens"),
)
