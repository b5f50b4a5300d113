"""The prober's benchmark runs, and reports what it says it does."""

import pytest

from probe.kinds import KINDS
from uptime.bench import probe

SECURED = ["https", "tls"]


@pytest.mark.parametrize("kind", ["http", *SECURED])
def test_the_benchmark_reports_its_keys(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = probe.run({"kind": kind, "url": None, "count": 20, "concurrency": 5})
    assert result.keys() == probe.KEYS.keys()
    assert result["errors"] == 0
    assert f"20 {kind} checks" in capsys.readouterr().out


@pytest.mark.parametrize("kind", sorted({*probe.KINDS_MEASURED} - {"http", *SECURED}))
def test_each_kind_finds_its_target_up(kind: str) -> None:
    """In this process, as a process of its own for each would take a minute in all."""
    with probe.loopback(kind) as (url, _environment):
        result = probe.main({"url": url, "count": 10, "concurrency": 5})
    assert result["errors"] == 0
    assert result["floor_cpu_ms_per_probe"] > 0


def test_each_kind_that_probes_is_measured() -> None:
    probing = {name for name, kind in KINDS.items() if kind.has_target}
    assert probing <= {*probe.KINDS_MEASURED}
