"""`python -m alerts.apprise_runner`: sends one message through Apprise and ends.

The order comes as JSON on stdin (`url`, `title`, `body`, `type`, `reaches_private`), the report
goes as JSON to stdout: `is_understood` (the address), `is_sent`, `said` (Apprise's last complaint)
and `refused` (what the guard kept it from).

The guard is an audit hook (PEP 578): the interpreter asks it before every connection, datagram,
started program and opened file, whichever library is behind that, and it can't be taken out again.
Connections go to resolved addresses only, so what is judged is what is connected to.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import apprise
from apprise.manager_plugins import NotificationManager

from probe.net import is_forbidden

_SENDS = ("socket.connect", "socket.sendto", "socket.sendmsg")
_STARTS = (
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pty.spawn",
    "subprocess.Popen",
)
_READABLE = (
    sys.prefix,
    sys.base_prefix,
    str(Path(json.__file__).parent.parent),
    str(Path(apprise.__file__).parent.parent),
    "/usr/share/zoneinfo",
    "/etc/mime.types",
)


class _Guard:
    """Keeps the process to what sending a message takes."""

    def __init__(self, *, reaches_private: bool) -> None:
        self.refused = ""
        self._reaches_private = reaches_private

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event in _SENDS:
            self._judge_address(args[1])
        elif event in _STARTS:
            self._refuse("a program was to be started")
        elif event == "open":
            self._judge_file(args[0], args[1])

    def _judge_address(self, address: Any) -> None:
        if not isinstance(address, tuple) or not isinstance(address[0], str):
            self._refuse("a socket of this machine was to be used")
        elif not self._reaches_private and _is_closed(address[0]):
            self._refuse("the address is in a network that is closed to alerts of this team")

    def _judge_file(self, path: Any, mode: Any) -> None:
        if not isinstance(path, str | bytes):
            return  # a descriptor that is open already
        name = path.decode(errors="replace") if isinstance(path, bytes) else path
        is_read = mode is None or not set(str(mode)) & set("wax+")
        place = Path(name).resolve()
        if not (is_read and any(place.is_relative_to(one) for one in _READABLE)):
            self._refuse("a file was to be opened")

    def _refuse(self, what: str) -> None:
        self.refused = self.refused or what
        raise PermissionError(what)


def _is_closed(host: str) -> bool:
    try:
        return is_forbidden(host)
    except ValueError:
        return True  # a name, which the system would resolve where nobody sees it


class _Complaints(logging.Handler):
    """Remembers what Apprise logged last."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


def main() -> None:
    order = json.load(sys.stdin)
    complaints = _Complaints(logging.WARNING)
    logging.getLogger("apprise").addHandler(complaints)
    # Before the guard, since it reads the plugins' files.
    NotificationManager().load_modules()  # type: ignore[no-untyped-call] # typed in part
    guard = _Guard(reaches_private=order["reaches_private"])
    sys.addaudithook(guard)
    sender = apprise.Apprise()
    is_understood = bool(sender.add(order["url"]))
    is_sent = is_understood and sender.notify(
        title=order["title"],
        body=order["body"],
        notify_type=order["type"],
        body_format=apprise.NotifyFormat.TEXT,
    )
    report = {
        "is_understood": is_understood,
        "is_sent": bool(is_sent),
        "said": complaints.last,
        "refused": guard.refused,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
