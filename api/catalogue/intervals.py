"""How often something is billed: `interval` and `interval_count`, in requests and in answers alike."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo

from billing.periods import Cycle, read_cycle


def _with_interval(count: int, info: ValidationInfo) -> int:
    """Refuse a count of nothing. Fields that were not sent are not validated."""
    if info.data.get("interval", "") is None:
        raise ValueError("counts the intervals of `interval`, which is missing: send both, such as 3 and month")
    return count


IntervalCount = Annotated[
    int,
    Field(strict=True, ge=1, le=1095, description="Every so many intervals; only together with `interval`."),
    AfterValidator(_with_interval),
]


def interval_as_json(cycle: Cycle | None) -> dict[str, Any]:
    """Return the two fields that answers tell it by; both null where it is not known."""
    return {"interval": cycle and cycle.interval, "interval_count": cycle and cycle.count}


def named_interval_as_json(name: str) -> dict[str, Any]:
    """Return the fields for what rows keep as text: `month`, `3 months`; empty: nothing is billed."""
    return interval_as_json(read_cycle(name) if name else None)
