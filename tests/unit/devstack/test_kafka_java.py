"""Kafka's jars are fetched once, however many ask for them at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import jgo
import pytest

from devstack.kafka_java import jars


def test_who_asks_at_once_waits_for_one_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []

    def build(coordinates: str, *, cache_dir: Path) -> SimpleNamespace:
        fetched.append(coordinates)
        cache_dir.mkdir()
        time.sleep(0.2)
        (cache_dir / "kafka.jar").write_bytes(b"")
        return SimpleNamespace(path=cache_dir)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(jgo, "build", build)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: jars(), range(4)))
    assert len(fetched) == 1
    assert found == [[tmp_path / "meterstream" / "jgo" / "kafka.jar"]] * 4
