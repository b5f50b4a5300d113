"""Percentiles from buckets are near those of the values, and buckets can be merged."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.histograms import Latencies, packed, unpacked

latencies = st.lists(st.floats(0, 120_000), min_size=1, max_size=200)


@given(latencies, st.floats(0.001, 1))
def test_percentiles_are_within_four_percent_of_the_nearest_rank(
    values: list[float], rank: float
) -> None:
    exact = sorted(values)[max(1, math.ceil(rank * len(values))) - 1]

    [found] = Latencies.of(values).percentiles_ms([rank])

    assert found == pytest.approx(exact, rel=0.04, abs=0.002)


@given(latencies, latencies)
def test_merged_they_are_as_if_counted_together(some: list[float], others: list[float]) -> None:
    merged, together = Latencies.of(some), Latencies.of(some + others)
    merged.add(Latencies.of(others))

    assert merged.buckets == together.buckets
    assert (merged.min_ms, merged.max_ms) == (together.min_ms, together.max_ms)
    assert merged.sum_ms == pytest.approx(together.sum_ms)


@given(latencies, latencies)
def test_stored_they_add_up_as_numbers(some: list[float], others: list[float]) -> None:
    one, other = Latencies.of(some).buckets, Latencies.of([*others, 9e9]).buckets

    # beyond the digits that a sum of decimals has here by default
    total = Decimal(int(packed(one)) + int(packed(other)))

    assert unpacked(packed(one)) == one
    assert unpacked(total) == one + other


def test_of_nothing_there_are_no_figures() -> None:
    nothing = Latencies.of([])

    assert nothing.avg_ms is None
    assert nothing.percentiles_ms([0.5, 0.99]) == [None, None]
    assert unpacked(packed(nothing.buckets)) == {}
