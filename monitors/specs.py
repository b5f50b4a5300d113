"""From a monitor's row to what the prober is given."""

from collections import OrderedDict
from collections.abc import Iterable
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from django.conf import settings
from pydantic import ValidationError

from monitors.models import Monitor
from probe.kinds import KINDS
from probe.values import Spec
from uptime.secrets import SecretsUnreadable

log = structlog.get_logger(__name__)


# What `spec_of` reads. An engine that has just begun, or has more monitors than its cache holds,
# reads a row for each check: all columns would cost 0.025 ms of it more.
_COLUMNS = (
    "team_id",
    "kind",
    "revision",
    "target",
    "interval_s",
    "timeout_ms",
    "failure_threshold",
    "failure_window",
    "recovery_threshold",
    "retry_interval_s",
    "settings",
    "secrets",
)


def spec_of(monitor: Monitor) -> Spec:
    """How `monitor` is checked. A row that can't be understood gives a spec with a fault.

    That parks the one monitor as a check error and keeps it away from its neighbours.
    """
    kind = KINDS.get(monitor.kind)
    validated, fault = None, ""
    try:
        if kind is None:
            fault = f"this version knows no kind {monitor.kind!r}"
        else:
            validated = kind.settings.model_validate(monitor.full_settings)
    except ValidationError as error:
        fault = f"the stored settings are not valid: {error.error_count()} errors"
    except SecretsUnreadable as error:
        fault = str(error)
    if fault:
        log.error("monitor.spec.faulty", monitor=str(monitor.id), fault=fault)
    return Spec(
        monitor_id=monitor.id,
        revision=monitor.revision,
        kind=monitor.kind,
        target=monitor.target,
        interval=monitor.interval,
        timeout=monitor.timeout,
        failure_threshold=monitor.failure_threshold,
        failure_window=monitor.failure_window,
        recovery_threshold=monitor.recovery_threshold,
        retry_interval=monitor.retry_interval,
        settings=validated,
        allow_private=settings.ALLOW_PRIVATE_TARGETS,
        fault=fault,
        host=_host_of(monitor.target),
        team_id=monitor.team_id,
    )


def _host_of(target: str) -> str:
    """The host in a URL or in host:port: what the engine's limit per host counts by."""
    if "://" in target:
        return urlsplit(target).hostname or ""
    return target.rpartition(":")[0] or target


class SpecCache:
    """Specs by monitor and revision: a lease names both, so an edit is seen at the next check."""

    def __init__(self, size: int = 50_000) -> None:
        self._size = size
        self._specs: OrderedDict[UUID, Spec] = OrderedDict()

    def get(self, wanted: Iterable[tuple[UUID, int]]) -> dict[UUID, Spec]:
        """The specs of these monitors; those that are not here in this revision come in one query.

        A monitor that was deleted meanwhile is missing from the answer.
        """
        found, missing = {}, []
        for monitor_id, revision in wanted:
            spec = self._specs.get(monitor_id)
            if spec is not None and spec.revision == revision:
                self._specs.move_to_end(monitor_id)
                found[monitor_id] = spec
            else:
                missing.append(monitor_id)
        if missing:
            for monitor in Monitor.objects.filter(id__in=missing).only(*_COLUMNS):
                found[monitor.id] = self._specs[monitor.id] = spec_of(monitor)
            while len(self._specs) > self._size:
                self._specs.popitem(last=False)
        return found
