from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from api.http.request_body import SentBody, WebAddress, require_return_addresses
from metering.exact_json import loads
from runtime.errors import InvalidInput


class Body(SentBody):
    number: Any = None
    text: str = ""
    inner: dict[str, Any] | None = None


class Link(BaseModel):
    to: WebAddress


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1", 1),
        ("-0", 0),
        ("1e39", Decimal("1e39")),
        ("9" * 40, 10**40 - 1),
        ("1.5", Decimal("1.5")),
        ("1e-40", Decimal("1e-40")),
        ("0.1", Decimal("0.1")),
        ("123456789012345678", 123456789012345678),
    ],
)
def test_numbers_are_whole_or_exact(written: str, read: Any) -> None:
    body = Body.model_validate(loads(f'{{"number": [{written}]}}'.encode()))
    assert body.number == [read]
    assert type(body.number[0]) is type(read)


@pytest.mark.parametrize(
    "written",
    [
        r'{"text": "a\u0000b"}',
        r'{"text": "\ud800"}',
        r'{"inner": {"a\u0000": 1}}',
        r'{"inner": {"a": ["x", "\udfff"]}}',
        '{"text": "a", "text": "b"}',
        '{"inner": {"a": 1, "a": 2}}',
        '{"number": 1e9999999999999999999}',
        '{"surprise": 1}',
        '{"number": [1e40]}',
        '{"number": 1e-41}',
        '{"number": 1e999999}',
        f'{{"number": {"9" * 41}}}',
    ],
)
def test_what_no_store_can_keep_is_refused(written: str) -> None:
    with pytest.raises(ValidationError):
        Body.model_validate(loads(written.encode()))


def test_a_number_of_a_million_digits_is_refused_at_once() -> None:
    body = loads(b'{"number": ' + b"7" * 1_000_000 + b"}")
    started = time.perf_counter()
    with pytest.raises(ValidationError, match="more than 40 digits"):
        Body.model_validate(body)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    "address",
    ["https://example.com", "http://localhost:3000/a?b={CHECKOUT_SESSION_ID}", "https://example.com/@user#@x"],
)
def test_whole_addresses_pass_as_they_are(address: str) -> None:
    assert Link(to=address).to == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "example.com",
        "//example.com",
        "javascript:alert(1)",
        "https://",
        "https://[::1",
        "https://a b",
        "https://good.example@evil.example",
        "https://user:secret@example.com",
        "https://evil.example\\@good.example",
        "https://evil.example\\.good.example",
        "https://a\n",
    ],
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValidationError):
        Link(to=address)


ORIGINS = ("https://app.example.com", "http://intranet:8080")


@pytest.mark.parametrize(
    ("origins", "address"),
    [
        ((), "https://anywhere.example/x"),
        ((), "http://localhost:3000"),
        ((), "http://127.0.0.1/x"),
        ((), "http://[::1]:5173/"),
        (ORIGINS, "https://App.example.com/welcome?of={CHECKOUT_SESSION_ID}"),
        (ORIGINS, "http://intranet:8080"),
    ],
)
def test_customers_come_back_to_where_they_may(origins: tuple[str, ...], address: str) -> None:
    require_return_addresses(origins, success_url=address, cancel_url=None)


@pytest.mark.parametrize(
    ("origins", "address"),
    [
        ((), "http://anywhere.example/x"),
        ((), "http://localhost.evil.example"),
        (ORIGINS, "https://app.example.com.evil.example"),
        (ORIGINS, "https://app.example.com:8443/"),
        (ORIGINS, "http://app.example.com/"),
        (ORIGINS, "http://localhost:3000"),
    ],
)
def test_customers_are_sent_nowhere_else(origins: tuple[str, ...], address: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        require_return_addresses(origins, success_url=None, cancel_url=address)
    assert refused.value.details == {"field": "cancel_url"}
