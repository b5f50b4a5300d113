"""What monitors depend on and who is in a group: found by the names that people give, and never in
a ring.

In a ring of dependencies each monitor would wait for another to recover, silent for ever; a group
that contains itself would stay what it once was.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Tie:
    """One of the ways in which monitors are tied to others, and what to say of a ring of it."""

    field: str
    to_itself: str
    already: str


DEPENDS_ON = Tie(
    "depends_on", "A monitor can't depend on itself.", "{} depends on this monitor already."
)
MEMBERS = Tie("members", "A group can't be in itself.", "{} contains this group already.")


def refuse_rings(monitor: Monitor, others: Collection[Monitor], tie: Tie) -> None:
    """Raise Invalid if `monitor` would come to be tied to itself.

    Until the caller's transaction ends, nobody else in the team can tie the ring from its other
    end.
    """
    Team.objects.select_for_update(no_key=True).get(pk=monitor.team_id)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH RECURSIVE above(id, through) AS (
                SELECT other, other FROM unnest(%s::uuid[]) AS given(other)
                UNION
                SELECT link.to_monitor_id, above.through
                FROM above
                JOIN monitors_monitor_{tie.field} AS link ON link.from_monitor_id = above.id
            )
            SELECT through FROM above WHERE id = %s
            """,  # noqa: S608 - the field is one of the two above
            [[other.pk for other in others], monitor.pk],
        )
        rings = {through for (through,) in cursor}
    sentences = [
        tie.to_itself if other.pk == monitor.pk else tie.already.format(other.name)
        for other in others
        if other.pk in rings
    ]
    if sentences:
        raise Invalid({tie.field: sentences})
