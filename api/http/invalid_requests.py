"""What does not fit a request's model, in our words: pydantic speaks to who wrote the model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_SLUG: Final = "should be 1 to 63 of a-z, 0-9, _ and -, the first a letter or digit"

PATTERNS: Final = {
    "^[a-z0-9][a-z0-9_-]{0,62}$": _SLUG,
    "^[a-z]{3}$": "should be an ISO 4217 code in three small letters, such as usd",
    "^[A-Z]{2}$": "should be an ISO 3166 code in two capitals, such as US",
    "^[A-Za-z0-9_-]{1,64}$": "should be 1 to 64 of A-Z, a-z, 0-9, _ and -",
    "^[A-Za-z_][A-Za-z0-9_]{0,62}$": "should be 1 to 63 of A-Z, a-z, 0-9 and _, the first no digit",
    "^[A-Z_]{1,64}$": "should be a code of ours: 1 to 64 of A-Z and _",
    "^[a-z]{2}_[a-z_]{1,20}$": "should be a type of Stripe's, such as eu_vat",
    "^pm_[A-Za-z0-9_]{1,250}$": "should be a payment method's id of Stripe's, which begins with pm_",
    "^[^@\\s]{1,64}@[^@\\s]{1,250}$": "should be an address, such as jenny@example.com",
    "^[^\\s@]+@[^\\s@]+$": "should be an address, such as jenny@example.com",
    "^[0-9]{1,18}$": "should be a number of at most 18 digits",
    "^[^\\x00]*$": "should hold no NUL",
    "^[ -~]+$": "should be printable ASCII",
}
"""What every pattern of the OpenAPI document means."""

_MESSAGES: Final = {
    "missing": "is missing",
    "extra_forbidden": "is no field here; leave it out",
    "model_type": "should be an object",
    "model_attributes_type": "should be an object",
    "dict_type": "should be an object",
}
# "Input should …", "String should …", "UUID input should …": the field is named before it.
_SUBJECT: Final = re.compile(r"^(?:\w+ )?\w+ (?=should )")


def field_and_message(problem: Mapping[str, Any]) -> tuple[str, str]:
    """Return which field a problem of pydantic's is about, as the caller wrote it, and what is wrong with it."""
    field = _field(problem["loc"])
    kind, text = problem["type"], str(problem["msg"])
    if kind == "string_pattern_mismatch":
        text = PATTERNS.get(problem["ctx"]["pattern"], text)
    text = _MESSAGES.get(kind, text).removeprefix("Value error, ").removeprefix(f"{field}: ")
    return field, _SUBJECT.sub("", text)


def _field(location: tuple[int | str, ...]) -> str:
    """Name the field as the caller wrote it: without `body`, `query` or `path` in front."""
    parts = location[1:] if location and location[0] in ("body", "query", "path", "header") else location
    return ".".join(map(str, parts)) or "body"
