"""What thin events (v2) carry as `data`, which Stripe's document leaves open: written from classes of stripe 16.1.0,
`V1BillingMeterErrorReportTriggeredEvent` and `V1BillingMeterNoMeterFoundEvent`."""

from __future__ import annotations

from tests.contract.schema_walk import Schema


def _record(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _records(**properties: Schema) -> Schema:
    return {"type": "array", "items": _record(**properties)}


_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer"}
_INSTANT: Schema = {"type": "string", "format": "date-time"}
_CODE: Schema = {
    "type": "string",
    "enum": [
        "archived_meter",
        "meter_event_customer_not_found",
        "meter_event_dimension_count_too_high",
        "meter_event_invalid_value",
        "meter_event_no_customer_defined",
        "meter_event_value_too_many_digits",
        "missing_dimension_payload_keys",
        "no_meter",
        "timestamp_in_future",
        "timestamp_too_far_in_past",
    ],
}
_SAMPLE = _records(error_message=_TEXT, request=_record(identifier=_TEXT))
_METER_ERRORS = _record(
    developer_message_summary=_TEXT,
    validation_start=_INSTANT,
    validation_end=_INSTANT,
    reason=_record(
        error_count=_COUNT,
        error_types=_records(code=_CODE, error_count=_COUNT, sample_errors=_SAMPLE),
    ),
)

DATA_OF_THIN_EVENTS: dict[str, Schema] = {
    "v1.billing.meter.error_report_triggered": _METER_ERRORS,
    "v1.billing.meter.no_meter_found": _METER_ERRORS,
}
THIN_EVENTS_WITHOUT_OBJECT = frozenset({"v1.billing.meter.no_meter_found"})
