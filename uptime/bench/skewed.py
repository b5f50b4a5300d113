"""One of the product's commands with a clock that is wrong: `skewed SECONDS COMMAND ...`.

Forked processes inherit it. Only wall-clock time is wrong, as on a machine without NTP; monotonic
time is the kernel's.
"""

import ctypes
import gc
import os
import runpy
import sys
import time
from datetime import datetime, timedelta, tzinfo

from uptime.environment import BASE_DIR


def skew_clock(by: timedelta) -> None:
    """Have Python's clock, in this process and those forked from it, be wrong by so much."""
    right_now, right_time, right_time_ns = datetime.now, time.time, time.time_ns

    def now(cls: type[datetime], tz: tzinfo | None = None) -> datetime:
        return right_now(tz) + by

    # A built-in type takes no new attributes, but its dictionary does; a subclass in its place
    # would not be what database adapters and type checks look for.
    (attributes,) = gc.get_referents(datetime.__dict__)
    attributes["now"] = classmethod(now)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(datetime))
    time.time = lambda: right_time() + by.total_seconds()
    time.time_ns = lambda: right_time_ns() + by // timedelta(microseconds=1) * 1000


if __name__ == "__main__":
    skew_clock(timedelta(seconds=float(sys.argv[1])))
    sys.argv = ["manage.py", *sys.argv[2:]]
    os.chdir(BASE_DIR)
    runpy.run_path(str(BASE_DIR / "manage.py"), run_name="__main__")
