"""The embedded PostgreSQL, in the places and states that an operator brings it into."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from uptime import embedded
from uptime.embedded import Embedded, EmbeddedError


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    """A cluster below directories that only their owner may enter, one of them with a space."""
    home = tmp_path_factory.mktemp("only mine")
    home.chmod(0o700)
    made = Embedded(data=home / "postgres", socket=home / "run")
    made.prepare()
    return made


@contextmanager
def running(server: Embedded) -> Iterator[subprocess.Popen[bytes]]:
    process = server.start()
    try:
        server.wait_until_ready(process)
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)


def ask(server: Embedded, question: str) -> object:
    with psycopg.connect(server.dsn) as connection:
        row = connection.execute(question).fetchone()
        assert row is not None
        return row[0]


def test_it_listens_on_its_socket_alone_and_keeps_commits(server: Embedded) -> None:
    with running(server):
        assert ask(server, "SHOW listen_addresses") == ""
        assert ask(server, "SHOW server_version").startswith(embedded.VERSION)  # type: ignore[attr-defined]
        assert ask(server, "SHOW unix_socket_permissions") == "0700"
        assert server.socket.stat().st_mode & 0o077 == 0
        assert server.data.stat().st_mode & 0o077 == 0


def test_a_failed_statement_leaves_no_value_in_its_log(server: Embedded) -> None:
    with running(server), pytest.raises(psycopg.Error):
        ask(server, 'SELECT 1 / 0 AS "hunter2"')
    assert "hunter2" not in server.log.read_text()


def test_it_starts_again_after_its_first_process_was_killed(server: Embedded) -> None:
    killed = server.start()
    server.wait_until_ready(killed)
    killed.kill()
    killed.wait()
    deadline = time.monotonic() + 10
    while True:
        try:
            with running(server):
                return
        except EmbeddedError:  # the last of its processes is still about to notice
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_lock_file_that_names_a_stranger_is_no_obstacle(server: Embedded) -> None:
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n")
    with running(server):
        assert ask(server, "SELECT 1") == 1


def test_a_server_that_was_left_behind_makes_way(server: Embedded) -> None:
    left = server.start()
    server.wait_until_ready(left)
    with running(server):
        assert left.wait(10) == 0
        assert ask(server, "SELECT 1") == 1


def test_its_log_is_bounded_while_it_runs(
    server: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(server):
        monkeypatch.setattr(embedded, "LOG_BYTES", 100)
        server.bound_log()
        assert server.log.stat().st_size == 0
        assert server.log.with_suffix(".log.1").stat().st_size > 100
    assert b"\0" not in server.log.read_bytes()


def test_data_whose_permissions_a_copy_loosened_starts_again(
    server: Embedded, tmp_path: Path
) -> None:
    shutil.copytree(server.data, tmp_path / "postgres")
    subprocess.run(["chmod", "-R", "a+rX", tmp_path / "postgres"], check=True)
    copied = Embedded(data=tmp_path / "postgres", socket=tmp_path / "run")
    copied.prepare()
    with running(copied):
        assert ask(copied, "SELECT 1") == 1
    assert copied.data.stat().st_mode & 0o077 == 0


def test_an_interrupted_first_start_is_begun_anew(tmp_path: Path) -> None:
    server = Embedded(data=tmp_path / "postgres", socket=tmp_path / "run")
    half = tmp_path / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text(f"{embedded.VERSION}\n")
    server.prepare()
    with running(server):
        assert ask(server, "SELECT 1") == 1


def test_another_version_s_data_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedError, match="made by PostgreSQL 16 and this is 18"):
        Embedded(data=data, socket=tmp_path / "run").prepare()


def test_a_socket_directory_that_somebody_else_laid_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EmbeddedError, match="belongs to another user"):
        Embedded(data=tmp_path / "postgres", socket=tmp_path / "run").prepare()


def test_a_predecessor_that_does_not_stop_when_told_is_ended(
    server: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was told in the midst of its recovery."""
    monkeypatch.setattr(embedded, "ENDINGS", ((signal.SIGINT, 0.2), (signal.SIGQUIT, 10)))
    deaf = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        # a shell's background job ignores it, and so do its children
        "signal.signal(signal.SIGQUIT, signal.SIG_DFL); print(1, flush=True);"
    )
    with subprocess.Popen(
        [sys.executable, "-c", f"{deaf} signal.pause()"], cwd=server.data, stdout=subprocess.PIPE
    ) as predecessor:
        assert predecessor.stdout is not None
        predecessor.stdout.readline()
        reaping = threading.Thread(target=predecessor.wait)
        reaping.start()
        (server.data / "postmaster.pid").write_text(f"{predecessor.pid}\n")
        try:
            with running(server):
                assert predecessor.returncode == -signal.SIGQUIT
        finally:
            predecessor.kill()
            reaping.join()
