"""The rule for names and ids: what may be a key in every store and in every URL."""

from __future__ import annotations

import re
from typing import Final

MAX_TEXT: Final = 256

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def text_problem(value: object) -> str | None:
    """Say what keeps `value` from being a name or id (1 to 256 characters, none of control), or None."""
    if not isinstance(value, str):
        return "must be a string"
    if not value:
        return "must not be empty"
    if len(value) > MAX_TEXT:
        return f"must not be longer than {MAX_TEXT} characters"
    if _UNFIT.search(value):
        return "must not hold control characters or lone surrogates"
    return None
