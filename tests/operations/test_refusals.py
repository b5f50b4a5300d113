"""What `up` refuses: one clear line, exit status 1, and nothing changed."""

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.operations.product import database_url, environment, free_port, run_command

# Root may write everywhere; without this right of its own it is held to permissions like others.
AS_ANYBODY = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
)

MIGRATIONS_TABLE = (
    "CREATE TABLE django_migrations (id serial PRIMARY KEY, app text, name text,"
    " applied timestamptz)"
)


def refusal_of(env: dict[str, str]) -> str:
    """The line that `up` says before it gives up."""
    done = run_command("up", env=env, prefix=AS_ANYBODY)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def contents(directory: Path) -> list[str]:
    return sorted(str(path) for path in directory.rglob("*"))


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refusal_of(environment(tmp_path / "data", port))
    assert said.startswith(f"Error: port {port} on 127.0.0.1 is in use")
    assert contents(tmp_path) == []


def test_a_data_directory_without_write_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    said = refusal_of(environment(tmp_path / "data", free_port()))
    assert said.startswith(f"Error: the data directory {tmp_path / 'data'} is not writable")
    assert contents(tmp_path) == []


def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    said = refusal_of(environment(tmp_path / "data", free_port()))
    assert "is not a directory" in said


def test_a_second_instance_on_the_same_directory(tmp_path: Path) -> None:
    with (tmp_path / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711\n")
        lock.flush()
        said = refusal_of(environment(tmp_path, free_port()))
    assert said.startswith(
        f"Error: another instance (process 4711) runs on the data directory {tmp_path}"
    )
    assert (tmp_path / "up.lock").read_text() == "4711\n"
    assert contents(tmp_path) == [str(tmp_path / "up.lock")]


def test_a_database_that_does_not_answer(tmp_path: Path) -> None:
    port = free_port()
    url = f"postgres://someone:hunter2@127.0.0.1:{port}/uptime"
    said = refusal_of(environment(tmp_path / "data", free_port(), DATABASE_URL=url))
    assert said.startswith(f"Error: the database at 127.0.0.1 port {port} (DATABASE_URL)")
    assert "refused" in said
    assert "hunter2" not in said
    assert contents(tmp_path) == []


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"DATABASE_URL": "mysql://someone:hunter2@h/x"}, "DATABASE_URL is not of the form"),
        ({"DATABASE_URL": "postgres://u:hunter2/x@h/x"}, "DATABASE_URL is not of the form"),
        ({"UPTIME_PORT": "hunter2"}, "UPTIME_PORT is 'hunter2' and not a number"),
        ({"UPTIME_HOST": "no.such.host.invalid"}, "is not an address of this machine"),
    ],
)
def test_a_variable_that_makes_no_sense(
    tmp_path: Path, variables: dict[str, str], sentence: str
) -> None:
    said = refusal_of({**environment(tmp_path / "data", free_port()), **variables})
    assert sentence in said
    assert contents(tmp_path) == []


@pytest.fixture
def scratch_database(tmp_path: Path, django_db_setup: None) -> Iterator[str]:
    """The address of a database of this test's own, on the server of the test run."""
    name = f"scratch_{os.getpid()}"
    with psycopg.connect(database_url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield database_url(name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "command", [("up",), ("setup",), ("migrate",), ("web",), ("worker", "checks")]
)
def test_a_database_newer_than_the_code(
    tmp_path: Path, scratch_database: str, command: tuple[str, ...]
) -> None:
    env = environment(tmp_path, free_port(), DATABASE_URL=scratch_database)
    with psycopg.connect(scratch_database, autocommit=True) as newer:
        newer.execute(MIGRATIONS_TABLE)
        newer.execute(
            "INSERT INTO django_migrations (app, name, applied)"
            " VALUES ('monitors', '9999_from_the_future', now())"
        )
        done = run_command(*command, env=env)
        row = newer.execute(
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchone()
    assert done.returncode == 1
    assert "Error: the database is newer than this version of the product" in done.stderr
    assert "monitors.9999_from_the_future" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert row == (1,)


@pytest.mark.django_db
@pytest.mark.parametrize("command", [("web",), ("worker", "default"), ("token", "a@b.example")])
def test_a_database_without_tables(
    tmp_path: Path, scratch_database: str, command: tuple[str, ...]
) -> None:
    env = environment(tmp_path, free_port(), DATABASE_URL=scratch_database)
    done = run_command(*command, env=env)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.endswith("run `manage.py migrate` first\n")


@pytest.mark.django_db
@pytest.mark.parametrize("command", ["up", "setup", "migrate"])
@pytest.mark.parametrize("has_begun", [False, True])
def test_a_database_user_who_may_not_make_tables(
    tmp_path: Path, scratch_database: str, command: str, has_begun: bool
) -> None:
    guest = f"guest_{os.getpid()}"
    with psycopg.connect(scratch_database, autocommit=True) as owner:
        owner.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        owner.execute(f"CREATE ROLE {guest} LOGIN")
        if has_begun:
            owner.execute(MIGRATIONS_TABLE)
            owner.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {guest}")
            owner.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {guest}")
        url = re.sub(r"//[^@]*@", f"//{guest}@", scratch_database)
        done = run_command(command, env=environment(tmp_path, free_port(), DATABASE_URL=url))
        owner.execute(f"DROP OWNED BY {guest}")
        owner.execute(f"DROP ROLE {guest}")
    assert done.returncode == 1
    assert "Error: the user of DATABASE_URL lacks rights in its database" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("command", [("migrate",), ("token", "a@b.example"), ("worker", "checks")])
def test_a_command_without_its_database_says_so(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run_command(*command, env=environment(tmp_path, free_port()))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Error: the embedded database is not running: start `manage.py up`, or set DATABASE_URL"
    ]
