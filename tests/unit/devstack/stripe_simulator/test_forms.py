"""Forms are read as Stripe's own library writes them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe._encode import _api_encode  # the encoder that clients use

from devstack.stripe_simulator.failures import StripeFailure
from devstack.stripe_simulator.forms import Parameters, decode

_NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
_VALUES = st.recursive(
    _TEXTS,
    lambda inner: st.dictionaries(_NAMES, inner, min_size=1, max_size=3) | st.lists(inner, min_size=1, max_size=3),
    max_leaves=8,
)


def _as_read(value: Any) -> Any:
    """Return a value as `decode` gives it: arrays by their places."""
    if isinstance(value, dict):
        return {key: _as_read(item) for key, item in value.items()}
    if isinstance(value, list):
        return {str(place): _as_read(item) for place, item in enumerate(value)}
    return value


@given(st.dictionaries(_NAMES, _VALUES, max_size=4))
def test_what_stripes_library_writes_is_read_back(sent: dict[str, Any]) -> None:
    form = urlencode(list(_api_encode(sent)))
    assert decode(form) == _as_read(sent)


def test_arrays_without_places_are_read_in_their_order() -> None:
    read = Parameters(decode("expand[]=a&expand[]=b&items[][price]=p&items[][quantity]=2&items[][price]=q"))
    assert read.texts("expand") == ["a", "b"]
    items = read.items("items") or []
    assert [(item.text("price"), item.integer("quantity")) for item in items] == [("p", 2), ("q", None)]


@pytest.mark.parametrize(
    "form",
    ["a=1&a[b]=2", "a[b]=1&a=2", "a[b=1", "[a]=1", "a" + "[b]" * 9 + "=1", "&".join(f"a{n}=1" for n in range(1001))],
)
def test_what_is_no_form_is_refused(form: str) -> None:
    with pytest.raises(StripeFailure):
        decode(form)


@pytest.mark.parametrize(
    ("reader", "value", "message"),
    [
        ("integer", "1.5", "Invalid integer: 1.5"),
        ("integer", "1e3", "Invalid integer: 1e3"),
        ("decimal", "1.1234567890123", "Invalid decimal: 1.1234567890123; must contain at maximum 12 decimal places"),
        ("decimal", "NaN", "Invalid decimal: NaN; must contain at maximum 12 decimal places"),
        ("boolean", "yes", "Invalid boolean: yes"),
        ("mapping", "text", "Invalid object"),
        ("items", "text", "Invalid array"),
        ("texts", "text", "Invalid array"),
    ],
)
def test_a_wrong_value_is_refused_by_name(reader: str, value: str, message: str) -> None:
    outer = Parameters(decode(f"outer[inner]={value}")).mapping("outer")
    with pytest.raises(StripeFailure) as refused:
        getattr(outer, reader)("inner")
    assert (refused.value.message, refused.value.param) == (message, "outer[inner]")


def test_unread_parameters_are_unknown_on_every_level() -> None:
    read = Parameters(decode("a=1&b[c]=2&b[d]=3&items[0][e]=4&items[1][f]=5"))
    assert read.text("a") == "1"
    inner = read.mapping("b")
    assert inner is not None
    assert inner.text("c") == "2"
    assert [item.text("e") for item in read.items("items") or []] == ["4", None]
    assert read.unread() == ["b[d]", "items[1][f]"]
    with pytest.raises(StripeFailure) as refused:
        read.check_all_read()
    assert (refused.value.code, refused.value.param) == ("parameter_unknown", "b[d]")


def test_metadata_is_laid_over_what_was_there() -> None:
    read = Parameters(decode("metadata[new]=1&metadata[old]="))
    assert read.metadata({"old": "x", "kept": "y"}) == {"new": "1", "kept": "y"}
    assert Parameters(decode("metadata=")).metadata({"old": "x"}) == {}
    with pytest.raises(StripeFailure, match="40 characters"):
        Parameters({"metadata": {"k" * 41: "v"}}).metadata()
    with pytest.raises(StripeFailure, match="50 keys"):
        Parameters({"metadata": {str(n): "v" for n in range(51)}}).metadata()
