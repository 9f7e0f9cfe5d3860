"""Advisory locks: blocks hold their partition's shared, whoever changes the catalogue holds all of them exclusively."""

from __future__ import annotations

PARTITION_LOCK = 1_297_306_437
"""First key of the two; the second is the partition. Always taken in ascending order: two takers cannot deadlock."""

LOAD_LOCK = 1_297_306_438
"""Held for its session by whoever writes a partition's warehouse loads; the second key is the partition."""

FOLD_LOCK = 1_297_306_439
"""Shared while journal rows are folded; a rebuild, which follows the journal's boundaries, holds it exclusively."""

REBUILD_LOADS_LOCK = 1_297_306_440
"""Held exclusively while ClickHouse is rebuilt: loaders, which look at it before each load, give their claims up."""
