"""Pages: server time and statements of the pages that people live in, for a large team.

On a scratch database: each monitor has hour and day rollups and an outage; one has a result a
minute and an incident as well. Each page is asked for through all of Django, in this process, with
no network: overview (its first and its last page, a search), a monitor, an incident. The floor is
the answer of `/health/live`.
"""

import time
from argparse import ArgumentParser
from collections.abc import Mapping
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.conf import settings
from django.db import connection
from django.test import Client, override_settings
from django.urls import reverse

from accounts.models import Membership, Role, User
from incidents.models import EventKind, Incident, IncidentEvent
from monitors.listing import PAGE_SIZE, Edge, Wish
from monitors.models import Monitor, StatusSpan
from uptime.bench.engine import scratch_database
from uptime.bench.multitude import make_multitude
from uptime.bench.statements import watch_statements
from uptime.bench.stats import fill_results, fill_rollups
from uptime.clock import database_now

PAGES = {
    "floor": "a page that asks nothing",
    "overview": "the first page of the overview",
    "refresh": "the same as an open page asks for it anew",
    "overview_last": "its last page",
    "overview_90d": "its first page with bars of 90 days",
    "search": "the overview, searched for what one monitor has",
    "wall": "the overview on a wall",
    "monitor": "a monitor",
    "incident": "an incident",
}
KEYS = {
    f"{page}_{figure}": f"{meaning}: {what}"
    for page, meaning in PAGES.items()
    for figure, what in (
        ("p50_ms", "server time, median"),
        ("p95_ms", "95th percentile"),
        ("statements", "statements"),
        ("kb", "kB before compression"),
    )
}
AN_OUTAGE = timedelta(minutes=5)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--monitors", type=int, default=20_000, help="of the team (20,000)")
    parser.add_argument("--days", type=int, default=30, help="of history (30)")
    parser.add_argument("--rounds", type=int, default=40, help="of each page (40)")


def run(options: Mapping[str, Any]) -> dict[str, float]:
    with scratch_database(), override_settings(ALLOWED_HOSTS=["testserver"]):
        print("Making monitors and their past", flush=True)
        monitor, incident = _fill(database_now(), options["monitors"], options["days"])
        client = Client()
        client.force_login(_reader_of(monitor))
        figures: dict[str, float] = {}
        for page, (address, headers) in _addresses(monitor, incident).items():
            figures |= _measure(client, page, address, headers, options["rounds"])
    return figures


def _addresses(monitor: Monitor, incident: Incident) -> dict[str, tuple[str, dict[str, str]]]:
    home = reverse("home")
    fragment = {"HX-Request": "true"}
    return {
        "floor": ("/health/live", {}),
        "overview": (home, {}),
        "refresh": (home, fragment),
        "overview_last": (f"{home}?page={_last_place(monitor)}", {}),
        "overview_90d": (f"{home}?bars=90d", {}),
        "search": (f"{home}?q=monitor+77", {}),
        "wall": (f"{home}?wall=1", {}),
        "monitor": (monitor.get_absolute_url(), {}),
        "incident": (incident.get_absolute_url(), {}),
    }


def _last_place(monitor: Monitor) -> str:
    """The place of the last page: past the one that has fifty monitors behind it."""
    ours = Wish().of(monitor.team)
    behind = ours.order_by("-name", "-id")[min(PAGE_SIZE, ours.count() - 1)]
    return Edge.of(behind, ours.count() - PAGE_SIZE).write()


def _measure(
    client: Client, page: str, address: str, headers: dict[str, str], rounds: int
) -> dict[str, float]:
    client.get(address, headers=headers)  # the first one loads things
    with watch_statements() as statements:
        answer = client.get(address, headers=headers)
    if answer.status_code != 200:
        raise SystemExit(f"{address} answers {answer.status_code}")
    spent = []
    for _ in range(rounds):
        started = time.perf_counter()
        client.get(address, headers=headers)
        spent.append((time.perf_counter() - started) * 1000)
    return {
        f"{page}_p50_ms": round(median(spent), 1),
        f"{page}_p95_ms": round(sorted(spent)[round(0.95 * (rounds - 1))], 1),
        f"{page}_statements": len(statements),
        f"{page}_kb": round(len(answer.content) / 1000, 1),
    }


def _reader_of(monitor: Monitor) -> User:
    user = User.objects.create(email=f"reader@{settings.ALLOWED_HOSTS[0]}")
    Membership.objects.create(team=monitor.team, user=user, role=Role.OWNER)
    return user


def _fill(now: datetime, count: int, days: int) -> tuple[Monitor, Incident]:
    make_multitude(count, interval=timedelta(minutes=1))
    fill_rollups(now, days=timedelta(days=days), hours=timedelta(days=days))
    assignment = fill_results(now, days=days)
    _fill_spans(now, timedelta(days=days))
    monitor = Monitor.objects.select_related("team").get(assignments=assignment)
    incident = Incident.objects.create(
        team=monitor.team,
        monitor=monitor,
        severity="down",
        started_at=now - AN_OUTAGE,
        confirmed_at=now - AN_OUTAGE,
    )
    IncidentEvent.objects.create(
        incident=incident, kind=EventKind.OPENED, at=now, severity="down", message="It is down."
    )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return monitor, incident


def _fill_spans(now: datetime, past: timedelta) -> None:
    """Up all the time but for one outage, which each monitor had at a time of its own."""
    StatusSpan.objects.all().delete()
    spans = []
    for place, pk in enumerate(Monitor.objects.order_by("id").values_list("pk", flat=True)):
        begun, down = now - past, now - past * (0.02 + 0.95 * (place % 97) / 97)
        up = down + AN_OUTAGE
        for status, start, end in (("up", begun, down), ("down", down, up), ("up", up, None)):
            spans.append(StatusSpan(monitor_id=pk, status=status, started_at=start, ended_at=end))
    StatusSpan.objects.bulk_create(spans, batch_size=5000)
    Monitor.objects.update(created_at=now - past)
