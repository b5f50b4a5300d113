"""`manage.py up`: one command that runs the whole product on this machine until it is stopped.

The supervisor starts and restarts `manage.py web`, `manage.py worker` for each queue and, when
there is no DATABASE_URL, the embedded PostgreSQL. It does not load Django, so it is small and there
at once. It has one thread and sleeps until a signal: a child that died, or a wish to stop. Each
child leads a session of its own, so Ctrl-C reaches the supervisor alone, which stops them in order;
and each dies with the supervisor, however that ends.
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog
from django.core.exceptions import ImproperlyConfigured

from uptime.embedded import Embedded, EmbeddedError
from uptime.environment import BASE_DIR, embedded_socket_dir, env, is_database_embedded
from uptime.logs import logging_config
from uptime.preflight import Claim, Refusal, claim
from uptime.process import die_with_parent

log = structlog.get_logger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Together below the 20 s that an operator (and most init systems) wait for a stop.
DRAIN_S = 15
DATABASE_STOP_S = 3
READY_S = 60
HOUSEKEEPING_S = 60
# A child that ran this long was well: it is restarted at once, and its failures are forgotten.
WELL_S = 30
LONGEST_BACKOFF_S = 10


class Stop(Exception):
    """Somebody asked us to stop."""


def decide_backoff(failures: int) -> float:
    """Seconds to wait before the next start, after this many quick deaths in a row."""
    return 0 if failures <= 1 else min(LONGEST_BACKOFF_S, 0.5 * 2 ** (failures - 2))


@dataclass(slots=True)
class Child:
    """A process that has to run; it leads a session and a process group of its own."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0
    failures: int = 0
    restart_at: float = 0

    def launch(self) -> None:
        self.started_at = time.monotonic()
        self.process = self.start()

    def has_died(self) -> bool:
        """Whether it ended by itself; what it left of its process group is ended here too."""
        if self.process is None:
            return False
        if self.process.returncode is not None:
            return True
        # Looked at without reaping it: as long as it is a zombie, nobody else gets its number.
        if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return True

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)


@dataclass(slots=True)
class Supervisor:
    claim: Claim
    embedded: Embedded | None
    database: Child | None = None
    programs: list[Child] = field(default_factory=list)

    def run(self) -> int:
        """Start everything, keep it running, stop it; returns the exit status."""
        try:
            self._start_database()
            welcome = self._set_up()
            try:
                self._start_programs(welcome["url"])
            except (Stop, Refusal):
                _tell_login(welcome)  # a generated password is never shown again
                raise
            _greet(welcome)
            self._watch()
        except Stop:
            return 0
        except (Refusal, EmbeddedError) as error:
            _complain(error)
            return 1
        finally:
            self._stop()
        return 0

    def _start_database(self) -> None:
        if self.embedded is None:
            return
        _say("Starting PostgreSQL")
        self.embedded.prepare()
        self.database = Child("postgres", self.embedded.start)
        # After a crash its last processes may still hold its memory for a moment.
        for is_last in (False, False, True):
            self.database.launch()
            assert self.database.process is not None
            try:
                self.embedded.wait_until_ready(self.database.process, pause=pause)
            except EmbeddedError:
                if is_last or self.database.process.poll() is None:
                    raise
                pause(1)
            else:
                return

    def _set_up(self) -> dict[str, str]:
        """Migrate and make the first user, in a process of its own; returns what it says."""
        _say("Preparing the database")
        process = _start_command("setup", "--json", stdout=subprocess.PIPE)
        try:
            while process.poll() is None:
                pause(1)
        except Stop:
            process.terminate()
            process.wait()
            raise
        assert process.stdout is not None
        with process.stdout as stdout:
            told = stdout.read()
        if not told:
            raise Refusal("the database could not be prepared, see above")
        welcome: dict[str, str] = json.loads(told)
        if "error" in welcome:
            raise Refusal(welcome["error"])
        return welcome

    def _start_programs(self, url: str) -> None:
        _say("Starting the web and the workers")
        fd = self.claim.listener.fileno()
        self.programs = [
            Child("web", lambda: _start_command("web", f"--fd={fd}", pass_fds=[fd])),
            Child("worker checks", lambda: _start_command("worker", "checks")),
            Child("worker default", lambda: _start_command("worker", "default")),
        ]
        for child in self.programs:
            child.launch()
        deadline = time.monotonic() + READY_S
        while not self._is_login_page_up(url):
            for child in self.programs:
                if child.has_died():
                    raise Refusal(f"{child.name} ended while it started, its messages are above")
            if time.monotonic() > deadline:
                raise Refusal(f"the login page did not answer within {READY_S} s")
            pause(0.25)

    def _is_login_page_up(self, url: str) -> bool:
        host, port = self.claim.listener.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared
        public_name = url.split("://", 1)[-1].split("/", 1)[0]
        path: str | None = "/"
        try:
            for _ in range(3):  # to the login page it is one redirect
                connection = http.client.HTTPConnection(host, port, timeout=5)
                with contextlib.closing(connection):
                    connection.request("GET", path or "/", headers={"Host": public_name})
                    answer = connection.getresponse()
                    if answer.status not in (301, 302):
                        return answer.status == 200
                    path = answer.getheader("Location")
        except (OSError, http.client.HTTPException):
            pass
        return False

    def _watch(self) -> None:
        """Restart what dies until somebody stops us (by raising Stop)."""
        children = [*([self.database] if self.database else []), *self.programs]
        while True:
            self._tend(children, time.monotonic())
            waiting = [child.restart_at for child in children if child.process is None]
            pause(min([HOUSEKEEPING_S, *(at - time.monotonic() for at in waiting)]))
            if self.embedded:
                self.embedded.bound_log()

    def _tend(self, children: Iterable[Child], now: float) -> None:
        for child in children:
            if child.has_died():
                assert child.process is not None
                status = child.process.returncode
                child.process = None
                _plan_restart(child, now, status=status)
            if child.process is None and child.restart_at <= now:
                try:
                    child.launch()
                except (OSError, EmbeddedError) as error:
                    _plan_restart(child, now, error=str(error))
                else:
                    log.info("up.child.restarted", child=child.name)

    def _stop(self) -> None:
        """Stop everything within 20 s: those who use the database first, the database last."""
        _say("Stopping")
        self.claim.listener.close()
        _end(self.programs, signal.SIGTERM, within_s=DRAIN_S)
        if self.database:
            _end([self.database], signal.SIGINT, within_s=DATABASE_STOP_S)
        _say("Stopped")


