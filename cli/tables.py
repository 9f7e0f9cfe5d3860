"""Tables on a terminal: what does not fit goes on in the next line, so that no id is cut off."""

from __future__ import annotations

from rich.table import Column, Table


def folding_table(*headers: str) -> Table:
    """Return a table that has every character, however narrow the terminal is."""
    return Table(*(Column(header, overflow="fold") for header in headers))
