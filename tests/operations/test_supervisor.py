import pytest

from uptime.supervisor import decide_backoff


@pytest.mark.parametrize(
    ("failures", "wait_s"), [(0, 0), (1, 0), (2, 0.5), (3, 1), (4, 2), (6, 8), (7, 10), (50, 10)]
)
def test_the_first_death_costs_no_wait_and_no_wait_is_long(failures: int, wait_s: float) -> None:
    assert decide_backoff(failures) == wait_s
