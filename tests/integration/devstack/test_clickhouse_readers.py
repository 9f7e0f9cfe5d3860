"""The read-only user of dashboards: what it may see, and every way out that we know of is shut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.client import Client

from devstack.clickhouse import Clickhouse
from devstack.clickhouse_server.config import Reader
from devstack.ports import free_port

pytestmark = pytest.mark.integration

_MINE, _THEIRS = uuid4(), uuid4()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clickhouse]:
    reader = Reader(password="reader", organization=_MINE, max_result_rows=3000, max_execution_time_s=2)
    server = Clickhouse(tmp_path_factory.mktemp("clickhouse"), free_port(), "owner", reader)
    server.prepare()
    server.start()
    try:
        server.wait_ready()
        _fill(server)
        yield server
    finally:
        server.process.stop()


@pytest.fixture
def ask(server: Clickhouse) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, auth=("dashboards", "reader"), timeout=20) as client:
        yield client


def _fill(server: Clickhouse) -> None:
    owner = _owner(server)
    owner.command("create table usage (organization_id UUID, n Int32) engine = MergeTree order by n")
    owner.insert("usage", [[_MINE, 1], [_MINE, 2], [_THEIRS, 40]], column_names=["organization_id", "n"])
    owner.command("create view v_usage as select organization_id, sum(n) as total from usage group by organization_id")
    owner.command("create database secret engine = Atomic")
    owner.command("create table secret.t (n Int32) engine = MergeTree order by n")
    owner.command("insert into secret.t values (99)")
    owner.close()


def _owner(server: Clickhouse) -> Client:
    return clickhouse_connect.get_client(dsn=server.url, password="owner", database="meterstream")


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("select sum(n) from usage", "3\n"),
        ("select total from v_usage", "3\n"),
        ("with u as (select * from meterstream.usage) select max(n) from u as x", "2\n"),
        ("select count() from usage where n in (select n from usage)", "2\n"),
        ("-- a comment\nselect 'Function file' format TSV", "Function file\n"),
        ("/* why */ (select 1)", "1\n"),
        ("show tables", "usage\nv_usage\n"),
        ("exists table usage", "1\n"),
        ("describe table usage", "organization_id\tUUID\t\t\t\t\t\nn\tInt32\t\t\t\t\t\n"),
        ("select name from system.tables where database = 'meterstream' order by name", "usage\nv_usage\n"),
    ],
)
def test_reads_its_own_rows(ask: httpx.Client, sql: str, answer: str) -> None:
    assert ask.post("/", content=sql).text == answer


@pytest.mark.parametrize(
    "sql",
    [
        "insert into usage values ('00000000-0000-0000-0000-000000000000', 5)",
        "drop table usage",
        "select 1; select 2",
        "select 1; drop table usage",
        "set readonly = 0",
        "use secret",
        "select 1 settings readonly = 0",
        "select sum(n) from usage settings additional_table_filters = {}",
        "select 1 into outfile '/tmp/meterstream-out'",
        "select * from file('/etc/passwd', 'LineAsString')",
        "select file('/etc/passwd')",
        "select `file`('/etc/passwd')",
        "select FILE('/etc/passwd') format Parquet",
        "select * apply(x -> file(x)) from (select '/etc/passwd' as p)",
        "select arrayMap(x -> file(x), ['/etc/passwd'])",
        "with file('/etc/passwd') as f select f",
        "select * from `/etc/passwd`",
        "describe file('/etc/passwd', 'LineAsString')",
        "select * from url('http://127.0.0.1:1/', 'LineAsString')",
        "select * from remote('127.0.0.1', 'system', 'one')",
        "select * from numbers(3)",
        "select * from merge('meterstream', 'usage')",
        "select * from executable('ls', 'TSV', 'a String')",
        "select * from secret.t",
        "select * from `secret`.`t`",
        "select n from usage where n in secret.t",
        "select joinGet('secret.t', 'n', 1)",
        "select dictGet('secret.d', 'n', 1)",
        "describe table secret.t",
        "exists table secret.t",
        "show tables from secret",
        "show create table usage",
        "show processlist",
        "select * from system.parts",
        "select * from system.processes",
        "select * from (explain select 1)",
        "explain select 1",
        "kill query where 1",
        "system flush logs",
        "backup database meterstream to disk('x', 'y')",
        "create temporary table x (a Int8)",
        "grant select on *.* to default",
    ],
)
def test_refuses_every_way_out(ask: httpx.Client, sql: str) -> None:
    answer = ask.post("/", content=sql)
    assert answer.status_code >= 400, answer.text
    # 60: the engine takes a path in quotes for a table that does not exist.
    assert int(answer.headers["X-ClickHouse-Exception-Code"]) in {60, 62, 164, 497}, answer.text


def test_named_parameters_cannot_name_another_database(ask: httpx.Client) -> None:
    arguments = {"query": "select * from {d:Identifier}.{t:Identifier}", "param_d": "secret", "param_t": "t"}
    assert ask.get("/", params=arguments).headers["X-ClickHouse-Exception-Code"] == "497"


def test_settings_and_database_of_the_request_are_refused(ask: httpx.Client) -> None:
    for arguments in ({"readonly": "0"}, {"max_result_rows": "0"}, {"database": "secret"}):
        assert ask.get("/", params={"query": "select 1", **arguments}).headers["X-ClickHouse-Exception-Code"] == "164"


def test_rows_and_time_are_limited(ask: httpx.Client) -> None:
    too_many = ask.post("/", content="select number from system.numbers limit 5000")
    assert too_many.headers["X-ClickHouse-Exception-Code"] == "396"
    too_long = ask.post("/", content="select count() from system.numbers where number % 7 = 8")
    assert too_long.headers["X-ClickHouse-Exception-Code"] == "159"


def test_a_table_made_later_is_filtered_too(server: Clickhouse, ask: httpx.Client) -> None:
    owner = _owner(server)
    owner.command("create table later (organization_id UUID, n Int32) engine = MergeTree order by n")
    owner.insert("later", [[_MINE, 1], [_THEIRS, 2]], column_names=["organization_id", "n"])
    for _ in range(6):
        assert ask.post("/", content="select groupArray(n) from later").text == "[1]\n"
    owner.command("drop table later sync")
    owner.close()


def test_grafana_s_client_can_connect(server: Clickhouse) -> None:
    client = clickhouse_connect.get_client(
        dsn=server.url, username="dashboards", password="reader", database="meterstream"
    )
    assert client.query("select n from usage order by n").result_rows == [(1,), (2,)]
    client.close()


def test_configuration_with_passwords_is_private(server: Clickhouse) -> None:
    path: Path = server.state_dir / "run" / "clickhouse.json"
    assert path.stat().st_mode & 0o077 == 0
