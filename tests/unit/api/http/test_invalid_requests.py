from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import Field, ValidationError

from api.catalogue.discount_models import CreateDiscountCode
from api.http.invalid_requests import field_and_message
from api.http.request_body import SentBody, WebAddress


class Body(SentBody):
    currency: str = Field(default="usd", pattern="^[a-z]{3}$")
    count: Annotated[int, Field(strict=True, ge=1)] = 1
    link: WebAddress | None = None
    inner: dict[str, int] = Field(default_factory=dict, max_length=1)
    of: UUID | None = None


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ({"currency": "USD"}, ("currency", "should be an ISO 4217 code in three small letters, such as usd")),
        ({"count": 0}, ("count", "should be greater than or equal to 1")),
        ({"link": "x"}, ("link", "must be a whole address, such as https://example.com/billing")),
        ({"inner": {"a": "x"}}, ("inner.a", "should be a valid integer, unable to parse string as an integer")),
        ({"inner": 1}, ("inner", "should be an object")),
        ({"of": "x" * 32}, ("of", "should be a valid UUID")),
        ({"surprise": 1}, ("surprise", "is no field here; leave it out")),
        ({"currency": "a\0"}, ("body", "currency holds NUL")),
    ],
)
def test_the_field_is_named_once_and_in_our_words(sent: dict[str, Any], problem: tuple[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        Body.model_validate(sent)
    (told,) = caught.value.errors()
    field, message = field_and_message({**told, "loc": ("body", *told["loc"])})
    assert (field, message[: len(problem[1])]) == problem


@pytest.mark.parametrize("percent", ["Infinity", "12.345", "x"])
def test_a_percentage_is_named_once(percent: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CreateDiscountCode.model_validate({"code": "A", "percent_off": percent})
    field, message = field_and_message(caught.value.errors()[0])
    assert (field, "percent_off" in message, "error" in message) == ("percent_off", False, False)
