"""A team that has everything: what every page is looked at with.

`build` makes it in the database of a product that runs, in a process that has that product's
environment (see `installation.py`), and `main` prints the values that stand in addresses, as JSON.
Its monitors are never checked: what a page shows does not depend on when it is looked at.
"""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.test import Client
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from accounts.invitations import invite_member
from accounts.models import ApiToken, Membership, Passkey, Role, Scope, SecondFactor, Team, User
from accounts.tokens import issue_token
from accounts.two_factor import begin_setup
from alerts.actions import create_channel, create_policy
from alerts.models import Delivery
from alerts.on_call.actions import add_override, create_schedule, set_contacts
from incidents.actions import assign_incident
from incidents.links import ActionLink, Purpose
from incidents.maintenance.actions import create_window
from incidents.models import Incident, IncidentEvent
from monitors.actions import create_monitor
from monitors.histograms import Latencies
from monitors.models import (
    Assignment,
    DayRollup,
    HourRollup,
    Monitor,
    Ping,
    PingKind,
    SavedView,
    StatusSpan,
)
from monitors.partitions import ensure_partitions
from monitors.specs import spec_of
from monitors.storing import copy_results
from probe.values import Finished, Job, Observation, Phases, Reason, Status
from statuspages.actions import (
    add_component,
    add_post_update,
    create_page,
    publish_post,
    save_template,
    show_badges,
)
from statuspages.models import Post, PostUpdate, SubscriberKind
from statuspages.subscriptions import ask_to_confirm, confirm
from tests.incidents.scenes import observe
from uptime.clock import database_now
from uptime.operations import acknowledge_incident, comment_incident, pause_monitor

PASSWORD = "correct horse battery staple"
OWNER = "mara@lantern.example"
NEWCOMER = "new@elsewhere.example"
GUARDED = "two@elsewhere.example"
KEEPER = "key@elsewhere.example"

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
PAST = 89 * DAY


@dataclass(frozen=True)
class Watched:
    """A monitor as it is to be; `outages` are days ago and minutes long."""

    name: str
    kind: str
    target: str = ""
    tags: Sequence[str] = ()
    usual_ms: float = 40
    outages: Sequence[tuple[float, float]] = ()
    now: str = "up"
    interval: int = 300
    settings: dict[str, Any] | None = None
    sla_target: int | None = None


SHOP = Watched(
    *("Shop", "http", "https://www.lantern.example/", ("production", "web")),
    usual_ms=182,
    outages=((61.2, 14), (33.4, 4), (12.7, 41), (3.3, 2)),
    interval=60,
    sla_target=999,
    settings={
        "assertions": [
            {"source": "body", "comparison": "contains", "value": "Add to basket"},
            {
                "source": "latency",
                "comparison": "less_than",
                "value": 1500,
                "severity": "degraded",
            },
        ]
    },
)
CHECKOUT = Watched(
    *("Checkout API", "http", "https://api.lantern.example/checkout/health", ("production", "api")),
    usual_ms=96,
    outages=((48.1, 9), (12.7, 38)),
    now="down",
    interval=60,
)
SEARCH = Watched(
    *("Search", "http", "https://search.lantern.example/?q=lantern", ("production", "web")),
    usual_ms=310,
    outages=((20.5, 6),),
    now="slow",
    interval=60,
)
BACKUP = Watched("Nightly backup", "heartbeat", tags=("jobs",), outages=((26.1, 480),))
PAYMENTS = Watched(
    *("Payments", "http", "https://pay.lantern.example/status", ("production", "api")), usual_ms=140
)
BLOG = Watched("Old blog", "http", "https://blog.lantern.example/", ("web",), now="paused")
FEED = Watched("Partner feed", "http", "https://partners.lantern.example/feed.xml", now="pending")
OTHERS = (
    Watched("Images", "http", "https://img.lantern.example/health", ("web", "cdn"), 31),
    Watched("Orders database", "postgres", "db-1.lantern.example:5432", ("data",), 6),
    Watched("Cache", "redis", "cache-1.lantern.example:6379", ("data",), 2),
    Watched("Name servers", "dns", "lantern.example", ("network",), 18),
    Watched("Certificate", "tls", "www.lantern.example:443", ("web",), 64),
    Watched("Office gateway", "icmp", "gw.lantern.example", ("network",), 9, ((7.2, 25),)),
    Watched("Outgoing mail", "smtp", "mail.lantern.example:587", ("mail",), 88),
    Watched("SSH on build-1", "tcp", "build-1.lantern.example:22", ("jobs",), 12),
    Watched("Domain", "domain", "lantern.example", ("network",), 420, interval=86_400),
    Watched("Warehouse scanner line", "manual", "", ("warehouse",)),
)


