"""`enabled` as a field of a monitor: set here, since a pause ends an incident."""

from accounts.models import User
from incidents.actions import pause_monitor, resume_monitor
from monitors.models import Monitor


def set_enabled(*, monitor: Monitor, is_enabled: bool, by: User) -> Monitor:
    """Pause or resume the monitor where it is not already as asked for."""
    if monitor.enabled == is_enabled:
        return monitor
    return (resume_monitor if is_enabled else pause_monitor)(monitor=monitor, by=by)
