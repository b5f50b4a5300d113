"""Processes are killed, connections cut and clocks wrong, and still the books balance."""

import json
from pathlib import Path

import pytest

from tests.operations.product import environment, free_port, run_command

# It takes the better part of a minute: beside the other long ones, not after them.
pytestmark = pytest.mark.xdist_group("faults")


def test_nothing_is_lost_or_doubled_whatever_is_killed(tmp_path: Path) -> None:
    env = environment(tmp_path, free_port())
    options = ("--seconds", "14", "--every", "1.3", "--seed", "7")
    run = run_command("bench", "faults", *options, env=env, within_s=400)
    assert run.returncode == 0, run.stdout + run.stderr
    figures = json.loads(run.stdout.splitlines()[-1])
    assert figures["discrepancies"] == 0
    assert figures["faults"] >= 5
    assert figures["results"] > 500
    assert figures["incidents"] > 0
    assert figures["deliveries"] >= 2 * figures["incidents"]
