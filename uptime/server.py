"""The web process: gunicorn with its ASGI worker, configured here and nowhere else."""

import gc
import threading
from typing import Any

import structlog
from django.conf import settings
from django.db import OperationalError, connections
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from statuspages.publishing import Publisher
from uptime.environment import listen_address
from uptime.preflight import explain, listen
from uptime.process import die_with_parent
from uptime.schema import require_schema

log = structlog.get_logger(__name__)


class QuietLogger(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """Sends gunicorn's messages the way of all others instead of through handlers of its own."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class Application(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    def __init__(self, fd: int) -> None:
        self.fd = fd
        super().__init__()

    def load_config(self) -> None:
        wanted = {
            "bind": f"fd://{self.fd}",
            "proc_name": "uptime-web",
            "worker_class": "asgi",
            "workers": settings.WEB_WORKERS,
            # Loaded once and shared: a worker costs a third of the memory and starts at once.
            "preload_app": True,
            "pre_fork": _before_fork,
            "post_fork": _after_fork,
            "asgi_lifespan": "off",
            "control_socket_disable": True,
            "timeout": 30,
            "graceful_timeout": 10,
            "keepalive": 2,
            "loglevel": "warning",
            "logger_class": QuietLogger,
        }
        for name, value in wanted.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        from uptime.asgi import application

        return application


def serve(fd: int | None = None) -> None:
    """Serve until SIGTERM (graceful, 10 s) or SIGINT, on the listening socket `fd` if there is one.

    Raises Refusal when the port can't be taken or the database is not of this version. One that is
    away keeps nobody from starting: requests are answered 503 until it is there.
    """
    listening = fd if fd is not None else listen(*listen_address()).detach()
    try:
        require_schema()
    except OperationalError as error:
        log.warning("web.database.away", error=explain(error))
    connections.close_all()  # a fork must not share them
    pool_connections()
    Arbiter(Application(listening)).run()


def pool_connections() -> None:
    """Let requests borrow their database connections from a pool of this process.

    Under ASGI each request has a thread of its own: with connections that persist, each would leave
    one behind in its thread, until the server has no more.
    """
    database = connections.settings["default"]
    database["CONN_MAX_AGE"] = 0
    database["OPTIONS"]["pool"] = {
        "min_size": 1,
        "max_size": 10,
        # So long a request waits for a connection before it is answered 503.
        "timeout": 2,
        "max_idle": 60,
        # The pool tries in vain ever more rarely, by default up to five minutes apart. Given up
        # early, the next request tries anew: the product is back as soon as its database.
        "reconnect_timeout": 2,
    }


def _before_fork(arbiter: Any, worker: Any) -> None:
    # What is loaded by now lives as long as the process: kept out of collections, its memory stays
    # shared between the workers.
    gc.freeze()


def _after_fork(arbiter: Any, worker: Any) -> None:
    from uptime.live import hub

    die_with_parent()
    hub.is_ending = lambda: not worker.alive
    never = threading.Event()
    threading.Thread(
        target=Publisher().run, args=(never.wait,), name="publisher", daemon=True
    ).start()
