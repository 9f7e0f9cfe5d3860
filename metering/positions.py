"""Since when and until when something is in force, told by places of the log and not by a clock."""

from __future__ import annotations


def active(
    effective_positions: tuple[int, ...], archived_positions: tuple[int, ...] | None, partition: int, position: int
) -> bool:
    """Say whether a thing is in force at `position` of `partition`: from its effective position until its archived one.

    Positions are by partition. No effective positions: from the start of the log; no archived ones: not archived.
    """
    if effective_positions and position < effective_positions[partition]:
        return False
    return not archived_positions or position < archived_positions[partition]
