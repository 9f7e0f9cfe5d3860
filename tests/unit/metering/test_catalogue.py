"""Who and what is known at a place of the log."""

from __future__ import annotations

import pytest

from metering.catalogue import Catalogue, Organization
from tests.unit.metering.builders import meter

FIRST = Organization("org-1", "acme", (0, 0), (100, 50))
SECOND = Organization("org-2", "acme", (100, 50), None)
OTHER = Organization("org-3", "other")


@pytest.mark.parametrize(
    ("slug", "partition", "position", "expected"),
    [
        ("acme", 0, 99, FIRST),
        ("acme", 0, 100, SECOND),
        ("acme", 1, 49, FIRST),
        ("acme", 1, 50, SECOND),
        ("other", 1, 0, OTHER),
        ("nobody", 0, 0, None),
    ],
)
def test_a_slug_is_who_holds_it_there(slug: str, partition: int, position: int, expected: Organization | None) -> None:
    catalogue = Catalogue(1, (OTHER, SECOND, FIRST))
    assert catalogue.organization_by_slug(slug, partition, position) == expected


def test_meters_are_those_in_force_of_the_organization_and_type() -> None:
    early = meter(id="b", organization_id="org-1", archived_positions=(10, 0))
    late = meter(id="a", organization_id="org-1", effective_positions=(5, 5))
    catalogue = Catalogue(
        1,
        (FIRST,),
        (
            early,
            late,
            meter(id="c", organization_id="org-1", event_type="other"),
            meter(id="d", organization_id="org-2"),
        ),
    )
    assert catalogue.meters_for("org-1", "request", 0, 4) == (early,)
    assert catalogue.meters_for("org-1", "request", 0, 5) == (late, early)
    assert catalogue.meters_for("org-1", "request", 0, 10) == (late,)
    assert catalogue.meters_for("org-1", "request", 1, 0) == ()
    assert catalogue.meters_for("org-1", "unheard", 0, 5) == ()
