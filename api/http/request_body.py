"""Bodies as clients send them, for routes of `ExactRoute`: no unknown fields, no text that no store can keep."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from ipaddress import ip_address
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from metering.exact_json import DUPLICATE, UnreadableNumber
from runtime.errors import InvalidInput

_MAX_DIGITS: Final = 40
_UNKEPT: Final = re.compile("[\x00\ud800-\udfff]")
_YEARS: Final = (1970, 3000)
_BLANK: Final = re.compile(r"\s|[\x00-\x1f\x7f]")


class SentBody(BaseModel):
    """A body: whole numbers are ints, others Decimal; what Postgres and Stripe cannot keep is refused."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _readable(cls, body: Any) -> Any:
        return _read(body, "")


def _read(value: Any, where: str) -> Any:
    match value:
        case str():
            return _text(value, where)
        case Decimal():
            return _number(value, where)
        case Mapping():
            return {_text(name, where): _read(each, f"{where}.{name}".lstrip(".")) for name, each in value.items()}
        case list():
            return [_read(each, f"{where}[{index}]") for index, each in enumerate(value)]
        case UnreadableNumber():
            raise ValueError(f"{where}: {value.text[:40]} is out of range")
        case _ if value is DUPLICATE:
            raise ValueError(f"{where} is said twice; say it once")
    return value


def _number(value: Decimal, where: str) -> int | Decimal:
    """Return a whole number as int. Long ones are refused: to convert them takes quadratic time."""
    if value.adjusted() < _MAX_DIGITS:
        exponent = value.as_tuple().exponent
        assert isinstance(exponent, int)  # JSON knows no NaN and no infinity
        if exponent >= -_MAX_DIGITS:
            return int(value) if exponent == 0 else value
    raise ValueError(f"{where}: has more than {_MAX_DIGITS} digits before or after the point; write fewer")


def _text(text: str, where: str) -> str:
    if _UNKEPT.search(text):
        raise ValueError(f"{where or 'a name'} holds NUL or half a character (a lone surrogate); leave it out")
    return text


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not _BLANK.search(text)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must be a whole address, such as https://example.com/billing")
    # Browsers go on to evil.example from https://good.example@evil.example and https://evil.example\\@good.example.
    if "@" in parts.netloc or "\\" in text:
        raise ValueError("must name no user before its host, and hold no backslash")
    return text


def require_return_addresses(origins: Collection[str], **addresses: str | None) -> None:
    """Refuse an address that customers are not to be sent back to; no origins: any over HTTPS, or of this machine.

    Raises: InvalidInput with the field.
    """
    for field, address in addresses.items():
        if address is None:
            continue
        parts = urlsplit(address)
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        if origins and origin not in origins:
            raise InvalidInput(
                f"{field}: {origin} is none of METERSTREAM_API__RETURN_ORIGINS; send one of {', '.join(origins)}",
                field=field,
            )
        if not origins and parts.scheme != "https" and not _is_loopback(str(parts.hostname)):
            raise InvalidInput(f"{field}: must begin with https://", field=field)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _in_range(instant: datetime) -> datetime:
    # A year's distance from both ends: whatever its zone, the instant exists in UTC, too.
    if not _YEARS[0] < instant.year < _YEARS[1]:
        raise ValueError(f"must be after {_YEARS[0]} and before {_YEARS[1]}")
    return instant


SentInstant = Annotated[AwareDatetime, AfterValidator(_in_range)]
"""An instant with its zone."""
WebAddress = Annotated[
    str,
    Field(max_length=2000, examples=["https://app.example.com/billing"], json_schema_extra={"format": "uri"}),
    AfterValidator(_web_address),
]
