"""What is packed comes back as it was, and is small."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.packing import Check, Packed, pack

instants = st.integers(-(2**55), 2**55)
durations = st.none() | st.integers(0, 2**40)
texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)

checks = st.builds(
    Check,
    checked_us=instants,
    due_us=instants,
    attempt=st.integers(0, 1000),
    status=st.sampled_from(["up", "degraded", "down", "unknown"]),
    reason=texts,
    message=texts,
    http_status=st.none() | st.integers(0, 999),
    cert_expires_us=st.none() | instants,
    latency_us=durations,
    dns_us=durations,
    connect_us=durations,
    tls_us=durations,
    first_byte_us=durations,
    transfer_us=durations,
    id=st.none() | st.uuids().map(str),
)


@given(st.lists(checks, min_size=1, max_size=30))
def test_whatever_is_packed_comes_back(some: list[Check]) -> None:
    packed = Packed(pack(some))

    assert packed.count == len(some)
    assert packed.checks() == some
    assert packed.check(len(some) - 1) == some[-1]
    assert packed.column("latency_us") == [one.latency_us for one in some]


def day_of_checks(chance: Random) -> list[Check]:
    """A day of https checks over the internet, once a minute, a few of them failing."""

    def around(middle_us: int, spread_us: int) -> int:
        return int(middle_us * chance.lognormvariate(0, spread_us / middle_us))

    made = []
    for n in range(1440):
        due_us = 1_772_323_200_000_000 + 17_000 + n * 60_000_000
        is_down = chance.random() < 0.01
        phases = [
            around(5_000, 2_000),
            around(20_000, 2_000),
            around(40_000, 5_000),
            around(120_000, 15_000),
            around(300, 100),
        ]
        made.append(
            Check(
                checked_us=due_us + 200 + int(chance.expovariate(1 / 800)),
                due_us=due_us,
                attempt=0,
                status="down" if is_down else "up",
                reason="http_status" if is_down else None,
                message="The answer had the status 503." if is_down else None,
                http_status=503 if is_down else 200,
                cert_expires_us=1_780_000_000_000_000,
                latency_us=sum(phases) + chance.randrange(3),
                dns_us=phases[0],
                connect_us=phases[1],
                tls_us=phases[2],
                first_byte_us=phases[3],
                transfer_us=phases[4],
                id=None,
            )
        )
    return made


def test_a_result_takes_less_than_twelve_bytes() -> None:
    day = day_of_checks(Random(1))

    assert len(pack(day)) / len(day) < 12


def test_another_versions_payload_is_refused() -> None:
    payload = pack(day_of_checks(Random(1))[:1])

    with pytest.raises(ValueError, match="form 9"):
        Packed(b"\x09" + payload[1:])
