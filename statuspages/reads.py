"""What a page says, as values: everything that its renderings need, in a fixed number of queries.

A monitor is seen through its component alone: its status, its figures, and the component's own
name. Its target, its messages and the name that the team gave it are never read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby
from uuid import UUID, uuid5

from django.db.models import Prefetch, Q

from incidents.maintenance.reads import Planned, public_maintenance
from incidents.models import Incident, IncidentEvent
from monitors.charts import LatencyChart, Point, latency_chart
from monitors.days import DAY, daily_time, days_of_spans, first_day, hourly_latency
from monitors.models import Monitor, Status
from monitors.statistics import Span, Statistics, add_statistics
from statuspages.models import (
    ENDS,
    Component,
    ComponentSpan,
    ComponentStatus,
    Phase,
    Post,
    PostKind,
    PostUpdate,
    StatusPage,
)

DAYS = 90
PAST_DAYS = 14
"""Of these days the page itself tells what happened; its history goes back `HISTORY_DAYS`."""
HISTORY_DAYS = 365
AHEAD_DAYS = 31
"""So far ahead the page tells of the maintenance that is planned for its monitors."""
LATENCY_DAYS = 7
GRAVE_PERCENT = 99.0
"""A day with less uptime is shown as an outage rather than a hiccup."""

STATUS_OF = {
    Status.UP: ComponentStatus.OPERATIONAL,
    Status.DEGRADED: ComponentStatus.DEGRADED,
    Status.DOWN: ComponentStatus.MAJOR,
    Status.RECOVERING: ComponentStatus.MAJOR,  # part of the stretch of down
    Status.MAINTENANCE: ComponentStatus.MAINTENANCE,
    Status.PAUSED: ComponentStatus.UNKNOWN,
    Status.PENDING: ComponentStatus.UNKNOWN,
    Status.UNKNOWN: ComponentStatus.UNKNOWN,
}
_AS_MONITOR = {
    ComponentStatus.OPERATIONAL: Status.UP,
    ComponentStatus.DEGRADED: Status.DEGRADED,
    ComponentStatus.PARTIAL: Status.DOWN,
    ComponentStatus.MAJOR: Status.DOWN,
    ComponentStatus.MAINTENANCE: Status.MAINTENANCE,
}
_ORDER = list(ComponentStatus)


def worst(statuses: Iterable[ComponentStatus]) -> ComponentStatus:
    """The worst of them; of none at all, that there is no data."""
    return max(statuses, key=_ORDER.index, default=ComponentStatus.UNKNOWN)


@dataclass(frozen=True, slots=True)
class DayView:
    """One UTC day of a component; `status` is what its bar is coloured by."""

    day: date
    status: ComponentStatus
    spent: Statistics

    @property
    def is_eventful(self) -> bool:
        return self.status not in (ComponentStatus.OPERATIONAL, ComponentStatus.UNKNOWN)


@dataclass(frozen=True, slots=True)
class ComponentView:
    """A line of the page. `uptime_percent` and `days` are empty where they are not shown."""

    id: UUID
    name: str
    description: str
    section: str
    status: ComponentStatus
    days: Sequence[DayView] = ()
    uptime_percent: float | None = None
    chart: LatencyChart | None = None


@dataclass(frozen=True, slots=True)
class SectionView:
    name: str
    components: Sequence[ComponentView]

    @property
    def status(self) -> ComponentStatus:
        return worst(one.status for one in self.components)


@dataclass(frozen=True, slots=True)
class UpdateView:
    """One thing said, in Markdown."""

    id: UUID
    phase: Phase
    body: str
    at: datetime


@dataclass(frozen=True, slots=True)
class PostView:
    """A post as readers see it; `updates` are newest first.

    One made of an incident of a monitor, with what was said of it in public, has no title: the
    page words one from the names of its components. One made of a maintenance window has its name.
    """

    id: UUID
    kind: PostKind
    title: str
    phase: Phase
    impact: ComponentStatus
    starts_at: datetime
    ends_at: datetime | None
    updated_at: datetime
    components: Sequence[str]
    updates: Sequence[UpdateView]

    @property
    def is_over(self) -> bool:
        return self.phase in ENDS

    @property
    def is_maintenance(self) -> bool:
        return self.kind == PostKind.MAINTENANCE


@dataclass(frozen=True, slots=True)
class PastDay:
    """A day with the posts that began in it and are over; calm is one in which none began."""

    day: date
    posts: Sequence[PostView]
    is_calm: bool


@dataclass(frozen=True, slots=True)
class PageView:
    """A page as of `as_of`. Posts are newest first, coming maintenance soonest first."""

    page: StatusPage
    as_of: datetime
    status: ComponentStatus
    sections: Sequence[SectionView]
    posts: Sequence[PostView] = field(default=())

    @property
    def components(self) -> list[ComponentView]:
        return [one for section in self.sections for one in section.components]

    @property
    def ongoing(self) -> list[PostView]:
        return [one for one in self.posts if not one.is_over and one.phase != Phase.SCHEDULED]

    @property
    def coming(self) -> list[PostView]:
        found = [one for one in self.posts if one.phase == Phase.SCHEDULED]
        return sorted(found, key=lambda one: one.starts_at)

    @property
    def over(self) -> list[PostView]:
        return [one for one in self.posts if one.is_over]

    @property
    def past_days(self) -> list[PastDay]:
        """The last days, today first."""
        first = first_day(self.as_of, PAST_DAYS).date()
        of_day: dict[date, list[PostView]] = {}
        for post in self.over:
            of_day.setdefault(post.starts_at.date(), []).append(post)
        days = [first + timedelta(days=number) for number in reversed(range(PAST_DAYS))]
        began = {post.starts_at.date() for post in self.posts if post.phase != Phase.SCHEDULED}
        return [PastDay(day, of_day.get(day, []), is_calm=day not in began) for day in days]


def page_view(page: StatusPage, now: datetime) -> PageView:
    components = list(page.components.order_by("position", "id"))
    rows = _post_rows(page, now)
    views = _component_views(page, components, _overlay(rows, now), now)
    names = {one.pk: one.name for one in components}
    posts = [
        *(_post_view(post, names, now) for post in rows),
        *_told_of_incidents(components, now - HISTORY_DAYS * DAY),
        *_told_of_windows(components, now),
    ]
    return PageView(
        page=page,
        as_of=now,
        status=worst(one.status for one in views),
        sections=_sections(views),
        posts=sorted(posts, key=lambda one: one.starts_at, reverse=True),
    )


def _sections(views: Sequence[ComponentView]) -> list[SectionView]:
    found: dict[str, list[ComponentView]] = {}
    for view in views:
        found.setdefault(view.section, []).append(view)
    return [SectionView(name, members) for name, members in found.items()]


# -- components ------------------------------------------------------------------------------------


def status_now(own: ComponentStatus, told: Iterable[ComponentStatus]) -> ComponentStatus:
    """What readers are shown: the worst of what is measured and what is told.

    A maintenance that is told of explains whatever is measured meanwhile.
    """
    told = list(told)
    if ComponentStatus.MAINTENANCE in told:
        return ComponentStatus.MAINTENANCE
    return worst([own, *told])


def _component_views(
    page: StatusPage,
    components: Sequence[Component],
    overlay: Mapping[UUID, list[ComponentStatus]],
    now: datetime,
) -> list[ComponentView]:
    monitor_ids = [one.monitor_id for one in components if one.monitor_id]
    statuses = dict(Monitor.objects.filter(pk__in=monitor_ids).values_list("pk", "status"))
    days = _days(components, now) if page.show_uptime else {}
    charts = _charts([one.monitor_id for one in components if one.show_latency], now)
    views = []
    for one in components:
        own = (
            STATUS_OF[Status(statuses[one.monitor_id])]
            if one.monitor_id
            else ComponentStatus(one.status)
        )
        of_days = days.get(one.pk, []) if one.show_uptime else []
        views.append(
            ComponentView(
                id=one.pk,
                name=one.name,
                description=one.description,
                section=one.section,
                status=status_now(own, overlay.get(one.pk, [])),
                days=of_days,
                uptime_percent=add_statistics(day.spent for day in of_days).uptime_percent
                if of_days
                else None,
                chart=charts.get(one.monitor_id) if one.monitor_id else None,
            )
        )
    return views


def _days(components: Sequence[Component], now: datetime) -> dict[UUID, list[DayView]]:
    since = first_day(now, DAYS)
    measured = daily_time(
        [one.monitor_id for one in components if one.monitor_id], since=since, until=now
    )
    by_hand = _spans([one.pk for one in components if one.is_by_hand], since=since, until=now)
    found = {}
    for one in components:
        spent = (
            measured[one.monitor_id]
            if one.monitor_id
            else days_of_spans(by_hand.get(one.pk, []), since=since, until=now)
        )
        found[one.pk] = [
            DayView((since + number * DAY).date(), day_status(day), day)
            for number, day in enumerate(spent)
        ]
    return found


def day_status(spent: Statistics) -> ComponentStatus:
    """What colour a day deserves: the worst that was in it."""
    uptime = spent.uptime_percent
    if spent.down and uptime is not None:
        return ComponentStatus.MAJOR if uptime < GRAVE_PERCENT else ComponentStatus.PARTIAL
    if spent.degraded:
        return ComponentStatus.DEGRADED
    if spent.maintenance:
        return ComponentStatus.MAINTENANCE
    return ComponentStatus.OPERATIONAL if spent.up else ComponentStatus.UNKNOWN


def _spans(
    component_ids: Sequence[UUID], *, since: datetime, until: datetime
) -> dict[UUID, list[Span]]:
    rows = ComponentSpan.objects.filter(
        Q(ended_at=None) | Q(ended_at__gt=since), component__in=component_ids, started_at__lt=until
    ).order_by("started_at")
    found: dict[UUID, list[Span]] = {}
    for row in rows:
        status = _AS_MONITOR[ComponentStatus(row.status)]
        found.setdefault(row.component_id, []).append(Span(status, row.started_at, row.ended_at))
    return found


def _charts(monitor_ids: Iterable[UUID | None], now: datetime) -> dict[UUID, LatencyChart]:
    wanted = [pk for pk in monitor_ids if pk]
    if not wanted:
        return {}
    hours = hourly_latency(wanted, since=now - LATENCY_DAYS * DAY, until=now)
    drawn = {
        pk: latency_chart([Point(at, Status.UP, mean) for at, mean in points])
        for pk, points in hours.items()
    }
    return {pk: chart for pk, chart in drawn.items() if chart}


# -- posts -----------------------------------------------------------------------------------------


def _post_rows(page: StatusPage, now: datetime) -> list[Post]:
    return list(
        (page.posts.filter(starts_at__gte=now - HISTORY_DAYS * DAY) | page.posts.unfinished(now))
        .prefetch_related("affected", Prefetch("updates", PostUpdate.objects.order_by("-at")))
        .order_by("-starts_at", "id")
    )


def _overlay(posts: Iterable[Post], now: datetime) -> dict[UUID, list[ComponentStatus]]:
    """What posts that are under way make of the components that they are about."""
    found: dict[UUID, list[ComponentStatus]] = {}
    for post in posts:
        if post.phase_at(now) in (*ENDS, Phase.SCHEDULED):
            continue
        for one in post.affected.all():
            found.setdefault(one.component_id, []).append(ComponentStatus(one.impact))
    return found


def _post_view(post: Post, names: Mapping[UUID, str], now: datetime) -> PostView:
    affected = list(post.affected.all())
    return PostView(
        id=post.pk,
        kind=PostKind(post.kind),
        title=post.title,
        phase=post.phase_at(now),
        impact=worst(ComponentStatus(one.impact) for one in affected)
        if affected
        else (ComponentStatus.MAINTENANCE if post.is_maintenance else ComponentStatus.OPERATIONAL),
        starts_at=post.starts_at,
        ends_at=post.ends_at,
        updated_at=post.updated_at,
        components=[names[one.component_id] for one in affected if one.component_id in names],
        updates=[
            UpdateView(one.pk, Phase(one.phase), one.body, one.at) for one in post.updates.all()
        ],
    )


def _told_of_incidents(components: Sequence[Component], since: datetime) -> list[PostView]:
    """Incidents of the page's monitors of which something was said in public."""
    of_monitor = {
        pk: [one.name for one in members]
        for pk, members in groupby(
            sorted(
                (one for one in components if one.monitor_id), key=lambda one: str(one.monitor_id)
            ),
            key=lambda one: one.monitor_id,
        )
    }
    said = IncidentEvent.objects.filter(is_public=True).order_by("-at")
    rows = (
        Incident.objects.filter(monitor__in=of_monitor, started_at__gte=since)
        .filter(events__is_public=True)
        .distinct()
        .defer("message", "reason")
        .prefetch_related(Prefetch("events", said))
    )
    return [_told_of(incident, of_monitor[incident.monitor_id]) for incident in rows]


