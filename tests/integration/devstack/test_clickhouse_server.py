"""ClickHouse's HTTP interface over the embedded engine, as clickhouse-connect and plain HTTP clients use it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal

import clickhouse_connect
import httpx
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.engines import TestStack

pytestmark = pytest.mark.integration

_TABLE = """create table numbers (n UInt64, word String, price Decimal(76, 18), at DateTime64(6, 'UTC'))
engine = MergeTree order by n settings non_replicated_deduplication_window = 1000"""


@pytest.fixture
def http(stack: TestStack) -> Iterator[httpx.Client]:
    credentials = ("default", stack.clickhouse_password)
    with httpx.Client(base_url=stack.clickhouse_url, auth=credentials, timeout=20) as client:
        yield client


@pytest.fixture
def numbers(clickhouse: Client) -> Client:
    clickhouse.command(_TABLE)
    return clickhouse


def test_native_insert_keeps_every_digit(numbers: Client) -> None:
    row = [7, "häßlich\t\\'", Decimal("123456789012345.123456789012345678"), datetime(2026, 1, 2, 3, 4, 5, 678)]  # noqa: DTZ001
    summary = numbers.insert("numbers", [row], column_names=["n", "word", "price", "at"])
    assert summary.written_rows == 1
    assert numbers.query("select * from numbers").result_rows == [tuple(row)]


def test_arrow_and_raw_inserts(numbers: Client) -> None:
    numbers.insert_arrow("numbers", pa.table({"n": pa.array([1, 2], pa.uint64()), "word": ["a", "b"]}))
    numbers.raw_insert("numbers", ["n", "word"], b'{"n": 3, "word": "c"}\n', fmt="JSONEachRow")
    numbers.raw_insert("numbers", ["n", "word"], gzip.compress(b"4,d\n"), fmt="CSV", compression="gzip")
    numbers.raw_insert(
        "numbers", ["n", "word"], pa.compress(b"5\te\n", codec="lz4", asbytes=True), fmt="TSV", compression="lz4"
    )
    assert numbers.query("select groupArray(word) from (select word from numbers order by n)").result_rows == [
        (["a", "b", "c", "d", "e"],)
    ]


def test_large_insert_and_answer(numbers: Client) -> None:
    rows = 300_000
    numbers.insert_arrow("numbers", pa.table({"n": pa.array(range(rows), pa.uint64()), "word": ["x" * 20] * rows}))
    found = numbers.query_arrow("select n, word from numbers order by n")
    assert found.num_rows == rows
    assert found["n"][rows - 1].as_py() == rows - 1


def test_parameters_are_bound_by_type(clickhouse: Client) -> None:
    text = "it's \\ \t\n {x} ä"
    answer = clickhouse.query(
        "select {text:String}, {number:Int32} + 1, {many:Array(String)}",
        parameters={"text": text, "number": 41, "many": ["a'b", "c"]},
    )
    assert answer.result_rows == [(text, 42, ["a'b", "c"])]


def test_long_parameters_come_as_a_form(clickhouse: Client) -> None:
    names = [f"customer-{number:06d}-\"ä'" for number in range(2_000)]
    answer = clickhouse.query(
        "select length({names:Array(String)}), {names:Array(String)}[2000], {n:UInt8}", {"names": names, "n": 7}
    )
    assert answer.result_rows == [(2_000, names[-1], 7)]


def test_settings_last_for_one_query(clickhouse: Client) -> None:
    for _ in range(12):  # More than there are connections: whichever is used next has forgotten it.
        assert clickhouse.command("select getSetting('max_block_size')", settings={"max_block_size": 123}) == 123
        assert clickhouse.command("select getSetting('max_block_size')") != 123


def test_set_and_use_do_not_leak_into_other_requests(http: httpx.Client) -> None:
    for statement in ("set max_block_size = 77", "use system"):
        assert http.post("/", content=statement).status_code == 200
    for _ in range(12):
        answer = http.post("/", content="select getSetting('max_block_size') = 77, currentDatabase()")
        assert answer.text == "0\tdefault\n"


def test_a_repeated_deduplication_token_counts_once(numbers: Client) -> None:
    settings = {
        "insert_deduplication_token": "load-1",
        "async_insert": 0,
        "deduplicate_blocks_in_dependent_materialized_views": 1,
    }
    for _ in range(3):
        numbers.insert("numbers", [[1, "x"]], column_names=["n", "word"], settings=settings)
    numbers.insert("numbers", [[1, "x"]], column_names=["n", "word"], settings={**settings, **_token("load-2")})
    assert numbers.command("select count() from numbers") == 2


def _token(value: str) -> dict[str, str]:
    return {"insert_deduplication_token": value}


def test_errors_carry_the_engine_s_code(clickhouse: Client, http: httpx.Client) -> None:
    with pytest.raises(DatabaseError, match=r"Code: 60\. DB::Exception") as caught:
        clickhouse.query("select * from no_such_table")
    assert caught.value.code == 60
    answer = http.post("/", content="select nonsense(")
    assert answer.status_code == 400
    assert answer.headers["X-ClickHouse-Exception-Code"] == "62"
    assert answer.text.startswith("Code: 62. DB::Exception: ")


def test_a_malformed_insert_stores_nothing(numbers: Client) -> None:
    with pytest.raises(DatabaseError, match="Code: 27"):
        numbers.raw_insert("numbers", ["n", "word"], b'{"n": 1, "word": "a"}\n{"n": zz}\n', fmt="JSONEachRow")
    assert numbers.command("select count() from numbers") == 0


@pytest.mark.parametrize("body", [b"", b" format JSONEachRow\n"])
def test_rows_follow_the_statement_in_body_or_url(
    body: bytes, http: httpx.Client, numbers: Client, clickhouse_database: str
) -> None:
    rows = b'{"n": 5, "word": "format CSV in the data"}\n'
    statement = "insert into numbers (n, word)"
    if body:
        answer = http.post("/", params={"database": clickhouse_database}, content=statement.encode() + body + rows)
    else:
        arguments = {"database": clickhouse_database, "query": statement + " format JSONEachRow"}
        answer = http.post("/", params=arguments, content=rows)
    assert answer.status_code == 200, answer.text
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "1"
    assert numbers.command("select word from numbers") == "format CSV in the data"


def test_values_and_select_inserts(http: httpx.Client, numbers: Client, clickhouse_database: str) -> None:
    for arguments, body in (
        ({}, "insert into numbers (n, word) values (1, 'a'), (2, 'b')"),
        ({"query": "insert into numbers (n, word) values"}, "(3, 'c')"),
        ({}, "insert into numbers (n, word) select number + 4, 'd' from numbers(2)"),
    ):
        answer = http.post("/", params={"database": clickhouse_database, **arguments}, content=body)
        assert answer.status_code == 200, answer.text
    assert numbers.command("select sum(n) from numbers") == 1 + 2 + 3 + 4 + 5


@pytest.mark.parametrize("encoding", ["gzip", "lz4", "zstd"])
def test_answers_are_compressed_only_when_asked(encoding: str, stack: TestStack, http: httpx.Client) -> None:
    sql = "select number from numbers(5000) format TSV"
    plain = http.post("/", content=sql, headers={"Accept-Encoding": encoding})
    assert "Content-Encoding" not in plain.headers
    packed = http.build_request(
        "POST", "/", content=sql, params={"enable_http_compression": "1"}, headers={"Accept-Encoding": encoding}
    )
    answer = http.send(packed, stream=True)
    raw = b"".join(answer.iter_raw())
    assert answer.headers["Content-Encoding"] == encoding
    codec = {"gzip": "gzip", "lz4": "lz4", "zstd": "zstd"}[encoding]
    assert pa.CompressedInputStream(pa.BufferReader(raw), codec).read() == plain.content
    client = clickhouse_connect.get_client(
        dsn=stack.clickhouse_url, password=stack.clickhouse_password, compress=encoding
    )
    assert len(client.query("select number from numbers(5000)").result_rows) == 5000
    client.close()


def test_formats_and_content_types(http: httpx.Client) -> None:
    assert http.get("/", params={"query": "select 1 as a", "default_format": "JSONEachRow"}).json() == {"a": 1}
    answer = http.get("/", params={"query": "select 1 as a format JSON"})
    assert answer.json()["data"] == [{"a": 1}]
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["X-ClickHouse-Format"] == "JSON"


def test_passwords(stack: TestStack) -> None:
    good = stack.clickhouse_password
    with httpx.Client(base_url=stack.clickhouse_url, params={"query": "select 1"}) as anyone:
        assert anyone.get("/").status_code == 403
        assert anyone.get("/", auth=("default", "wrong")).headers["X-ClickHouse-Exception-Code"] == "516"
        assert anyone.get("/", headers={"Authorization": "Basic ???"}).status_code == 403
        assert anyone.get("/", auth=("nobody", good)).status_code == 403
        assert anyone.get("/", headers={"X-ClickHouse-User": "default", "X-ClickHouse-Key": good}).text == "1\n"
        with_password = {"query": "select 2", "user": "default", "password": good}
        assert anyone.get("/", params=with_password).text == "2\n"
        assert anyone.get("/ping", params={}).text == "Ok.\n"


def test_get_cannot_change_anything(http: httpx.Client, numbers: Client, clickhouse_database: str) -> None:
    for sql in ("insert into numbers (n) values (1)", "drop table numbers", "select 1; drop table numbers"):
        answer = http.get("/", params={"query": sql, "database": clickhouse_database})
        assert answer.headers["X-ClickHouse-Exception-Code"] == "164", sql
    assert numbers.command("exists table numbers") == 1


def test_queries_run_side_by_side(http: httpx.Client) -> None:
    def ask(number: int) -> int:
        return int(http.post("/", content=f"select sum(number) * 0 + {number} from numbers(1000000)").text)

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(ask, range(64))) == list(range(64))
