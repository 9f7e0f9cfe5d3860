"""Questions about usage against the domain's own arithmetic: every aggregation, zone, window, group and filter."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from metering.meters import Aggregation, Meter
from metering.readings import Reading
from metering.totals import Partial, Place
from metering.windows import WindowSize, load_zone, window_at
from runtime.errors import InvalidInput
from runtime.settings import ClickhouseSettings
from sinks.clickhouse.client import connect
from sinks.clickhouse.loads import LoadWriter
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.usage import EventPlace, UsageRow, find_events, list_group_values, list_subjects, query_meter
from tests.engines import TestStack
from tests.integration.sinks.clickhouse.rows import Used, events_table, values_table
from tests.unit.metering.builders import meter

pytestmark = pytest.mark.integration

TOPIC = "usage.events.v1"
SECOND = timedelta(seconds=1)
# Around a change of clocks in Berlin and New York, and a month's end.
BEGIN = datetime(2026, 10, 24, 20, 0, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Asia/Kolkata")


@pytest.fixture(scope="module")
def shared(stack: TestStack) -> Iterator[Client]:
    """One database for all examples: each has an organization of its own."""
    database = f"test_{uuid.uuid4().hex[:12]}"
    options = ClickhouseSettings(
        url=stack.clickhouse_url, password=SecretStr(stack.clickhouse_password), database=database
    )
    migrate(options)
    client = connect(options, service="test")
    yield client
    client.command(f"drop database {database} sync")
    client.close()


def a_meter(aggregation: str) -> Meter:
    """Return a meter of an organization that nobody else has."""
    groups = {"model": "$.model", "region": "$.region"}
    fresh = meter(aggregation, id=str(uuid.uuid4()), group_by=groups)
    return replace(fresh, organization_id=str(uuid.uuid4()))


_ids = iter(range(1, 1 << 60))


def store(client: Client, of: Meter, used: Sequence[Used], *, loads: int = 1) -> None:
    """Write readings in a few loads, as the warehouse does."""
    for part in range(loads):
        some = used[part::loads]
        events = events_table(of.organization_id, [one.place for one in some])
        LoadWriter(client, TOPIC).write(next(_ids), events, values_table(of, some))


def expected(
    of: Meter,
    used: Sequence[Used],
    *,
    from_at: datetime,
    to_at: datetime,
    size: WindowSize | None,
    zone: str,
    subjects: Sequence[str],
    by_subject: bool,
    group_by: Sequence[str],
    filters: dict[str, list[str]],
) -> list[UsageRow]:
    """Add up one by one, with the domain's own rules."""
    names = list(of.group_by)
    totals: dict[tuple[Any, ...], Partial] = {}
    for one in used:
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=one.place.time_us)
        groups = dict(zip(names, one.reading.groups, strict=True))
        wanted = not subjects or one.subject in subjects
        if not (from_at <= at < to_at) or not wanted or any(groups[k] not in v for k, v in filters.items()):
            continue
        start, end = from_at, to_at
        if size is not None:
            window = window_at(at, size, load_zone(zone))
            start, end = max(window.start, from_at), min(window.end, to_at)
        key = (start, end, one.subject if by_subject else "", tuple(groups[name] for name in group_by))
        totals.setdefault(key, Partial(of.aggregation)).add(one.reading, one.place)
    rows = []
    for (start, end, subject, shown), total in sorted(totals.items()):
        value = total.value()
        assert value is not None
        rows.append(UsageRow(value, start, end, subject or None, dict(zip(group_by, shown, strict=True))))
    return rows


quantities = st.one_of(
    st.decimals(min_value=Decimal(-(10**15) + 1), max_value=Decimal(10**15 - 1), places=18, allow_nan=False),
    st.sampled_from([Decimal(0), Decimal("0.000000000000000001"), Decimal("999999999999999.999999999999999999")]),
    st.integers(-5, 5).map(Decimal),
)
# Seconds from BEGIN; the edges of quarter hours, hours and days are likely.
moments = st.one_of(
    st.integers(0, 10 * 86_400_000_000),
    st.builds(lambda quarter, shift: quarter * 900_000_000 + shift, st.integers(0, 960), st.sampled_from([-1, 0, 1])),
).map(lambda us: max(us, 0))


