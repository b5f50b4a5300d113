"""The prober's benchmark runs, and reports what it says it does."""

import pytest

from uptime.bench import probe


@pytest.mark.parametrize("kind", probe.KINDS_MEASURED)
def test_the_benchmark_reports_its_keys(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = probe.run({"kind": kind, "url": None, "count": 20, "concurrency": 5})
    assert result.keys() == probe.KEYS.keys()
    assert result["errors"] == 0
    assert f"20 {kind} checks" in capsys.readouterr().out
