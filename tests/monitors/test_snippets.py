"""The snippets do what they say, as far as they run without a service of the system's."""

import subprocess
import sys
from pathlib import Path

import pytest

from monitors.snippets import snippets_for

# Stands in for the network: says which address would have been asked.
_TOLD = """
import urllib.request
urllib.request.urlopen = lambda address, timeout: print(address)
"""


def run(job: str, folder: Path) -> list[str]:
    [snippet] = [one for one in snippets_for("http://ping") if one.id == "python"]
    script = folder / "job.py"
    script.write_text(f"{_TOLD}\ndef job():\n    {job}\n\n{snippet.text}")
    done = subprocess.run(
        [sys.executable, "-S", str(script)], capture_output=True, text=True, check=False
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("job", "end"),
    [
        ("pass", ""),
        ("raise ValueError", "/fail"),
        ("raise SystemExit(1)", "/fail"),
        ("raise SystemExit('no disk')", "/fail"),
        ("raise SystemExit", ""),
        ("raise KeyboardInterrupt", "/fail"),
    ],
)
def test_the_python_snippet_tells_how_a_job_ends(job: str, end: str, tmp_path: Path) -> None:
    assert run(job, tmp_path) == ["http://ping/start", f"http://ping{end}"]