def build(receiver: str) -> dict[str, Any]:
    """Make all of it; returns what addresses need."""
    now = database_now()
    owner = _member(
        "Mara Lindholm", OWNER, "Lantern Books", Role.OWNER, is_staff=True, is_superuser=True
    )
    team, mara = owner.team, owner.user
    jonas = _member("Jonas Weber", "jonas@lantern.example", team, Role.EDITOR)
    aiko = _member("Aiko Tanaka", "aiko@lantern.example", team, Role.VIEWER)
    told: dict[str, Any] = {"member_id": aiko.pk}

    monitors = {one.name: _watch(team, one, now) for one in _ALL}
    told |= {"monitor_id": monitors["Shop"].pk, "monitors": {}}
    for name, monitor in monitors.items():
        told["monitors"][name] = str(monitor.pk)
    _ping(monitors[BACKUP.name], now)
    told |= _alerting(team, [owner, jonas], receiver, now)
    told |= _trouble(monitors, mara, jonas.user, now)
    told |= _maintenance(team, monitors, now)
    told |= _public(team, monitors, mara, receiver, now)
    told |= _people(team, mara, now)
    return told


_ALL = (SHOP, CHECKOUT, SEARCH, BACKUP, PAYMENTS, BLOG, FEED, *OTHERS)


def _member(name: str, email: str, team: Any, role: str, **more: bool) -> Membership:
    if isinstance(team, str):
        team = Team.objects.create(name=team)
    user = User.objects.create_user(email, PASSWORD, name=name, **more)
    return Membership.objects.create(team=team, user=user, role=role)


# -- monitors --------------------------------------------------------------------------------------


def _watch(team: Team, wanted: Watched, now: datetime) -> Monitor:
    """Make the monitor with its past, as checks would have left it."""
    values: dict[str, Any] = {
        "name": wanted.name,
        "kind": wanted.kind,
        "tags": list(wanted.tags),
        "interval": wanted.interval,
        "settings": wanted.settings or {},
        "sla_target": wanted.sla_target,
    }
    if wanted.target:
        values["target"] = wanted.target
    if wanted.kind == "heartbeat":
        values["settings"] = {"schedule": "0 3 * * *", "timezone": "Europe/Berlin", "grace": 1800}
        del values["interval"]
    if wanted.kind == "postgres":
        values["settings"] = {"username": "watch", "password": "not told"}
    begun = now - PAST
    monitor = create_monitor(team=team, values=values)
    Monitor.objects.filter(pk=monitor.pk).update(created_at=begun, last_change_at=begun)
    StatusSpan.objects.filter(monitor=monitor).update(started_at=begun)
    if wanted.now != "pending":
        _live_through(monitor, wanted, now)
    Assignment.objects.filter(monitor=monitor).update(next_due_at=None)
    if wanted.now == "paused":
        pause_monitor(monitor=monitor)
    return Monitor.objects.get(pk=monitor.pk)


def _live_through(monitor: Monitor, wanted: Watched, now: datetime) -> None:
    is_asked = wanted.kind not in ("heartbeat", "manual")
    up = _passed(wanted.usual_ms, now) if is_asked else Observation(Status.UP)
    down = Observation(
        *(Status.DOWN, Reason.HTTP_STATUS),
        *("The answer had the status 503 (Service Unavailable).", 41.0),
        http_status=503,
    )
    _see(monitor, up, at=now - PAST + MINUTE)
    for days, minutes in wanted.outages:
        at = now - days * DAY
        for seen, after_s in ((down, 0), (down, 5), (up, minutes * 60)):
            _see(monitor, seen, at=at + timedelta(seconds=after_s))
    assignment = Assignment.objects.get(monitor=monitor)
    if is_asked:
        copy_results(list(_checks(monitor, assignment.pk, wanted, now)))
        _roll_up(assignment.pk, wanted, now)
    if wanted.now != "paused":
        _see(monitor, up, at=now - 20 * MINUTE)


def _see(monitor: Monitor, *seen: Observation, at: datetime) -> None:
    observe(monitor, *seen, at=at)


