"""The demo's table, for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from devstack.demo.run import DemoReport


def print_report(console: Console, report: DemoReport) -> None:
    """Print what was compared, and the verdict."""
    table = Table("where", "what", "expected", "found", "", title=f"Recounted from the file: {report.organization}")
    for name in ("expected", "found"):
        next(column for column in table.columns if column.header == name).justify = "right"
    previous = ""
    for check in report.comparison.checks:
        if check.where != previous:
            table.add_section()
        mark = "[green]✓[/green]" if check.equal else "[bold red]✗[/bold red]"
        where = check.where if check.where != previous else ""
        table.add_row(where, check.what, check.expected, check.found, mark)
        previous = check.where
    console.print(table)
    for check in report.comparison.checks:
        if check.difference:
            console.print(f"[red]{check.where}, {check.what}:[/red] {check.difference}", soft_wrap=True)
    right = sum(check.equal for check in report.comparison.checks)
    total = len(report.comparison.checks)
    colour = "green" if report.comparison.equal else "red"
    console.print(f"[{colour}]{right} of {total} comparisons are equal[/{colour}], after {report.seconds:.1f} s.")
