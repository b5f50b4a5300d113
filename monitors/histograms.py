"""Latencies as counts in logarithmic buckets: small, mergeable, percentiles within 4 %.

Bucket `b` holds the latencies above `GROWTH ** (b - 1)` ms, up to and with `GROWTH ** b` ms. Told
as the bucket's middle, a latency is wrong by at most (GROWTH - 1) / (GROWTH + 1); this is the
sketch of Masson, Rim and Lee, DDSketch (VLDB 2019), without bounds to its size: from the smallest
to the largest latency there are some 250 buckets.

It is stored as one whole number, in which each bucket has twelve decimal digits of its own, the
lowest bucket the last ones. So the sum of such numbers is the histogram of all of them together,
and the database adds up a year of 2,000 monitors in a fraction of a second; bucket by bucket it
takes thirty times as long.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

GROWTH = 1.08
# What a clock does not resolve is counted as this.
SMALLEST_MS = 0.001

_LOG_GROWTH = math.log(GROWTH)
_MIDDLE = 2 / (GROWTH + 1)


def bucket_of(latency_ms: float) -> int:
    return math.ceil(math.log(max(latency_ms, SMALLEST_MS)) / _LOG_GROWTH)


_LOWEST = bucket_of(SMALLEST_MS)
# Of a bucket in a stored histogram: more checks than a bucket will ever have.
_DIGITS = 12


def packed(buckets: Mapping[int, int]) -> Decimal:
    """The histogram as it is stored."""
    places = range(max(buckets, default=_LOWEST), _LOWEST - 1, -1)
    return Decimal("".join(f"{buckets.get(bucket, 0):0{_DIGITS}}" for bucket in places))


def unpacked(histogram: Decimal) -> Counter[int]:
    """The buckets of a stored histogram, or of a sum of them."""
    digits = f"{histogram:f}"
    buckets: Counter[int] = Counter()
    # from the lowest that has any, in which these digits end
    empty = (len(digits) - len(digits.rstrip("0"))) // _DIGITS
    for place, end in enumerate(range(len(digits) - empty * _DIGITS, 0, -_DIGITS), empty):
        if checks := int(digits[max(0, end - _DIGITS) : end]):
            buckets[_LOWEST + place] = checks
    return buckets


# In SQL: the bucket of a `latency_ms` that is not null; so many `checks` in a `bucket`, stored; and
# the number of checks in a stored `histogram`: as with nines in decimals, it leaves the same
# remainder as the sum of its digits, if those are of twelve decimals each.
BUCKET_SQL = (
    f"ceil(ln(greatest(latency_ms::float8, {SMALLEST_MS})) / ln({GROWTH}::float8))::smallint"
)
PACKED_SQL = f"(checks || 'e' || {_DIGITS} * (bucket - {_LOWEST}))::numeric"
CHECKS_SQL = f"mod(histogram, {10**_DIGITS - 1})"


@dataclass(slots=True)
class Latencies:
    """The latencies of some checks, in milliseconds; more can be added."""

    sum_ms: float = 0.0
    min_ms: float | None = None
    max_ms: float | None = None
    buckets: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, latencies_ms: Iterable[float]) -> "Latencies":
        values = list(latencies_ms)
        return cls(
            sum_ms=math.fsum(values),
            min_ms=min(values, default=None),
            max_ms=max(values, default=None),
            buckets=Counter(map(bucket_of, values)),
        )

    @property
    def count(self) -> int:
        return self.buckets.total()

    @property
    def avg_ms(self) -> float | None:
        return self.sum_ms / self.count if self.buckets else None

    def add(self, other: "Latencies") -> None:
        self.sum_ms += other.sum_ms
        self.min_ms = _least(self.min_ms, other.min_ms)
        self.max_ms = _most(self.max_ms, other.max_ms)
        self.buckets.update(other.buckets)

    def percentiles_ms(self, ranks: Iterable[float]) -> list[float | None]:
        """For each rank (0.5 is the median) the latency that this share of checks did not exceed.

        The nearest rank, within 4 %; None where there are no latencies. Ranks must ascend.
        """
        return list(self._walk(sorted(self.buckets.items()), ranks))

    def _walk(
        self, ascending: list[tuple[int, int]], ranks: Iterable[float]
    ) -> Iterator[float | None]:
        place, passed = -1, 0
        for rank in ranks:
            wanted = max(1, math.ceil(rank * self.count))
            while passed < wanted and place + 1 < len(ascending):
                place += 1
                passed += ascending[place][1]
            yield self._within(GROWTH ** ascending[place][0] * _MIDDLE) if ascending else None

    def _within(self, estimate_ms: float) -> float:
        assert self.min_ms is not None
        assert self.max_ms is not None
        return min(max(estimate_ms, self.min_ms), self.max_ms)


def _least(one: float | None, other: float | None) -> float | None:
    return min((x for x in (one, other) if x is not None), default=None)


def _most(one: float | None, other: float | None) -> float | None:
    return max((x for x in (one, other) if x is not None), default=None)
