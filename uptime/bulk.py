"""Many monitors saved as one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.audit import in_one_go
from accounts.models import Team, User
from monitors.actions import create_monitors, update_monitor
from monitors.drafts import Accepted, accept
from monitors.models import Assignment, Monitor
from uptime.errors import Invalid
from uptime.operations import set_enabled


@dataclass(frozen=True, slots=True)
class Saved:
    """Whose monitors these are now, in the order in which they were given."""

    ids: Sequence[UUID]
    updated: int

    @property
    def created(self) -> int:
        return len(self.ids) - self.updated


@transaction.atomic
def save_monitors(
    *, team: Team, items: Sequence[Mapping[str, Any]], by: User | None = None
) -> Saved:
    """Create or update monitors, all or none; one whose `key` the team has is updated.

    Raises Invalid with all that is wrong, as `monitors.<place>.<field>`.
    """
    _refuse_repeated_keys(items)
    keys = [item["key"] for item in items if item.get("key") is not None]
    known = {monitor.key: monitor for monitor in _lock_by_key(team, keys)}
    updated: dict[int, UUID] = {}
    new: dict[int, Accepted] = {}
    errors: dict[str, list[str]] = {}
    with in_one_go():
        for place, item in enumerate(items):
            try:
                if existing := known.get(item.get("key")):
                    _update(existing, item, by)
                    updated[place] = existing.pk
                else:
                    new[place] = accept(item, team=team)
            except Invalid as invalid:
                errors |= {
                    f"monitors.{place}.{name}".rstrip("."): sentences
                    for name, sentences in invalid.fields.items()
                }
        if errors:
            raise Invalid(errors)
        created = create_monitors(team=team, drafts=list(new.values()))
    ids = updated | {place: one.pk for place, one in zip(new, created, strict=True)}
    return Saved([ids[place] for place in range(len(items))], updated=len(known))


def _update(monitor: Monitor, values: Mapping[str, Any], by: User | None) -> None:
    update_monitor(monitor=monitor, values=values)
    if "enabled" in values:
        set_enabled(monitor=monitor, is_enabled=values["enabled"], by=by)


def _lock_by_key(team: Team, keys: Iterable[str]) -> list[Monitor]:
    """Lock all at once, in the order in which everybody does: assignments, then monitors, by id.

    One by one, in the order of the request, they would meet the engine's batches head-on.
    """
    wanted = Monitor.objects.visible_to(team).filter(key__in=keys)
    assignments = Assignment.objects.filter(monitor__in=wanted.values("id")).order_by("id")
    list(assignments.select_for_update(of=("self",)).values_list("id"))
    return list(wanted.locked())


def _refuse_repeated_keys(items: Iterable[Mapping[str, Any]]) -> None:
    seen = set()
    for place, item in enumerate(items):
        key = item.get("key")
        if key is not None and not isinstance(key, str):
            raise Invalid({f"monitors.{place}.key": ["This must be a text."]})
        if key in seen:
            raise Invalid({f"monitors.{place}.key": ["This key is given twice."]})
        if key is not None:
            seen.add(key)
