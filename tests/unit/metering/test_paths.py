"""Paths: a small language, exactly that."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.exact_json import DUPLICATE
from metering.paths import follow, parse_path
from runtime.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("$.a", ("a",)),
        ("$.a.b[0]", ("a", "b", 0)),
        ("$['a b']", ("a b",)),
        ("$['a.b'].c[12]['ü']", ("a.b", "c", 12, "ü")),
        (r"$['it\'s']['back\\slash']", ("it's", "back\\slash")),
        ("$[0]", (0,)),
    ],
)
def test_reads(text: str, steps: tuple[str | int, ...]) -> None:
    assert parse_path(text) == steps


EMPTY_OR_CUT = ["", "$", "a", ".a", "$a", "$.", "$..a", "$.a.", "$['']", "$['a", "$['a'b']", "$.a b", "$.a\n", "@.a"]
JSONPATH_AT_LARGE = ["$.*", "$[*]", "$[-1]", "$[01]", "$[1:2]", '$["a"]', "$.0", "$.a-b", "$[?(@.a)]", "$['\n']"]


@pytest.mark.parametrize("text", [*EMPTY_OR_CUT, *JSONPATH_AT_LARGE, "$." + "a" * 255])
def test_refuses(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_path(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$.a.b[1]", Decimal(2)),
        ("$.a.b[2]", None),
        ("$.a.missing", None),
        ("$.a[0]", None),
        ("$.s.length", None),
        ("$.s[0]", None),
        ("$.null", None),
        ("$.null.x", None),
        ("$.twice", DUPLICATE),
        ("$.twice.x", DUPLICATE),
        ("$['a b']", False),
    ],
)
def test_follows(text: str, value: Any) -> None:
    data = {"a": {"b": [Decimal(1), Decimal(2)]}, "s": "text", "null": None, "twice": DUPLICATE, "a b": False}
    assert follow(parse_path(text), data) is value or follow(parse_path(text), data) == value


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=60))
def test_any_name_can_be_written(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    assert parse_path(f"$['{quoted}']") == (name,)


@given(st.text(alphabet="$.[]'ab01\\ ", max_size=12))
def test_any_text_is_a_path_or_invalid_input(text: str) -> None:
    try:
        steps = parse_path(text)
    except InvalidInput:
        return
    assert steps
    assert follow(steps, {}) is None
