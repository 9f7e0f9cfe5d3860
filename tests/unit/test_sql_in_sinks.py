"""SQL is written in `sinks/` and nowhere else: whoever looks for what a store is asked finds it there."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
    "packages"
]
# Measurements fill and ask stores as nobody else does.
ANYWHERE = {"sinks", "benchmarks"}
EXEMPT = {
    "devstack/postgres.py": "makes the database itself, before there is a schema",
    "devstack/stripe_simulator/storage.py": "keeps the simulator's objects in an SQLite file of its own",
    "devstack/clickhouse_server/app.py": "is a server of ClickHouse's engine",
    "devstack/clickhouse_server/readers.py": "is a server of ClickHouse's engine",
}
SQL = re.compile(
    r"\s*(select\s+(\d|.*\bfrom\b)|insert\s+into\s|update\s+\S+\s+set\s|delete\s+from\s|with\s+\w+\s+as\s*\("
    r"|(create|alter|drop)\s+(or\s+replace\s+)?(unique\s+)?(table|database|index|role|schema|view|function|policy)\s"
    r"|truncate\s+\w|set\s+(local|role|session)\s|(un)?listen\s+\w+\s*$|notify\s+\w+\s*$|grant\s.*\bto\b|explain\s)",
    re.IGNORECASE | re.DOTALL,
)


def statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module that look like SQL, with their lines; docstrings are prose."""
    tree = ast.parse(text)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in prose:
            continue
        written = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
        if isinstance(written, str) and SQL.match(written):
            yield node.lineno, written


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", [package for package in PACKAGES if package not in ANYWHERE])
def test_there_is_none_elsewhere(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text[:60]}"
        for path in modules(package)
        if str(path.relative_to(ROOT)) not in EXEMPT
        for line, text in statements(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize("path", EXEMPT)
def test_exemptions_are_needed(path: str) -> None:
    assert list(statements((ROOT / path).read_text())) != []


@pytest.mark.parametrize(
    ("text", "is_sql"),
    [
        ("x = 'select id from customers'", True),
        ("x = f'select id from {table}'", True),
        ("x = b'\\n  SELECT 1'", True),
        ("run('update customers set name = 1')", True),
        ("run('create table a (b int)')", True),
        ("run('set local role owner')", True),
        ("'select a from b'", False),  # a docstring
        ("x = 'Select a plan'", False),
        ("x = 'Create a meter, or try one out'", False),
        ("x = 'Update the customer with a payment method'", False),
    ],
)
def test_it_is_told_from_prose(text: str, is_sql: bool) -> None:
    assert bool(list(statements(text))) is is_sql