@st.composite
def readings(draw: st.DrawFn, aggregation: str) -> list[Used]:
    """Draw what a meter read of some events; places are unique, as in a log."""
    used = []
    for offset in range(draw(st.integers(1, 25))):
        time_us = int(BEGIN.timestamp()) * 1_000_000 + draw(moments)
        reading = Reading(
            draw(quantities) if aggregation not in ("COUNT", "UNIQUE_COUNT") else None,
            draw(st.sampled_from(["a", "b", "ü", ""])) if aggregation == "UNIQUE_COUNT" else None,
            (draw(st.sampled_from(["", "gpt", "o'x\\"])), draw(st.sampled_from(["", "eu"]))),
        )
        subject = draw(st.sampled_from(["customer-1", "customer-2", "O'Hara \\ ü"]))
        used.append(Used(subject, Place(time_us, draw(st.integers(0, 2)), offset), reading))
    return used


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an interval, windows, subjects, groups and filters."""
    start = BEGIN + draw(st.sampled_from([timedelta(0), timedelta(hours=1), timedelta(minutes=7), 61 * SECOND / 2]))
    length = draw(st.sampled_from([timedelta(microseconds=1), timedelta(minutes=15), timedelta(hours=30),
                                   timedelta(days=9), timedelta(days=12, microseconds=1)]))  # fmt: skip
    size = draw(st.sampled_from([None, *WindowSize]))
    if size is WindowSize.MINUTE:
        length = min(length, timedelta(hours=30))
    return {
        "from_at": start,
        "to_at": start + length,
        "size": size,
        "zone": draw(st.sampled_from(ZONES)),
        "subjects": draw(st.sampled_from([[], ["customer-1"], ["O'Hara \\ ü", "customer-2"], ["nobody"]])),
        "group_by": draw(st.sampled_from([[], ["model"], ["region", "model"]])),
        "filters": draw(st.sampled_from([{}, {"model": ["gpt", "o'x\\"]}, {"region": [""], "model": ["gpt"]}])),
        "by_subject": draw(st.booleans()),
    }


@pytest.mark.parametrize("aggregation", list(Aggregation))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_answer_equals_the_domains_own(shared: Client, aggregation: str, data: st.DataObject) -> None:
    of = a_meter(aggregation)
    used = data.draw(readings(aggregation))
    store(shared, of, used, loads=data.draw(st.integers(1, 2)))
    for question in data.draw(st.lists(questions(), min_size=1, max_size=4)):
        by_subject = question["by_subject"] or len(question["subjects"]) == 1
        want = expected(of, used, **{**question, "by_subject": by_subject})
        got = query_meter(
            shared,
            of,
            organization_id=of.organization_id,
            from_at=question["from_at"],
            to_at=question["to_at"],
            window_size=question["size"],
            window_time_zone=question["zone"],
            subjects=question["subjects"],
            group_by=[*question["group_by"], *(["subject"] if question["by_subject"] else [])],
            filter_group_by=question["filters"],
        )
        assert got == want


def one(offset: int, at: datetime, value: str = "1", subject: str = "customer-1", model: str = "gpt") -> Used:
    """Return one reading."""
    return Used(subject, Place(round(at.timestamp() * 1e6), 0, offset), Reading(Decimal(value), None, (model, "eu")))


def test_windows_that_cut_quarter_hours_are_exact(shared: Client) -> None:
    """Monrovia's clock was 44 minutes and 30 seconds behind until 1972."""
    of = a_meter("SUM")
    start = datetime(1971, 5, 1, 0, 0, tzinfo=UTC)
    used = [one(i, start + timedelta(seconds=29 * i)) for i in range(600)]
    store(shared, of, used)
    common = {"from_at": start, "to_at": start + timedelta(hours=5), "zone": "Africa/Monrovia"}
    want = expected(
        of, used, **common, size=WindowSize.HOUR, subjects=[], by_subject=False, group_by=[], filters={}
    )  # fmt: skip
    got = query_meter(
        shared, of, organization_id=of.organization_id, from_at=common["from_at"], to_at=common["to_at"],
        window_size=WindowSize.HOUR, window_time_zone="Africa/Monrovia",
    )  # fmt: skip
    assert got == want
    assert got[1].window_start.minute == 44


def test_sums_beyond_38_digits_do_not_overflow(shared: Client) -> None:
    of, largest = a_meter("SUM"), "999999999999999.999999999999999999"
    store(shared, of, [one(i, BEGIN + i * SECOND, largest) for i in range(3_000)])
    rows = query_meter(
        shared, of, organization_id=of.organization_id, from_at=BEGIN, to_at=BEGIN + timedelta(hours=2)
    )  # fmt: skip
    assert [row.value for row in rows] == [Decimal("2999999999999999999.999999999999997000")]


