"""What a report says: pure, from figures of a period to words."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from alerts.wording import duration_phrase, one_line


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Troubled(_Frozen):
    """A monitor that was down in the period."""

    name: str
    uptime_percent: float
    down_seconds: float


class Slow(_Frozen):
    name: str
    latency_ms: float


class Expiring(_Frozen):
    """A certificate, or a domain's registration, of a monitor."""

    name: str
    expires_at: datetime


class ReportFacts(_Frozen):
    """A team's period from `since` to before `until`, both at midnight UTC.

    `uptime_percent` is that of all monitors together; null where nothing was observed. `troubled`
    are those with the least uptime, `slowest` the slowest on average, `expiring` what expires next.
    """

    team: str
    period: str
    since: datetime
    until: datetime
    monitors: int
    uptime_percent: float | None
    down_seconds: float
    incidents: int
    troubled: list[Troubled]
    slowest: list[Slow]
    expiring: list[Expiring]


def report_subject(report: ReportFacts) -> str:
    """`Weekly report of Shops: 99.95 % up, 3 incidents`."""
    up = "nothing observed" if report.uptime_percent is None else f"{_percent(report)} up"
    incidents = f"{report.incidents} incident{'' if report.incidents == 1 else 's'}"
    return f"{report.period.capitalize()} report of {one_line(report.team)}: {up}, {incidents}"


def report_lines(report: ReportFacts) -> list[tuple[str, str]]:
    """Labels and what stands beside them; empty values say nothing."""
    last_day = report.until - timedelta(days=1)
    down = duration_phrase(timedelta(seconds=report.down_seconds))
    return [
        ("Period", f"{report.since:%Y-%m-%d} to {last_day:%Y-%m-%d}, UTC"),
        ("Monitors", str(report.monitors)),
        ("Uptime", "" if report.uptime_percent is None else _percent(report)),
        ("Down", f"{down} in all" if report.down_seconds else "never"),
        ("Incidents", str(report.incidents)),
        ("Least up", _listed(f"{one.name} {one.uptime_percent:g} %" for one in report.troubled)),
        ("Slowest", _listed(f"{one.name} {one.latency_ms:.0f} ms" for one in report.slowest)),
        (
            "Expiring",
            _listed(f"{one.name} on {one.expires_at:%Y-%m-%d}" for one in report.expiring),
        ),
    ]


def _percent(report: ReportFacts) -> str:
    return f"{report.uptime_percent:g} %"


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(one_line(part) for part in parts)
