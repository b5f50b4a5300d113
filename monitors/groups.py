"""Groups: monitors whose status follows from that of others. Who is in one, and how they are.

A group's members are the monitors that it names and, of those that are no groups themselves, the
team's with any of its tags. Whatever may change a group says so in its own transaction
(`doubt_groups_of`, `doubt`); `incidents.reviews` looks at it within a second.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Q

from monitors.models import Doubt, Monitor, MonitorQuerySet, Status
from probe.kinds.group import KIND
from uptime.database import hot_cursor

GROUP = KIND.name

_TAGS_OF = "ARRAY(SELECT jsonb_array_elements_text(coalesce({}.settings->'tags', '[]')))::varchar[]"


def members_of(group: Monitor) -> MonitorQuerySet:
    tags = group.settings.get("tags", [])
    tagged = Q(team=group.team_id, tags__overlap=tags) & ~Q(kind=GROUP)
    named = Q(pk__in=group.members.values("pk"))
    return Monitor.objects.filter(named | tagged if tags else named)


def groups_of(monitor: Monitor) -> MonitorQuerySet:
    """The groups that a monitor is in."""
    groups = Monitor.objects.filter(team=monitor.team_id, kind=GROUP)
    named = Q(pk__in=monitor.groups.values("pk"))
    if monitor.kind == GROUP or not monitor.tags:
        return groups.filter(named)
    return groups.filter(named | Q(settings__tags__has_any_keys=monitor.tags))


@dataclass(frozen=True, slots=True)
class Member:
    """One that is not well, and since when."""

    name: str
    status: Status
    since: datetime


@dataclass(frozen=True, slots=True)
class Tally:
    """How a group's members are: how many have which status, and those that are in trouble."""

    counts: Mapping[Status, int]
    troubled: Sequence[Member] = ()

    def count(self, *statuses: Status) -> int:
        return sum(self.counts.get(status, 0) for status in statuses)


def tally_members(groups: Collection[UUID]) -> dict[UUID, Tally]:
    """The members of these groups, in one query."""
    counts: dict[UUID, dict[Status, int]] = {group: {} for group in groups}
    troubled: dict[UUID, list[Member]] = {group: [] for group in groups}
    with hot_cursor() as cursor:
        cursor.execute(
            f"""
            WITH chosen AS MATERIALIZED (
                SELECT id, team_id, {_TAGS_OF.format("g")} AS tags
                FROM monitors_monitor AS g WHERE id = ANY(%s)
            ), member(group_id, id) AS (
                SELECT chosen.id, link.to_monitor_id
                FROM chosen
                JOIN monitors_monitor_members AS link ON link.from_monitor_id = chosen.id
                UNION
                SELECT chosen.id, m.id
                FROM chosen JOIN monitors_monitor AS m
                    ON m.team_id = chosen.team_id AND m.kind <> 'group' AND m.tags && chosen.tags
            )
            SELECT group_id, status, count(*),
                coalesce(array_agg(name ORDER BY name) FILTER (WHERE is_troubled), '{{}}'),
                coalesce(array_agg(last_change_at ORDER BY name) FILTER (WHERE is_troubled), '{{}}')
            FROM member JOIN (
                SELECT *, status IN ('down', 'recovering', 'degraded') AS is_troubled
                FROM monitors_monitor
            ) AS m USING (id)
            GROUP BY group_id, status
            """,  # noqa: S608 - literals only
            [list(groups)],
        )
        for group, status, count, names, sinces in cursor:
            counts[group][Status(status)] = count
            troubled[group] += [
                Member(name, Status(status), since)
                for name, since in zip(names, sinces, strict=True)
            ]
    return {group: Tally(counts[group], troubled[group]) for group in groups}


def leaves_of(groups: Collection[UUID]) -> dict[UUID, list[UUID]]:
    """What these groups come down to: their watched members that are no groups, at any depth."""
    found: dict[UUID, list[UUID]] = {group: [] for group in groups}
    if not groups:
        return found
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH RECURSIVE inside(root, id) AS (
                SELECT id, id FROM monitors_monitor WHERE id = ANY(%s)
                UNION
                SELECT inside.root, link.to_monitor_id
                FROM inside
                JOIN monitors_monitor_members AS link ON link.from_monitor_id = inside.id
            )
            SELECT root, m.id FROM inside JOIN monitors_monitor AS m ON m.id = inside.id
            WHERE m.kind <> 'group' AND m.enabled
            UNION
            SELECT root, m.id FROM inside
            JOIN monitors_monitor AS g ON g.id = inside.id AND g.kind = 'group'
            JOIN monitors_monitor AS m ON m.team_id = g.team_id AND m.kind <> 'group' AND m.enabled
                AND m.tags && {_TAGS_OF.format("g")}
            ORDER BY 1, 2
            """,  # noqa: S608 - literals only
            [list(groups)],
        )
        for root, leaf in cursor:
            found[root].append(leaf)
    return found


def doubt_groups_of(changed_at: Mapping[UUID, datetime]) -> None:
    """Have the groups that these monitors are in looked at: something of them changed then.

    A group that is pending is to be looked at itself.
    """
    if not changed_at:
        return
    with hot_cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO monitors_doubt (monitor_id, since, until)
            SELECT g.id, min(changed.at), max(changed.at)
            FROM unnest(%s::uuid[], %s::timestamptz[]) AS changed(id, at)
            JOIN monitors_monitor AS m ON m.id = changed.id
            JOIN monitors_monitor AS g
                ON g.team_id = m.team_id AND g.kind = 'group' AND g.enabled
            WHERE (g.id = m.id AND m.status = 'pending')
               OR EXISTS (
                    SELECT FROM monitors_monitor_members AS link
                    WHERE link.from_monitor_id = g.id AND link.to_monitor_id = m.id)
               OR (m.kind <> 'group' AND g.settings->'tags' ?| m.tags::text[])
            GROUP BY g.id
            """,
            [list(changed_at), list(changed_at.values())],
        )


def doubt(monitor: Monitor, at: datetime) -> None:
    """Have it looked at: who says how it is, or by what rule, changed then.

    Of a group its members and rule, of others the locations and their quorum.
    """
    Doubt.objects.create(monitor_id=monitor.pk, since=at, until=at)


def take_doubts(limit: int) -> dict[UUID, tuple[datetime, datetime]]:
    """Take up to `limit` doubts away: which monitors to look at, and when something changed.

    What another process takes at this moment is left to it.
    """
    with hot_cursor() as cursor:
        cursor.execute(
            """
            WITH taken AS (
                DELETE FROM monitors_doubt WHERE id IN (
                    SELECT id FROM monitors_doubt ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
                RETURNING monitor_id, since, until
            )
            SELECT monitor_id, min(since), max(until) FROM taken GROUP BY monitor_id
            """,
            [limit],
        )
        return {monitor: (since, until) for monitor, since, until in cursor}