def _told_of_windows(components: Sequence[Component], now: datetime) -> list[PostView]:
    """Maintenance windows that pages may show: of each what is on or comes next."""
    names: dict[UUID, list[str]] = {}
    for one in components:
        if one.monitor_id:
            names.setdefault(one.monitor_id, []).append(one.name)
    monitors = list(Monitor.objects.filter(pk__in=names).only("team_id", "tags")) if names else []
    found: dict[UUID, PostView] = {}
    for planned, covered in public_maintenance(monitors, now, now + AHEAD_DAYS * DAY):
        told = [name for monitor in covered for name in names[monitor.pk]]
        found.setdefault(planned.window.pk, _planned_post(planned, told, now))
    return list(found.values())


def _planned_post(planned: Planned, names: Sequence[str], now: datetime) -> PostView:
    window, occurrence = planned.window, planned.occurrence
    id_ = uuid5(window.pk, occurrence.starts_at.isoformat())
    told_at = min(window.changed_at, occurrence.starts_at)
    updates = [UpdateView(uuid5(id_, Phase.SCHEDULED), Phase.SCHEDULED, "", told_at)]
    if occurrence.starts_at <= now:
        began = UpdateView(
            uuid5(id_, Phase.IN_PROGRESS), Phase.IN_PROGRESS, "", occurrence.starts_at
        )
        updates.insert(0, began)
    return PostView(
        id=id_,
        kind=PostKind.MAINTENANCE,
        title=window.name,
        phase=updates[0].phase,
        impact=ComponentStatus.MAINTENANCE,
        starts_at=occurrence.starts_at,
        ends_at=occurrence.ends_at,
        updated_at=updates[0].at,
        components=names,
        updates=updates,
    )


def _told_of(incident: Incident, names: Sequence[str]) -> PostView:
    phase, ended_at = Phase.INVESTIGATING, incident.resolved_at
    updates = [
        UpdateView(
            one.pk,
            Phase.RESOLVED if ended_at and one.at >= ended_at else Phase.INVESTIGATING,
            one.message,
            one.at,
        )
        for one in incident.events.all()
    ]
    if ended_at:
        phase = Phase.RESOLVED
        updates.append(UpdateView(incident.pk, phase, "", ended_at))
        updates.sort(key=lambda one: one.at, reverse=True)
    return PostView(
        id=incident.pk,
        kind=PostKind.INCIDENT,
        title="",
        phase=phase,
        impact=ComponentStatus.MAJOR if incident.severity == "down" else ComponentStatus.DEGRADED,
        starts_at=incident.started_at,
        ends_at=incident.resolved_at,
        updated_at=updates[0].at,
        components=names,
        updates=updates,
    )
