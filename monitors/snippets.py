"""Ready-made calls of a heartbeat's ping URL, to be copied into whatever runs the job."""

from dataclasses import dataclass

_CRON = """\
# the job's exit status goes with the ping: anything but 0 is a failure
0 3 * * *  /path/to/job; curl -fsS -m 10 --retry 5 -o /dev/null {url}/$?
"""

_SHELL = """\
#!/bin/sh
# tells of the start, the end, how long it took, and the last output
rid=$(cat /proc/sys/kernel/random/uuid)
curl -fsS -m 10 --retry 5 -o /dev/null "{url}/start?rid=$rid"
output=$(/path/to/job 2>&1)
status=$?
printf '%s' "$output" | tail -c 10000 |
  curl -fsS -m 10 --retry 5 -o /dev/null --data-binary @- "{url}/$status?rid=$rid"
exit $status
"""

_PYTHON = """\
import urllib.request

PING = "{url}"


def ping(path=""):
    try:
        urllib.request.urlopen(PING + path, timeout=10)
    except OSError as error:  # a ping that is lost must not stop the job
        print("ping:", error)


ping("/start")
try:
    job()
except BaseException as error:  # sys.exit ends a job, too
    is_fine = isinstance(error, SystemExit) and not error.code
    ping("" if is_fine else "/fail")
    raise
ping()
"""

_SYSTEMD = """\
[Service]
Type=oneshot
ExecStart=/path/to/job
# $$ is systemd's way to leave a $ for the shell
ExecStopPost=/bin/sh -c 'test "$$SERVICE_RESULT" = success || end=/fail; \\
    exec curl -fsS -m 10 --retry 5 -o /dev/null {url}$$end'
"""


@dataclass(frozen=True, slots=True)
class Snippet:
    id: str
    title: str
    text: str


def snippets_for(url: str) -> list[Snippet]:
    """The snippets for one ping URL."""
    kinds = (
        ("cron", "cron", _CRON),
        ("shell", "Shell script", _SHELL),
        ("python", "Python", _PYTHON),
        ("systemd", "systemd service", _SYSTEMD),
    )
    # not str.format: the shell has braces of its own
    return [Snippet(id_, title, text.replace("{url}", url)) for id_, title, text in kinds]
