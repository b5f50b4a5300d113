"""The calendar of a schedule (RFC 5545), at an address that is its own key."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac
from icalendar import Calendar, Event

from alerts.models import Schedule
from alerts.on_call.reads import rota_of
from alerts.on_call.rotation import shifts

BEHIND, AHEAD = timedelta(days=30), timedelta(days=120)
ASK_AGAIN = timedelta(hours=1)
_SALT = "alerts.on_call.calendar"


def feed_address(schedule: Schedule) -> str:
    path = reverse("on-call-feed", args=[schedule.pk, feed_key(schedule.pk, schedule.feed_version)])
    return f"{settings.BASE_URL}{path}"


def feed_key(schedule_id: UUID, version: int) -> str:
    """What opens the calendar without a login: 256 bits, made from the installation's secret."""
    mac = salted_hmac(_SALT, f"{schedule_id}:{version}", algorithm="sha256")
    return str(mac.hexdigest())


def opens(schedule: Schedule, key: str) -> bool:
    return constant_time_compare(key, feed_key(schedule.pk, schedule.feed_version))


def calendar_of(schedule: Schedule, now: datetime) -> bytes:
    """One event for each shift, all times in UTC; for a schedule that was read `with_parts`."""
    calendar = Calendar()
    calendar.add("prodid", "-//Uptime//On call//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("name", schedule.name)
    calendar.add("x-wr-calname", schedule.name)
    calendar.add("refresh-interval", ASK_AGAIN, parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", "PT1H")
    # From a fixed instant, so that a shift that is under way keeps its start, and so its UID.
    since = (now - BEHIND).replace(hour=0, minute=0, second=0, microsecond=0)
    for shift in shifts(rota_of(schedule), since, now + AHEAD):
        if shift.member:
            event = Event()
            event.add("uid", f"{shift.start:%Y%m%dT%H%M%SZ}-{schedule.pk}@on-call")
            event.add("dtstamp", schedule.updated_at.astimezone(UTC))
            event.add("dtstart", shift.start.astimezone(UTC))
            event.add("dtend", shift.end.astimezone(UTC))
            event.add("summary", f"{shift.member.user} on call: {schedule.name}")
            event.add("transp", "TRANSPARENT")
            calendar.add_component(event)
    return bytes(calendar.to_ical())
