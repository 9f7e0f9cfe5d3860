from __future__ import annotations

from api.usage.dry_runs import try_meter
from metering.meters import build_meter

METER = build_meter(
    id="m",
    organization_id="o",
    slug="tokens",
    event_type="t",
    aggregation="SUM",
    value_property="$.n",
    group_by={"model": "$.model"},
    filters=[{"property": "$.skip", "operator": "exists", "value": False}],
)


def test_every_event_is_a_hit_a_failure_or_filtered() -> None:
    report = try_meter(
        METER,
        [
            ("a", b'{"data": {"n": 1.50, "model": "small"}}'),
            ("b", b'{"data": {"n": true}}'),
            ("c", b'{"data": {"skip": 1}}'),
            ("d", b"{}"),
        ],
    )
    assert report == {
        "events": 4,
        "hits": 1,
        "filtered": 1,
        "failures": 2,
        "failure_codes": {"METER_VALUE_INVALID": 1, "METER_VALUE_MISSING": 1},
        "hit_examples": [{"id": "a", "value": "1.5", "groups": {"model": "small"}}],
        "failure_examples": [
            {"id": "b", "code": "METER_VALUE_INVALID", "message": report["failure_examples"][0]["message"]},
            {"id": "d", "code": "METER_VALUE_MISSING", "message": report["failure_examples"][1]["message"]},
        ],
    }


def test_examples_are_few() -> None:
    report = try_meter(METER, ((str(number), b'{"data": {"n": 1}}') for number in range(100)))
    assert (report["hits"], len(report["hit_examples"])) == (100, 5)
    assert try_meter(METER, [])["events"] == 0
