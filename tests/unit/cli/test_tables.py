"""A narrow terminal costs lines, never characters."""

from __future__ import annotations

import io

from rich.console import Console

from cli.tables import folding_table

ROW = ("usage.events.v1-3-1234567890123-a-meter", "an-organization-with-a-name", "a-meter-with-a-long-name")


def test_nothing_is_cut_off_in_a_narrow_terminal() -> None:
    table = folding_table("id", "organization", "meter")
    table.add_row(*ROW)
    out = io.StringIO()
    Console(file=out, width=40).print(table)
    lines = [line.split("│")[1:-1] for line in out.getvalue().splitlines() if line.startswith("│")]
    columns = zip(*lines, strict=True)
    assert tuple("".join(cell.strip() for cell in column) for column in columns) == ROW
