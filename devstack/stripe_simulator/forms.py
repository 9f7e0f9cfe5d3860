"""Stripe's parameters: bracketed forms and queries decoded, read one by one with their types, none unread."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

from devstack.stripe_simulator.failures import Obj, StripeFailure, invalid_parameter, missing_parameter

_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_INTEGER = re.compile(r"-?\d{1,18}")
_DECIMAL = re.compile(r"-?\d{1,18}(\.\d{1,12})?")
_MAX_FIELDS = 1_000
_MAX_DEPTH = 8
_METADATA_KEYS = 50
_METADATA_KEY_LENGTH = 40
_METADATA_VALUE_LENGTH = 500
_TEXT_LENGTH = 5_000


def decode(form: str) -> Obj:
    """Return `a[b][0][c]=1&d[]=x` as nested mappings; `a[0]` stays a mapping by "0" until `items` reads it."""
    try:
        fields = parse_qsl(form, keep_blank_values=True, strict_parsing=bool(form), max_num_fields=_MAX_FIELDS)
    except ValueError as exc:
        raise StripeFailure("Invalid request: the form can not be read.") from exc
    tree: Obj = {}
    for name, value in fields:
        _place(tree, name, value)
    return tree


def _place(tree: Obj, name: str, value: str) -> None:
    match = _KEY.fullmatch(name)
    if match is None:
        raise invalid_parameter(name, f"Invalid parameter name: {name[:100]}")
    path = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
    if len(path) > _MAX_DEPTH:
        raise invalid_parameter(name, "Too many levels of nesting.")
    node = tree
    for part, following in pairwise(path):
        child = node.setdefault(_index(node, part, following), {})
        if not isinstance(child, dict):
            raise invalid_parameter(name, "Invalid parameters: a value and a mapping have the same name.")
        node = child
    last = _index(node, path[-1], None)
    if isinstance(node.get(last), dict):
        raise invalid_parameter(name, "Invalid parameters: a value and a mapping have the same name.")
    node[last] = value


def _index(node: Obj, part: str, following: str | None) -> str:
    """Return the key for `part`; `[]` is the next free one, or, as in Rack, the last while it lacks what follows."""
    if part:
        return part
    last = node.get(str(len(node) - 1))
    if following and isinstance(last, dict) and following not in last:
        return str(len(node) - 1)
    return str(len(node))


class Parameters:
    """The parameters of a call or of one mapping in it. `""` is how a caller unsets what may be unset."""

    def __init__(self, values: Mapping[str, Any], name: str = "") -> None:
        self._values = dict(values)
        self._name = name
        self._read: set[str] = set()
        self._children: dict[str, list[Parameters]] = {}

    def given(self, name: str) -> bool:
        """Say whether the caller sent it, be it to unset it."""
        return name in self._values

    def path(self, name: str) -> str:
        """Return the parameter's whole name, as error objects give it."""
        return f"{self._name}[{name}]" if self._name else name

    def names(self) -> list[str]:
        """Return what the caller sent."""
        return list(self._values)

    def raw(self, name: str) -> Any:
        """Return a value as it came, all of it counted as read."""
        self._read.add(name)
        return self._values.get(name)

    def text(self, name: str, *, max_length: int = _TEXT_LENGTH) -> str | None:
        """Return a string, "" where it is to be unset."""
        value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, dict | list):
            raise invalid_parameter(self.path(name), "Invalid string: a mapping or an array was sent.")
        if len(str(value)) > max_length:
            raise invalid_parameter(
                self.path(name),
                f"Invalid string: {str(value)[:20]}...; must be at most {max_length} characters",
            )
        return str(value)

    def required(self, name: str) -> str:
        """Return a string that must be there and not be empty."""
        value = self.text(name)
        if value is None:
            raise missing_parameter(self.path(name))
        if not value:
            raise self._empty(name)
        return value

    def integer(self, name: str, *, least: int | None = None, most: int | None = None) -> int | None:
        """Return a whole number; None where it is missing or unset."""
        value = self.text(name)
        if not value:
            return None
        if not _INTEGER.fullmatch(value):
            raise invalid_parameter(self.path(name), f"Invalid integer: {value[:50]}", "parameter_invalid_integer")
        number = int(value)
        if least is not None and number < least:
            message = f"This value must be greater than or equal to {least}."
            raise invalid_parameter(self.path(name), message, "parameter_invalid_integer")
        if most is not None and number > most:
            message = f"This value must be less than or equal to {most}."
            raise invalid_parameter(self.path(name), message, "parameter_invalid_integer")
        return number

    def decimal(self, name: str) -> Decimal | None:
        """Return a decimal of at most 12 places; None where it is missing or unset."""
        value = self.text(name)
        if not value:
            return None
        if not _DECIMAL.fullmatch(value):
            message = f"Invalid decimal: {value[:50]}; must contain at maximum 12 decimal places"
            raise invalid_parameter(self.path(name), message)
        return Decimal(value)

    def boolean(self, name: str) -> bool | None:
        """Return true or false; None where it is missing or unset."""
        value = self.text(name)
        if not value:
            return None
        if value not in ("true", "false"):
            raise invalid_parameter(self.path(name), f"Invalid boolean: {value[:50]}")
        return value == "true"

    def choice(self, name: str, allowed: Iterable[str]) -> str | None:
        """Return one of the allowed words, "" where it is to be unset."""
        value = self.text(name)
        if not value:
            return value
        self._check_choice(name, value, allowed)
        return value

    def choices(self, name: str, allowed: Iterable[str]) -> list[str] | None:
        """Return an array of allowed words."""
        values = self.texts(name)
        for value in values or []:
            self._check_choice(name, value, allowed)
        return values

    def _check_choice(self, name: str, value: str, allowed: Iterable[str]) -> None:
        words = sorted(allowed)
        if value not in words:
            last = f"{', '.join(words[:-1])}, or {words[-1]}" if len(words) > 2 else " or ".join(words)
            raise invalid_parameter(self.path(name), f"Invalid {self.path(name)}: must be one of {last}")

    def texts(self, name: str) -> list[str] | None:
        """Return an array of strings; [] where it is to be unset."""
        values = self._array(name)
        if values is None:
            return None
        if any(isinstance(value, dict | list) for value in values):
            raise invalid_parameter(self.path(name), "Invalid array: strings were expected.")
        return [str(value) for value in values]

    def mapping(self, name: str) -> Parameters | None:
        """Return a nested mapping; None where it is missing or unset (`given` tells them apart)."""
        value = self.raw(name)
        if value is None or value == "":
            return None
        if not isinstance(value, dict):
            raise invalid_parameter(self.path(name), "Invalid object")
        if name not in self._children:
            self._children[name] = [Parameters(value, self.path(name))]
        return self._children[name][0]

    def items(self, name: str) -> list[Parameters] | None:
        """Return an array of mappings; [] where it is to be unset."""
        values = self._array(name)
        if values is None:
            return None
        if not all(isinstance(value, dict) for value in values):
            raise invalid_parameter(self.path(name), "Invalid array: mappings were expected.")
        if name not in self._children:
            self._children[name] = [
                Parameters(value, f"{self.path(name)}[{index}]") for index, value in enumerate(values)
            ]
        return self._children[name]

    def metadata(self, current: Mapping[str, str] | None = None, name: str = "metadata") -> dict[str, str]:
        """Return `current` with the sent metadata laid over it: "" removes a key, or all of them."""
        sent = self.raw(name)
        if sent is None:
            return dict(current or {})
        if sent == "":
            return {}
        if not isinstance(sent, dict) or any(isinstance(value, dict | list) for value in sent.values()):
            raise invalid_parameter(self.path(name), "Invalid metadata: must be a mapping of strings.")
        for key, value in sent.items():
            if len(key) > _METADATA_KEY_LENGTH or len(str(value)) > _METADATA_VALUE_LENGTH:
                message = "Metadata keys may have at most 40 characters, and values at most 500."
                raise invalid_parameter(f"{self.path(name)}[{key[:50]}]", message)
        merged = {**(current or {}), **{key: str(value) for key, value in sent.items()}}
        kept = {key: value for key, value in merged.items() if value != ""}
        if len(kept) > _METADATA_KEYS:
            raise invalid_parameter(self.path(name), "Metadata can only have 50 keys.")
        return kept

    def unread(self) -> list[str]:
        """Return the names that nobody asked for: Stripe does not know them."""
        own = [self.path(name) for name in self._values if name not in self._read]
        return own + [name for children in self._children.values() for child in children for name in child.unread()]

    def check_all_read(self) -> None:
        """Refuse unknown parameters, as Stripe does."""
        unknown = self.unread()
        if unknown:
            plural = "s" if len(unknown) > 1 else ""
            message = f"Received unknown parameter{plural}: {', '.join(unknown[:10])}"
            raise StripeFailure(message, code="parameter_unknown", param=unknown[0])

    def _array(self, name: str) -> list[Any] | None:
        value = self.raw(name)
        if value is None:
            return None
        if value == "":
            return []
        if isinstance(value, dict) and all(key.isdecimal() for key in value):
            return [value[key] for key in sorted(value, key=int)]
        if not isinstance(value, list):
            raise invalid_parameter(self.path(name), "Invalid array")
        return value

    def _empty(self, name: str) -> StripeFailure:
        path = self.path(name)
        return invalid_parameter(
            path,
            f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a parameter; "
            f"however '{path}' cannot be unset. You should remove '{path}' from your request or supply a non-empty "
            "value.",
            "parameter_invalid_empty",
        )
