"""The suite runs on a real PostgreSQL: the one of DATABASE_URL, or an embedded one of its own.

A plugin (`-p tests.database`) and not a conftest, because Django's settings are read before those.
"""

import atexit
import os
import shutil
import signal
import tempfile
from pathlib import Path

os.environ.setdefault("UPTIME_SECRET_KEY", "a key for the tests only, of no value to anybody")


def start_server() -> None:
    """Start one server for the whole run; xdist's workers inherit its address."""
    from uptime.embedded import SETTINGS, Embedded

    home = Path(tempfile.mkdtemp(prefix="uptime-tests-"))
    home.chmod(0o755)
    # The data of a test run is worth nothing: no waiting for the disk.
    SETTINGS.update(fsync="off", synchronous_commit="off", full_page_writes="off")
    server = Embedded(data=home / "postgres", socket=home / "run")
    server.prepare()
    process = server.start()
    server.wait_until_ready(process)
    os.environ["DATABASE_URL"] = f"postgres://uptime@/uptime?host={server.socket}"

    def stop() -> None:
        process.send_signal(signal.SIGQUIT)
        process.wait(10)
        shutil.rmtree(home, ignore_errors=True)

    atexit.register(stop)


if "DATABASE_URL" not in os.environ:
    start_server()