def pause(seconds: float) -> None:
    """Sleep until a child changes or the time is up. Raises Stop when somebody wants us to stop."""
    if _next_signal(seconds) in STOP_SIGNALS:
        raise Stop


def _next_signal(within_s: float) -> int | None:
    got = signal.sigtimedwait({*STOP_SIGNALS, signal.SIGCHLD}, max(0, within_s))
    return got.si_signo if got else None


def _plan_restart(child: Child, now: float, **why: object) -> None:
    child.failures = 1 if now - child.started_at > WELL_S else child.failures + 1
    wait_s = decide_backoff(child.failures)
    child.restart_at = now + wait_s
    log.warning("up.child.died", child=child.name, restart_in_s=wait_s, **why)


def _end(children: Iterable[Child], wish: signal.Signals, *, within_s: float) -> None:
    """Ask each to end, wait for all, kill those that don't; a second Ctrl-C kills at once."""
    running = [child for child in children if child.process and not child.has_died()]
    for child in running:
        assert child.process is not None
        child.process.send_signal(wish)
    began = time.monotonic()
    while running := [child for child in running if not child.has_died()]:
        spent_s = time.monotonic() - began
        if spent_s >= within_s:
            break
        # One wish may come as several signals: from the terminal, the shell and make.
        if _next_signal(within_s - spent_s) == signal.SIGINT and time.monotonic() - began > 1:
            break
    for child in running:
        log.warning("up.child.killed", child=child.name)
        child.kill()


def _start_command(
    *arguments: str, stdout: int | None = None, pass_fds: Iterable[int] = ()
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own program, our own arguments
        [sys.executable, str(BASE_DIR / "manage.py"), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
        preexec_fn=_before_exec,
        cwd=BASE_DIR,
    )


def _before_exec() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    die_with_parent()


def _greet(welcome: dict[str, str]) -> None:
    _say(f"\n  URL       {welcome['url']}")
    _tell_login(welcome)
    _say("\n  Ctrl-C stops it.\n")


def _tell_login(welcome: dict[str, str]) -> None:
    _say(f"  Login     {welcome['email']}")
    if password := welcome.get("password"):
        _say(f"  Password  {password}   (shown only this once)")


def _say(text: str) -> None:
    # The terminal may be gone: that is a reason to stop, which the kernel tells us, not to fail.
    with contextlib.suppress(OSError):
        print(text, flush=True)


def _complain(error: Exception) -> None:
    with contextlib.suppress(OSError):
        print(f"Error: {error}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the product; returns the exit status."""
    logging_config(
        is_json=env.bool("UPTIME_LOG_JSON", default=not sys.stderr.isatty()),
        level=env.str("UPTIME_LOG_LEVEL", default="INFO").upper(),
    )
    # They wait, blocked, for the next pause(): none is lost and none interrupts a step.
    signal.pthread_sigmask(signal.SIG_BLOCK, {*STOP_SIGNALS, signal.SIGCHLD})
    try:
        claimed = claim()
    except (Refusal, ImproperlyConfigured) as error:
        _complain(error)
        return 1
    embedded = None
    if is_database_embedded():
        embedded = Embedded(data=claimed.directory / "postgres", socket=embedded_socket_dir())
    return Supervisor(claimed, embedded).run()
