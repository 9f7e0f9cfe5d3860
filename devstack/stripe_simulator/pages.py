"""Stripe's lists: newest first, a cursor either way."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devstack.stripe_simulator.failures import Obj, resource_missing
from devstack.stripe_simulator.forms import Parameters

_DEFAULT_LIMIT = 10
_MOST = 100
_BOUNDS: dict[str, Callable[[int, int], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


@dataclass(frozen=True)
class Page:
    """A part of a list."""

    url: str
    data: Sequence[Obj]
    has_more: bool

    def body(self) -> Obj:
        """Return it as it is sent."""
        return {"object": "list", "url": self.url, "has_more": self.has_more, "data": list(self.data)}


def paginate(parameters: Parameters, url: str, objects: Sequence[Obj]) -> Page:
    """Cut the page that the caller asked for out of `objects`, which are newest first."""
    limit = parameters.integer("limit", least=1, most=_MOST) or _DEFAULT_LIMIT
    after, before = parameters.text("starting_after"), parameters.text("ending_before")
    if after:
        rest = objects[_position(objects, after, "starting_after") + 1 :]
        return Page(url, rest[:limit], len(rest) > limit)
    if before:
        rest = objects[: _position(objects, before, "ending_before")]
        return Page(url, rest[-limit:], len(rest) > limit)
    return Page(url, objects[:limit], len(objects) > limit)


def whole(url: str, objects: Sequence[Obj]) -> Obj:
    """Return a list that an object holds (a subscription's items), all of it."""
    return {"object": "list", "url": url, "has_more": False, "data": list(objects)}


def within(parameters: Parameters, objects: Sequence[Obj], name: str = "created") -> list[Obj]:
    """Keep those whose time `name` is as asked: an exact second, or bounds by gt, gte, lt, lte."""
    if not isinstance(parameters.raw(name), dict):
        exact = parameters.integer(name)
        return [obj for obj in objects if exact is None or obj[name] == exact]
    bounds = parameters.mapping(name)
    assert bounds is not None
    kept = list(objects)
    for word, holds in _BOUNDS.items():
        bound = bounds.integer(word)
        if bound is not None:
            kept = [obj for obj in kept if obj[name] is not None and holds(obj[name], bound)]
    return kept


def _position(objects: Sequence[Obj], identifier: str, param: str) -> int:
    for position, obj in enumerate(objects):
        if obj["id"] == identifier:
            return position
    raise resource_missing("object", identifier, param)
