"""Operations tried with requests that are generated from the OpenAPI document, fitting it or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import hypothesis
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.integration.api.service import Service

CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


def operations(service: Service) -> Iterator[Any]:
    """Yield the operations of a service's document, as schemathesis has them."""
    for result in schemathesis.openapi.from_dict(service.app.openapi()).get_all_operations():
        yield result.ok()  # type: ignore[union-attr]  # what is no operation fails here


def probe(
    service: Service,
    operation: Any,
    mode: GenerationMode,
    headers: Mapping[str, str],
    *,
    examples: int,
    prepare: Callable[[Any], None] = lambda case: None,
) -> int:
    """Try an operation; return how many requests that took. `prepare` changes each before it is sent."""
    tried = 0

    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def try_one(case: Any) -> None:
        nonlocal tried
        tried += 1
        prepare(case)
        case.call_and_validate(base_url=service.url, headers=dict(headers), checks=CHECKS)

    try_one()
    return tried
