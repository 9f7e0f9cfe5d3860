"""Why an event, or one meter's reading of it, could not be used: stable codes that clients and dead letters carry."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Code(StrEnum):
    """A stable reason; `meaning` is one sentence for people."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Code:
        code = str.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code

    EMPTY_RECORD = "EMPTY_RECORD", "The record has no value."
    TOO_LARGE = "TOO_LARGE", "The event is larger than 1,000,000 bytes."
    TOO_DEEP = "TOO_DEEP", "Objects and arrays are nested more than 32 deep, the event itself included."
    INVALID_JSON = "INVALID_JSON", "Not JSON in UTF-8 without a byte order mark, or it holds NaN or Infinity."
    NOT_AN_OBJECT = "NOT_AN_OBJECT", "The event is JSON, but not an object."
    DUPLICATE_NAME = "DUPLICATE_NAME", "An object says the same name twice, so its value is anybody's guess."
    MISSING_FIELD = "MISSING_FIELD", "A required attribute is missing or null."
    INVALID_FIELD = "INVALID_FIELD", "An attribute has the wrong type, is empty, too long, or holds control characters."
    INVALID_TIME = "INVALID_TIME", "`time` is not an RFC 3339 time with a zone."
    TIME_TOO_OLD = "TIME_TOO_OLD", "`time` is more than 35 days before the arrival."
    TIME_TOO_NEW = "TIME_TOO_NEW", "`time` is more than 5 minutes after the arrival."
    RESERVED_TYPE = "RESERVED_TYPE", "Types that begin with `meterstream.` are ours."
    NOT_AT_HOME = "NOT_AT_HOME", "The record was forwarded here, and yet its home is another partition."
    INVALID_HEADER = "INVALID_HEADER", "A record header is not text as its rule says."
    MISSING_ORGANIZATION = (
        "MISSING_ORGANIZATION",
        "Nothing names an organization, and there is no default.",
    )
    UNKNOWN_ORGANIZATION = "UNKNOWN_ORGANIZATION", "No such organization at this place of the log."
    ORGANIZATION_MISMATCH = (
        "ORGANIZATION_MISMATCH",
        "The body names another organization than the sender's.",
    )
    INVALID_NUMBER = "INVALID_NUMBER", "A number has more than 15 integer or 18 fraction digits (checked over HTTP)."
    CONFLICT = "CONFLICT", "The id was counted within 36 days with another body."
    METER_VALUE_MISSING = "METER_VALUE_MISSING", "The property that the meter aggregates is missing or null."
    METER_VALUE_INVALID = "METER_VALUE_INVALID", "The property that the meter aggregates is of no use to it."
    METER_FILTER_INVALID = "METER_FILTER_INVALID", "A property that the meter filters by is said twice."
    METER_GROUP_INVALID = (
        "METER_GROUP_INVALID",
        "A property that the meter groups by is no short plain value.",
    )


@dataclass(frozen=True, slots=True)
class Rejection:
    """An event that is not used, and why; `event_id` only where one could be read."""

    code: Code
    message: str
    event_id: str | None = None
    organization: str | None = field(default=None, compare=False)
    """The slug of whose event it would have been, as far as that can be read: its owner is shown the dead letter."""


@dataclass(frozen=True, slots=True)
class MeterSkip:
    """A meter that could not read its value from an event which counts elsewhere."""

    code: Code
    message: str
