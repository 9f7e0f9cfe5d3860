"""Plans as clients send them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from api.catalogue.plan_models import CreatePlan, checked_plan
from metering.exact_json import loads
from runtime.errors import SchemaValidation


@pytest.mark.parametrize("digits", [20, 40, 41, 5_000])
@pytest.mark.parametrize("field", ["included_quantity", "package_size", "interval_count"])
def test_numbers_too_long_for_a_price_are_refused_with_a_reason(field: str, digits: int) -> None:
    sent: dict[str, Any] = CreatePlan.model_config["json_schema_extra"]["example"]  # type: ignore[index,assignment,call-overload]
    written = json.dumps({**sent, "prices": [{**sent["prices"][1], field: 0}]})
    raw = written.replace(f'"{field}": 0', f'"{field}": {"9" * digits}').encode()
    with pytest.raises((ValidationError, SchemaValidation), match=field):
        checked_plan(CreatePlan.model_validate(loads(raw)).terms())