def test_no_organization_sees_another(shared: Client) -> None:
    mine, theirs = a_meter("SUM"), a_meter("SUM")
    store(shared, theirs, [one(1, BEGIN)])
    span = {"from_at": BEGIN - SECOND, "to_at": BEGIN + SECOND}
    me = mine.organization_id
    assert query_meter(shared, theirs, organization_id=me, **span) == []
    assert list_group_values(shared, theirs, "model", organization_id=me) == []
    assert list_subjects(shared, organization_id=me) == []
    assert find_events(shared, organization_id=me) == []
    assert find_events(shared, organization_id=me, event_id="event-1", subject="customer-1") == []
    assert len(find_events(shared, organization_id=theirs.organization_id)) == 1


def test_answers_are_bounded_with_a_reason(shared: Client) -> None:
    of = a_meter("SUM")
    store(shared, of, [one(i, BEGIN + timedelta(minutes=i)) for i in range(30)])
    ask: dict[str, Any] = {"organization_id": of.organization_id, "from_at": BEGIN, "max_rows": 20}
    month = BEGIN + timedelta(days=30)
    with pytest.raises(InvalidInput, match="more than 20 windows"):
        query_meter(shared, of, **ask, to_at=month, window_size=WindowSize.MINUTE)
    store(shared, of, [one(50 + i, BEGIN, subject=f"s{i}") for i in range(5)])
    with pytest.raises(InvalidInput, match="more than 3 rows"):
        query_meter(shared, of, **{**ask, "max_rows": 3, "to_at": BEGIN + SECOND}, group_by=["model", "subject"])
    for wrong in ({"group_by": ["colour"]}, {"filter_group_by": {"colour": ["red"]}}, {"window_time_zone": "Mars/X"}):
        with pytest.raises(InvalidInput):
            query_meter(shared, of, **{**ask, "to_at": month}, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="before"):
        query_meter(shared, of, **{**ask, "to_at": BEGIN})


def test_group_values_and_subjects_come_in_pages(shared: Client) -> None:
    of = a_meter("SUM")
    used = [one(i, BEGIN + i * SECOND, subject=f"customer-{i % 3}", model=["", "b", "a"][i % 3]) for i in range(9)]
    store(shared, of, used)
    me = of.organization_id
    assert list_group_values(shared, of, "model", organization_id=me) == ["", "a", "b"]
    assert list_group_values(shared, of, "model", organization_id=me, limit=1) == [""]
    assert list_group_values(shared, of, "model", organization_id=me, after="", limit=1) == ["a"]
    assert list_group_values(shared, of, "model", organization_id=me, to_at=BEGIN - timedelta(hours=1)) == []
    assert list_subjects(shared, organization_id=me, limit=2) == ["customer-0", "customer-1"]
    assert list_subjects(shared, organization_id=me, after="customer-1") == ["customer-2"]


def test_events_are_found_newest_first_in_pages(shared: Client) -> None:
    me = str(uuid.uuid4())
    start_us = int(BEGIN.timestamp()) * 1_000_000
    # Two at each moment, over some days.
    places = [Place(start_us + i // 2 * 40_000_000_000, i % 2, i) for i in range(24)]
    writer = LoadWriter(shared, TOPIC)
    writer.write(next(_ids), events_table(me, places[:12]), values_table(a_meter("SUM"), []))
    writer.write(next(_ids), events_table(me, places[12:], subject="O'Hara"), values_table(a_meter("SUM"), []))
    newest_first = [f"event-{place.offset}" for place in sorted(places, reverse=True)]
    pages: list[str] = []
    before: EventPlace | None = None
    while page := find_events(shared, organization_id=me, before=before, limit=5):
        pages += [event.id for event in page]
        before = page[-1].place
    assert pages == newest_first
    (found,) = find_events(shared, organization_id=me, event_id="event-13")
    assert (found.subject, found.type, found.body) == ("O'Hara", "request", b'{"id": "event-13"}\xff')
    assert found.place.time == found.arrival_at == BEGIN + timedelta(seconds=6 * 40_000)
    assert len(find_events(shared, organization_id=me, subject="O'Hara")) == 12
    some = find_events(shared, organization_id=me, from_at=BEGIN, to_at=BEGIN + timedelta(seconds=40_000))
    assert {event.id for event in some} == {"event-0", "event-1"}