def _passed(usual_ms: float, now: datetime, chance: Random | None = None) -> Observation:
    factor = chance.lognormvariate(0, 0.12) if chance else 1
    shares = (0.05, 0.13, 0.22, 0.56, 0.04)
    phases = [round(usual_ms * share * factor, 3) for share in shares]
    return Observation(
        Status.UP,
        latency_ms=round(sum(phases), 3),
        phases=Phases(*phases),
        http_status=200,
        cert_expires_at=now + 61 * DAY,
    )


def _wave(usual_ms: float, at: datetime) -> float:
    """Busier by day than by night."""
    return usual_ms * (1 + 0.22 * math.sin((at.hour + at.minute / 60 - 9) / 24 * math.tau))


def _checks(monitor: Monitor, assignment: int, wanted: Watched, now: datetime) -> Iterable[Any]:
    """The last day's, but for the last half hour."""
    chance, spec = Random(assignment), spec_of(monitor)
    due = now - DAY
    while due < now - HOUR / 2:
        seen = _passed(_wave(wanted.usual_ms, due), now, chance)
        yield Finished(Job(assignment, spec, due), seen, due, due + timedelta(seconds=1))
        due += timedelta(seconds=wanted.interval)


def _roll_up(assignment: int, wanted: Watched, now: datetime) -> None:
    """What hours and days add up to, as the chores would have written it."""
    chance = Random(assignment)
    hour = now.replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    for model, first, step, count in (
        (HourRollup, hour - 8 * DAY, HOUR, 8 * 24),
        (DayRollup, day - 89 * DAY, DAY, 89),
    ):
        rows = []
        for n in range(count):
            at = first + n * step
            middle = _wave(wanted.usual_ms, at) if step == HOUR else wanted.usual_ms
            middle *= chance.lognormvariate(0, 0.05)
            seen = Latencies.of(middle * chance.lognormvariate(0, 0.2) for _ in range(12))
            checks = round(step.total_seconds() / wanted.interval / 12) * 12
            rows.append(
                model(
                    assignment_id=assignment,
                    started_at=at,
                    latency_sum_ms=seen.sum_ms * checks / 12,
                    latency_min_ms=seen.min_ms,
                    latency_max_ms=seen.max_ms,
                    up=checks,
                    degraded=0,
                    down=0,
                    unknown=0,
                    histogram={b: n * checks // 12 for b, n in seen.buckets.items()},
                )
            )
        model.objects.bulk_create(rows, ignore_conflicts=True)


def _ping(monitor: Monitor, now: datetime) -> None:
    night = now.replace(hour=2, minute=0, second=0, microsecond=0)
    body = b"db-1: 41.3 GB in 11 min 02 s\ncache-1: skipped\nuploaded to vault-2\n"
    for ago in range(1, 8):
        at = night - ago * DAY
        for kind, after, said in (
            (PingKind.START, timedelta(), b""),
            (PingKind.SUCCESS, timedelta(seconds=662 + 7 * ago), body),
        ):
            Ping.objects.create(
                monitor=monitor,
                kind=kind,
                at=at + after,
                method="POST" if said else "GET",
                duration_ms=after.total_seconds() * 1000 or None,
                remote_address="192.0.2.17",
                user_agent="curl/7.88.1",
                body=said,
            )


# -- alerting --------------------------------------------------------------------------------------


def _alerting(
    team: Team, members: Sequence[Membership], receiver: str, now: datetime
) -> dict[str, Any]:
    def channel(name: str, type_: str, **config: Any) -> Any:
        values = {"name": name, "type": type_, "config": config, "reports": ["weekly"]}
        return create_channel(team=team, values=values)

    hook = channel("Incident bot", "webhook", url=f"{receiver}/hook")
    mail = channel("The shop team", "email", to=["team@lantern.example"])
    chat = channel("#shop-alerts", "slack", url=f"{receiver}/services/T0/B0/x")
    mara, jonas = members
    set_contacts(member=mara, values={"channels": [str(hook.pk)]})
    schedule = create_schedule(
        team=team,
        values={
            "name": "Shop, around the clock",
            "timezone": "Europe/Berlin",
            "layers": [
                {"members": [one.user.email for one in members], "start": "2026-01-05T09:00"}
            ],
        },
    )
    override = add_override(
        schedule=schedule,
        values={
            "member": jonas.user.email,
            "starts_at": now + 2 * DAY,
            "ends_at": now + 2 * DAY + 9 * HOUR,
        },
    )
    policy = create_policy(
        team=team,
        values={
            "name": "Production",
            "tags": ["production"],
            "on": ["down", "degraded", "recovered"],
            "steps": [
                {"delay_seconds": 0, "channels": [str(hook.pk), str(chat.pk)]},
                {
                    "delay_seconds": 86_400,
                    "schedules": [str(schedule.pk)],
                    "repeat_seconds": 1800,
                },
            ],
        },
    )
    create_policy(
        team=team,
        values={
            "name": "Everything else, by mail",
            "all": True,
            "on": ["down", "recovered", "certificate_expiring"],
            "steps": [{"delay_seconds": 172_800, "channels": [str(mail.pk)]}],
        },
    )
    return {
        "channel_id": hook.pk,
        "policy_id": policy.pk,
        "schedule_id": schedule.pk,
        "override_id": override.pk,
    }


def _trouble(
    monitors: dict[str, Monitor], mara: User, jonas: User, now: datetime
) -> dict[str, Any]:
    """What is wrong now, and what was said and sent about it."""
    refused = Observation(
        *(Status.DOWN, Reason.HTTP_STATUS),
        *("The answer had the status 503 (Service Unavailable).", 41.0),
        http_status=503,
    )
    slow = Observation(
        *(Status.DEGRADED, Reason.LATENCY),
        *("It took 2.4 s; above 1.5 s is degraded.", 2412.0),
        http_status=200,
    )
    begun = now - 14 * MINUTE
    for seen, name, at in (
        (refused, CHECKOUT.name, begun),
        (slow, SEARCH.name, now - 5 * MINUTE),
    ):
        for after_s in (0, 5):
            _see(monitors[name], seen, at=at + timedelta(seconds=after_s))
        Assignment.objects.filter(monitor=monitors[name]).update(next_due_at=None)
    incident = Incident.objects.unresolved().get(monitor=monitors[CHECKOUT.name])
    IncidentEvent.objects.filter(incident=incident).update(at=begun + timedelta(seconds=5))
    acknowledge_incident(incident=incident, by=mara)
    assign_incident(incident=incident, to=jonas, by=mara)
    comment_incident(
        incident=incident,
        by=jonas,
        message="The release of 14:05 is the only change since. Rolling it back.",
        public=True,
    )
    for place, event in enumerate(incident.events.order_by("at", "id")[1:]):
        IncidentEvent.objects.filter(pk=event.pk).update(at=begun + (place + 2) * 2 * MINUTE)
    over = Incident.objects.filter(monitor=monitors[SHOP.name]).latest("started_at")
    delivery = Delivery.objects.filter(incident=incident).earliest("created_at")
    return {
        "incident_id": incident.pk,
        "over_id": over.pk,
        "delivery_id": delivery.pk,
        "act": ActionLink(Purpose.RESOLVE, incident.pk).url.rstrip("/").rsplit("/")[-1],
    }


def _maintenance(team: Team, monitors: dict[str, Monitor], now: datetime) -> dict[str, Any]:
    window = create_window(
        team=team,
        values={
            "name": "Card terminal migration",
            "starts_at": now - HOUR,
            "ends_at": now + 5 * HOUR,
            "monitors": [str(monitors[PAYMENTS.name].pk)],
            "public": True,
        },
    )
    create_window(
        team=team,
        values={
            "name": "Database upkeep",
            "starts_at": now + 3 * DAY,
            "ends_at": now + 3 * DAY + HOUR,
            "rrule": "FREQ=WEEKLY",
            "timezone": "Europe/Berlin",
            "tags": ["data"],
        },
    )
    return {"window_id": window.pk}


# -- what the public sees --------------------------------------------------------------------------


def _public(
    team: Team, monitors: dict[str, Monitor], by: User, receiver: str, now: datetime
) -> dict[str, Any]:
    page = create_page(
        team=team,
        values={
            "name": "Lantern Books",
            "slug": "lantern",
            "description": "How the shop and what is behind it are doing.",
        },
    )
    components = {}
    for section, name, monitor, extra in (
        ("Shop", "Website", SHOP, {"show_latency": True}),
        ("Shop", "Search", SEARCH, {}),
        ("Shop", "Checkout", CHECKOUT, {"description": "Basket, addresses, orders"}),
        ("Shop", "Payments", PAYMENTS, {}),
        ("Behind it", "E-mail", OTHERS[6], {}),
        ("Behind it", "Warehouse", None, {}),
    ):
        values = {"name": name, "section": section, **extra}
        if monitor:
            values["monitor"] = str(monitors[monitor.name].pk)
        components[name] = add_component(page=page, values=values)
    old = publish_post(
        page=page,
        values={
            "title": "Orders were slow to confirm",
            "phase": "resolved",
            "body": "A queue had filled up. All orders were confirmed by 11:40; none is lost.",
        },
        by=by,
    )
    Post.objects.filter(pk=old.pk).update(starts_at=now - 12.7 * DAY)
    PostUpdate.objects.filter(post=old).update(at=now - 12.7 * DAY + 40 * MINUTE)
    post = publish_post(
        page=page,
        values={
            "title": "Checkout does not take orders",
            "phase": "investigating",
            "body": "We see errors when orders are placed and are **looking into it**.",
            "affected": [{"component": str(components["Checkout"].pk), "impact": "major_outage"}],
        },
        by=by,
    )
    Post.objects.filter(pk=post.pk).update(starts_at=now - 13 * MINUTE)
    PostUpdate.objects.filter(post=post).update(at=now - 13 * MINUTE)
    add_post_update(
        post=post,
        values={
            "phase": "identified",
            "body": "A release is the cause. We are going back to the one before it.",
        },
        by=by,
    )
    publish_post(
        page=page,
        values={
            "kind": "maintenance",
            "title": "Database upkeep",
            "phase": "scheduled",
            "body": "Searching and ordering may be slow for some minutes.",
            "starts_at": now + 3 * DAY,
            "ends_at": now + 3 * DAY + HOUR,
            "affected": [{"component": str(components["Search"].pk), "impact": "degraded"}],
        },
        by=by,
    )
    closed = create_page(
        team=team,
        values={
            "name": "For wholesale",
            "slug": "wholesale",
            "visibility": "password",
            "password": PASSWORD,
            "language": "de",
        },
    )
    add_component(page=closed, values={"name": "Bestellungen"})
    template = save_template(
        team=team,
        values={
            "name": "We are looking",
            "title": "Something is wrong with …",
            "phase": "investigating",
            "body": "We see errors and are looking into it.",
        },
    )
    subscriber = ask_to_confirm(page=page, kind=SubscriberKind.EMAIL, address="reader@example.com")
    confirm(subscriber=subscriber)
    ask_to_confirm(page=page, kind=SubscriberKind.WEBHOOK, address=f"{receiver}/told")
    show_badges(monitor=monitors[SHOP.name])
    return {
        "page_id": page.pk,
        "slug": page.slug,
        "closed": closed.slug,
        "component_id": components["Website"].pk,
        "post_id": post.pk,
        "template_id": template.pk,
        "subscriber_id": subscriber.pk,
        "subscription": subscriber.token,
    }


# -- people ----------------------------------------------------------------------------------------


def _people(team: Team, owner: User, now: datetime) -> dict[str, Any]:
    invitation, token = invite_member(
        team=team, email="priya@lantern.example", role=Role.EDITOR, by=owner
    )
    view = SavedView.objects.create(
        team=team, user=owner, name="Production", query="tag=production"
    )
    issue_token(team=team, user=owner, name="Deploys", scope=Scope.WRITE)
    deploys = ApiToken.objects.get(team=team)
    _member("Nia New", NEWCOMER, "A new team", Role.OWNER)
    guarded = _member("Theo Two", GUARDED, "Two factors", Role.OWNER).user
    begin_setup(user=guarded)
    SecondFactor.objects.filter(user=guarded).update(confirmed_at=now)
    keeper = _member("Kim Key", KEEPER, "Passkeys", Role.OWNER).user
    passkey = Passkey.objects.create(
        user=keeper, name="Phone", credential_id=b"of nobody", public_key=b"of nobody"
    )
    return {
        "sessions": {one.email: _session(one) for one in User.objects.filter(name__gt="")},
        "passkey_id": passkey.pk,
        "invitation_id": invitation.pk,
        "invitation": token,
        "view_id": view.pk,
        "token_id": deploys.pk,
        "uidb64": urlsafe_base64_encode(force_bytes(owner.pk)),
        "reset": default_token_generator.make_token(owner),
    }


def _session(user: User) -> str:
    """What the cookie of somebody who is signed in holds."""
    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def main() -> None:
    ensure_partitions([(datetime.now(UTC) - n * DAY).date() for n in range(91)])
    with transaction.atomic():
        told = build(sys.argv[1])
    print(json.dumps(told, default=str))
