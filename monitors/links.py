"""What monitors depend on: found by the names that people give, and never in a ring.

A ring would be silent for ever: each of its monitors would wait for another to recover.
"""

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from django.db import connection
from django.db.models import Q

from accounts.models import Team
from monitors.models import Monitor
from uptime.errors import Invalid


def find_monitors(team: Team, references: Sequence[str], *, field: str) -> list[Monitor]:
    """The team's monitors of these ids, keys or names, each once. Raises Invalid."""
    if not references:
        return []
    ids = [pk for reference in references if (pk := _as_id(reference))]
    found = Monitor.objects.visible_to(team).filter(
        Q(pk__in=ids) | Q(key__in=references) | Q(name__in=references)
    )
    chosen, problems = {}, []
    known = list(found.order_by("id"))
    for reference in references:
        matches = _matches(known, reference)
        if len(matches) == 1:
            chosen[matches[0].pk] = matches[0]
        elif matches:
            problems.append(f"There are {len(matches)} monitors called {reference}: give an id.")
        else:
            problems.append(f"There is no monitor {reference}.")
    if problems:
        raise Invalid({field: problems})
    return list(chosen.values())


def _matches(monitors: Iterable[Monitor], reference: str) -> list[Monitor]:
    """An id or a key is one monitor's alone and counts before a name."""
    named = []
    for monitor in monitors:
        if reference == monitor.key or _as_id(reference) == monitor.pk:
            return [monitor]
        if reference == monitor.name:
            named.append(monitor)
    return named


def _as_id(reference: str) -> UUID | None:
    try:
        return UUID(reference)
    except ValueError:
        return None


def refuse_rings(monitor: Monitor, parents: Collection[Monitor]) -> None:
    """Raise Invalid if `monitor` would come to depend on itself.

    Until the caller's transaction ends, nobody else in the team can tie the ring from its other
    end.
    """
    Team.objects.select_for_update(no_key=True).get(pk=monitor.team_id)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE above(id, through) AS (
                SELECT parent, parent FROM unnest(%s::uuid[]) AS given(parent)
                UNION
                SELECT link.to_monitor_id, above.through
                FROM above
                JOIN monitors_monitor_depends_on AS link ON link.from_monitor_id = above.id
            )
            SELECT through FROM above WHERE id = %s
            """,
            [[parent.pk for parent in parents], monitor.pk],
        )
        rings = {through for (through,) in cursor}
    sentences = [
        "A monitor can't depend on itself."
        if parent.pk == monitor.pk
        else f"{parent.name} depends on this monitor already."
        for parent in parents
        if parent.pk in rings
    ]
    if sentences:
        raise Invalid({"depends_on": sentences})
