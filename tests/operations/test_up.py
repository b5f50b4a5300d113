"""One command starts all of it, keeps it running and leaves nothing behind."""

import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.operations.product import Product, wait_until
from uptime.environment import BASE_DIR

# They start many processes each: one after the other, on one of the test run's workers.
pytestmark = pytest.mark.xdist_group("operations")

STOP_WITHIN_S = 20


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    product = Product(tmp_path_factory.mktemp("a place with spaces"))
    yield product
    product.kill_all()


@pytest.fixture
def running(installation: Product) -> Product:
    """The installation, started if it is not running."""
    if installation.process is None or installation.process.poll() is not None:
        installation.start()
    return installation


def test_the_first_start_tells_address_login_and_password(installation: Product) -> None:
    installation.start()
    assert f"http://localhost:{installation.port}" in installation.said
    assert "admin@localhost" in installation.said
    assert re.search(r"Password  [a-z0-9]{5}(-[a-z0-9]{5}){3}", installation.said)
    assert installation.page() == 200


@pytest.mark.parametrize("name", ["web", "worker checks", "worker default", "postgres"])
def test_a_killed_process_comes_back_and_the_rest_goes_on(running: Product, name: str) -> None:
    before = {name: running.child(name) for name in ("web", "worker", "postgres")}
    victim = running.child(f"{name} ?")
    assert victim is not None
    victim.kill()
    wait_until(lambda: running.child(f"{name} ?") not in (None, victim))
    wait_until(lambda: running.page("/health/live") == 200)
    wait_until(lambda: running.page() == 200)
    for other, process in before.items():
        if not name.startswith(other):
            assert running.child(other) == process


@pytest.mark.parametrize("name", ["web", "worker checks", "worker default"])
def test_what_a_killed_process_started_ends_with_it(running: Product, name: str) -> None:
    wait_until(lambda: running.family(name)[1:])
    victim, *orphans = running.family(name)
    victim.kill()
    _, alive = psutil.wait_procs(orphans, timeout=5)
    assert not alive
    wait_until(lambda: running.child(name) not in (None, victim))


def test_a_killed_web_worker_comes_back(running: Product) -> None:
    wait_until(lambda: len(running.family("web")) == 3)
    web, victim, other = running.family("web")
    victim.kill()

    def replaced() -> bool:
        family = running.family("web")
        return len(family) == 3 and victim not in family and {web, other} < set(family)

    wait_until(replaced)


def test_a_cluster_that_lost_an_idle_worker_is_renewed(running: Product) -> None:
    """The killed worker held the lock of its queue: the others would never hear of a task again."""
    wait_until(lambda: running.page("/health/ready") == 200)
    worker = running.child("worker checks")
    assert worker is not None
    wait_until(lambda: len(worker.children()) == 1)
    (sentinel,) = worker.children()
    first_two = sorted(sentinel.children(), key=lambda child: (child.create_time(), child.pid))[:2]
    min(first_two, key=lambda child: child.cpu_times().user).kill()
    wait_until(lambda: sentinel not in worker.children() and worker.children())
    wait_until(lambda: running.page("/health/ready") == 200)
    assert running.child("worker checks") == worker


def test_sigterm_stops_everything_and_the_next_start_keeps_the_password(running: Product) -> None:
    assert stop(running, signal.SIGTERM) == 0
    running.start()
    assert "admin@localhost" in running.said
    assert "Password" not in running.said


def test_nothing_outlives_a_killed_supervisor_and_the_next_start_works(running: Product) -> None:
    assert running.process is not None
    running.process.kill()
    running.process.wait()
    running.start()
    assert running.page() == 200
    everybody = {process.pid for process in running.processes()}
    tree = {child.pid for child in psutil.Process(running.process.pid).children(recursive=True)}
    assert everybody <= tree | {running.process.pid}


def test_after_all_were_killed_the_next_start_works(running: Product) -> None:
    running.kill_all()
    running.start()
    assert running.page() == 200


def test_ctrl_c_and_a_closed_terminal_stop_everything(running: Product) -> None:
    assert stop(running, signal.SIGINT) == 0
    terminal = start_in_terminal(running)
    os.close(terminal)
    wait_until_gone(running, time.monotonic() + STOP_WITHIN_S)


def stop(product: Product, wish: signal.Signals) -> int:
    """Send the signal, wait for the end of every process, return the exit status."""
    assert product.process is not None
    deadline = time.monotonic() + STOP_WITHIN_S
    product.process.send_signal(wish)
    status = product.process.wait(STOP_WITHIN_S)
    wait_until_gone(product, deadline)
    return status


def wait_until_gone(product: Product, deadline: float) -> None:
    assert product.process is not None
    product.process.wait(max(0, deadline - time.monotonic()))
    assert product.processes() == []
    assert not Path(f"{product.directory}/postgres/postmaster.pid").exists()


def start_in_terminal(product: Product) -> int:
    """Start it in a terminal of its own; returns the terminal, to be closed."""
    master, slave = pty.openpty()
    with product.output.open("wb"):
        pass

    def spawn(command: list[str]) -> subprocess.Popen[bytes]:
        # setsid --ctty makes the terminal the controlling one, whose closing hangs up
        quoted = " ".join(f"'{word}'" for word in command)
        return subprocess.Popen(
            ["setsid", "--ctty", "sh", "-c", f"exec {quoted} > '{product.output}'"],
            cwd=BASE_DIR,
            env=product.env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )

    product.start_with(spawn)
    os.close(slave)
    return master
