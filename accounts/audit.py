"""The audit trail: what people and tokens did.

Actions call `record` where they write, in the transaction of the write. Who does it is known from
the request that is being served (`accounts.middleware.remember_request`): outside of one, what is
done is the installation's own doing, of which logs and timelines tell, and nothing is recorded.

No value is recorded, only which fields changed: no secret can be among them.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Model
from django.http import HttpRequest

from accounts.models import AuditEntry, Team, User

KEPT = timedelta(days=365)
# A chore's bite: one statement is no long lock.
FORGOTTEN_AT_ONCE = 10_000

ACTIONS = {
    "monitor.created": "Monitor created",
    "monitor.changed": "Monitor changed",
    "monitor.deleted": "Monitor deleted",
    "monitor.paused": "Monitor paused",
    "monitor.snoozed": "Monitor snoozed",
    "monitor.unsnoozed": "Monitor's snooze ended",
    "monitor.resumed": "Monitor resumed",
    "incident.acknowledged": "Incident acknowledged",
    "incident.assigned": "Incident assigned",
    "incident.commented": "Incident commented",
    "incident.resolved": "Incident resolved",
    "maintenance.created": "Maintenance window created",
    "maintenance.changed": "Maintenance window changed",
    "maintenance.started": "Maintenance started early",
    "maintenance.extended": "Maintenance extended",
    "maintenance.ended": "Maintenance ended early",
    "maintenance.deleted": "Maintenance window deleted",
    "channel.created": "Channel created",
    "channel.changed": "Channel changed",
    "channel.deleted": "Channel deleted",
    "policy.created": "Policy created",
    "policy.changed": "Policy changed",
    "policy.deleted": "Policy deleted",
    "schedule.created": "Schedule created",
    "schedule.changed": "Schedule changed",
    "schedule.deleted": "Schedule deleted",
    "override.added": "Somebody put on call for a time",
    "override.removed": "Override of a schedule removed",
    "contacts.changed": "Contacts for on-call changed",
    "status_page.created": "Status page created",
    "status_page.changed": "Status page changed",
    "status_page.deleted": "Status page deleted",
    "post.published": "Post published",
    "post.changed": "Post changed",
    "post.deleted": "Post deleted",
    "member.invited": "Member invited",
    "member.uninvited": "Invitation taken back",
    "member.joined": "Member joined",
    "member.changed": "Role changed",
    "member.removed": "Member removed",
    "token.created": "Token created",
    "token.revoked": "Token revoked",
    "two_factor.on": "Codes of an app set up",
    "two_factor.off": "Codes of an app turned off",
    "recovery_code.used": "Recovery code used",
    "passkey.added": "Passkey added",
    "passkey.removed": "Passkey removed",
    "team.created": "Team created",
    "team.changed": "Team changed",
}

request_served: ContextVar[HttpRequest | None] = ContextVar("request_served", default=None)
_gathered: ContextVar[list[AuditEntry] | None] = ContextVar("gathered", default=None)


def record(
    action: str,
    what: Model,
    *,
    team: Team | UUID,
    changed: Collection[str] = (),
    name: str = "",
    by: User | None = None,
) -> None:
    """Record what the present request does to `what`; `changed` names fields.

    `by` is for who is not signed in yet.
    """
    assert action in ACTIONS, action
    request = request_served.get()
    user = by or getattr(request, "user", None)
    if request is None or not isinstance(user, User):
        return
    entry = AuditEntry(
        team_id=team.pk if isinstance(team, Team) else team,
        user=user,
        who=user.email,
        token=getattr(getattr(request, "auth", None), "token_name", ""),
        action=action,
        object_id=str(what.pk),
        object_name=(name or str(what))[:200],
        changed=sorted(changed),
        address=request.META.get("REMOTE_ADDR", "")[:45],
    )
    gathered = _gathered.get()
    if gathered is None:
        entry.save(force_insert=True)
    else:
        gathered.append(entry)


def record_for_user(action: str, what: Model, *, user: User, name: str = "") -> None:
    """Record what somebody does to their own account, in each team that they are in."""
    if request_served.get() is None:
        return
    for team_id in user.memberships.values_list("team_id", flat=True):
        record(action, what, team=team_id, name=name, by=user)


def record_each(action: str, rows: Iterable[Any], *, changed: Collection[str] = ()) -> None:
    """Record the same of rows that have a team, in one statement; call it before a deletion."""
    if request_served.get() is None:
        return
    with in_one_go():
        for one in rows:
            record(action, one, team=one.team_id, changed=changed)


@contextmanager
def in_one_go() -> Iterator[None]:
    """What is recorded within is written at its end, in one statement: for many at once."""
    entries: list[AuditEntry] = []
    mark = _gathered.set(entries)
    try:
        yield
    finally:
        _gathered.reset(mark)
    AuditEntry.objects.bulk_create(entries)


def forget_audit(now: datetime) -> int:
    """Delete what is past its time, a bite of it; returns how many."""
    old = AuditEntry.objects.filter(at__lt=now - KEPT).order_by("at").values("pk")
    count, _ = AuditEntry.objects.filter(pk__in=old[:FORGOTTEN_AT_ONCE]).delete()
    return count
