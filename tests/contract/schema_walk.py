"""Walks a value along a schema of Stripe's OpenAPI document and tells every place where it does not fit.

Stricter than the document: a field that the schema does not name is a problem too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from tests.contract.form_body import list_of

Schema = dict[str, Any]

_DECIMAL = re.compile(r"-?\d+(\.\d{1,12})?")
_INTEGER = re.compile(r"-?\d+")
_CURRENCY = re.compile(r"[a-z]{3}")
_REFERENCE = "#/components/schemas/"


class SchemaWalk:
    """One way of reading: JSON, or a form (`text`), whose numbers and booleans are text.

    `partial` is for the earlier values of an event: nothing is required there, and null says that there was nothing.
    """

    def __init__(self, schemas: dict[str, Schema], *, text: bool = False, partial: bool = False) -> None:
        self._schemas = schemas
        self._text = text
        self._partial = partial

    def problems(self, value: Any, schema: Schema, where: str) -> list[str]:
        """Return what does not fit, each as `path: what is wrong`."""
        schema = self.resolved(schema)
        if value is None:
            return [] if schema.get("nullable") or self._partial else [f"{where}: null"]
        alternatives = schema.get("anyOf") or schema.get("oneOf")
        if alternatives:
            return self._best_alternative(value, alternatives, where)
        kind = _kind(schema)
        if kind == "object":
            return self._object_problems(value, schema, where)
        if kind == "array":
            return self._array_problems(value, schema, where)
        return self._scalar_problems(value, schema, kind, where)

    def resolved(self, schema: Schema) -> Schema:
        """Return the schema that a reference names."""
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].removeprefix(_REFERENCE)]
        return schema

    def _best_alternative(self, value: Any, alternatives: list[Schema], where: str) -> list[str]:
        """Return nothing when one fits, else what is wrong with the alternative that comes nearest."""
        candidates = [schema for schema in map(self.resolved, alternatives) if self._could_be(value, schema)]
        if not candidates:
            kinds = " or ".join(dict.fromkeys(_kind(self.resolved(schema)) for schema in alternatives))
            return [f"{where}: expected {kinds}, not {value!r:.80}"]
        found: list[list[str]] = []
        for schema in candidates:
            problems = self.problems(value, schema, where)
            if not problems:
                return []
            found.append(problems)
        return min(found, key=len)

    def _could_be(self, value: Any, schema: Schema) -> bool:
        """Tell whether the outer form fits: the kind of the value, and the kind of Stripe object."""
        if "anyOf" in schema or "oneOf" in schema:
            return True
        kind = _kind(schema)
        if not isinstance(value, dict):
            return kind not in ("object", "array") if not isinstance(value, list) else kind == "array"
        if kind == "array":
            return self._text
        return kind == "object" and value.get("object") in (_object_names(schema) or (value.get("object"),))

    def _object_problems(self, value: Any, schema: Schema, where: str) -> list[str]:
        if not isinstance(value, dict):
            return [f"{where}: expected an object, not {value!r:.80}"]
        properties: dict[str, Schema] = schema.get("properties", {})
        others = schema.get("additionalProperties")
        open_ended = others is None and "properties" not in schema
        problems: list[str] = []
        for name, inner in value.items():
            at = f"{where}.{name}" if where else name
            if name in properties:
                problems += self.problems(inner, properties[name], at)
            elif isinstance(others, dict):
                problems += self.problems(inner, others, at)
            elif not open_ended and others is not True:
                problems.append(f"{at}: unknown")
        if not self._partial:
            missing = (name for name in schema.get("required", ()) if name not in value)
            problems += [f"{where}.{name}: missing" if where else f"{name}: missing" for name in missing]
        return problems

    def _array_problems(self, value: Any, schema: Schema, where: str) -> list[str]:
        items = list_of(value) if self._text else value
        if not isinstance(items, list):
            return [f"{where}: expected a list, not {value!r:.80}"]
        inner = self.resolved(schema["items"])
        return _flat(self.problems(item, inner, f"{where}[{index}]") for index, item in enumerate(items))

    def _scalar_problems(self, value: Any, schema: Schema, kind: str, where: str) -> list[str]:
        kinds = _TEXT_KINDS if self._text else _JSON_KINDS
        if not kinds[kind](value):
            return [f"{where}: expected {kind}, not {value!r:.80}"]
        if "enum" in schema and value not in schema["enum"]:
            return [f"{where}: {value!r} is none of {', '.join(map(repr, schema['enum'][:12]))}"]
        if len(str(value)) > schema.get("maxLength", 1_000_000):
            return [f"{where}: longer than {schema['maxLength']} characters"]
        fits = _FORMATS.get(schema.get("format", ""))
        if fits is not None and not fits(str(value)):
            return [f"{where}: {value!r:.80} is no {schema['format']}"]
        pattern = schema.get("pattern")
        if pattern and not re.search(pattern, value):
            return [f"{where}: {value!r:.80} does not match {pattern}"]
        return []


def _kind(schema: Schema) -> str:
    return str(schema.get("type") or ("object" if "properties" in schema else "anything"))


def _object_names(schema: Schema) -> tuple[str, ...]:
    return tuple(schema.get("properties", {}).get("object", {}).get("enum", ()))


def _flat(lists: Iterable[list[str]]) -> list[str]:
    return [problem for problems in lists for problem in problems]


def _is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).tzinfo is not None
    except ValueError:
        return False


_Fits = Callable[[Any], bool]

_JSON_KINDS: dict[str, _Fits] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "anything": lambda _value: True,
}
_TEXT_KINDS: dict[str, _Fits] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, str) and _INTEGER.fullmatch(value) is not None,
    "number": lambda value: isinstance(value, str) and _DECIMAL.fullmatch(value) is not None,
    "boolean": lambda value: value in ("true", "false"),
    "anything": lambda _value: True,
}
_FORMATS: dict[str, Callable[[str], bool]] = {
    "decimal": lambda text: _DECIMAL.fullmatch(text) is not None,
    "currency": lambda text: _CURRENCY.fullmatch(text) is not None,
    "unix-time": lambda text: not text.startswith("-"),
    "int64": lambda text: _INTEGER.fullmatch(text) is not None,
    "date-time": _is_instant,
}
