"""Home partitions: bit for bit Kafka's default partitioner."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2 as other_murmur2
from hypothesis import given
from hypothesis import strategies as st

from metering.partitions import home_partition, murmur2


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # org.apache.kafka.common.utils.UtilsTest.testMurmur2
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_kafka_vectors(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected & 0xFFFFFFFF


@given(st.binary(max_size=100))
def test_agrees_with_another_implementation(data: bytes) -> None:
    assert murmur2(data) == other_murmur2(data) & 0xFFFFFFFF


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50), st.integers(1, 1024))
def test_home_is_a_partition(subject: str, partitions: int) -> None:
    home = home_partition(subject, partitions)
    assert 0 <= home < partitions
    assert home == (other_murmur2(subject.encode()) & 0x7FFFFFFF) % partitions
