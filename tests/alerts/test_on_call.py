"""On call: schedules that people write, how members are reached, and steps that name a schedule."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.models import Membership, Team
from alerts.actions import create_policy, delete_channel, update_channel
from alerts.dispatch import Dispatcher
from alerts.escalation import decide_due
from alerts.models import Channel, Delivery, Escalation, Schedule
from alerts.on_call.actions import (
    add_override,
    create_schedule,
    delete_schedule,
    renew_feed,
    schedule_values,
    set_contacts,
    update_schedule,
)
from alerts.on_call.calendar import calendar_of, feed_key, opens
from alerts.on_call.reads import channels_on_call, contacts_of, duty_of, with_parts
from tests.alerts.scenes import (
    fail,
    make_monitor,
    make_team,
    make_webhook,
    queue,
    recover,
    send_due,
)
from tests.factories import MembershipFactory
from tests.servers.smtp import MailServer
from uptime.clock import database_now
from uptime.errors import Invalid

pytestmark = pytest.mark.django_db


def member(team: Team, name: str) -> Membership:
    return MembershipFactory(
        team=team, user__name=name, user__email=f"{name.lower()}@example.org", user__password=None
    )


@pytest.fixture
def ann(team: Team) -> Membership:
    return member(team, "Ann")


@pytest.fixture
def ben(team: Team) -> Membership:
    return member(team, "Ben")


def schedule_of(*members: Membership, **layer: Any) -> dict[str, Any]:
    known = {"members": [one.user.email for one in members], "start": "2026-01-05T09:00", **layer}
    return {"name": "Primary", "timezone": "Europe/Berlin", "layers": [known]}


def fresh(schedule: Schedule) -> Schedule:
    return with_parts(Schedule.objects.filter(pk=schedule.pk)).get()


def told() -> list[tuple[str, str]]:
    return list(Delivery.objects.order_by("pk").values_list("channel__name", "event"))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_schedule_is_read_as_it_was_written(team: Team, ann: Membership, ben: Membership) -> None:
    window = {"days": ["sat", "sun"], "start": "10:00", "end": "16:00"}
    values = {
        "name": "Primary",
        "timezone": "Europe/Berlin",
        "layers": [
            {
                "members": ["ann@example.org", "ben@example.org", "ann@example.org"],
                "start": "2026-01-05T09:00",
                "rotation": "custom",
                "turn_hours": 36,
                "windows": [],
            },
            {
                "members": ["ben@example.org"],
                "start": "2026-01-05T00:00",
                "rotation": "weekly",
                "turn_hours": 168,
                "windows": [window],
            },
        ],
    }
    schedule = create_schedule(team=team, values=values)
    assert schedule_values(fresh(schedule)) == values
    update_schedule(schedule=fresh(schedule), values={"name": "Second"})
    assert schedule_values(fresh(schedule)) == {**values, "name": "Second"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"timezone": "Mars"}, "timezone"),
        ({"layers": []}, "layers"),
        ({"members": []}, "layers.0.members"),
        ({"members": ["nobody@example.org"]}, "layers.0.members"),
        ({"start": "yesterday"}, "layers.0.start"),
        ({"start": "2026-01-05T09:00Z"}, "layers.0.start"),
        ({"rotation": "custom"}, "layers.0"),
        ({"rotation": "daily", "turn_hours": 25}, "layers.0"),
        ({"windows": [{"days": [], "start": "1", "end": "2"}]}, "layers.0.windows.0.days"),
        ({"colour": "red"}, "layers.0.colour"),
    ],
)
def test_wrong_values_of_a_schedule_are_named(
    team: Team, ann: Membership, changes: dict[str, Any], field: str
) -> None:
    values = schedule_of(ann)
    values = (
        {**values, **changes}
        if changes.keys() & values.keys()
        else {**values, "layers": [{**values["layers"][0], **changes}]}
    )
    with pytest.raises(Invalid) as raised:
        create_schedule(team=team, values=values)
    assert field in raised.value.fields
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"member": "nobody@example.org"}, "member"),
        ({"ends_at": "2026-01-05T09:00:00Z"}, ""),
        ({"ends_at": "2028-01-05T09:00:00Z"}, ""),
        ({"starts_at": "2026-01-05T09:00"}, "starts_at"),
    ],
)
def test_wrong_values_of_an_override_are_named(
    team: Team, ann: Membership, changes: dict[str, Any], field: str
) -> None:
    values = {
        "member": "ann@example.org",
        "starts_at": "2026-01-05T09:00:00Z",
        "ends_at": "2026-01-05T10:00:00Z",
    }
    with pytest.raises(Invalid) as raised:
        add_override(
            schedule=create_schedule(team=team, values=schedule_of(ann)),
            values={**values, **changes},
        )
    assert list(raised.value.fields) == [field]


def test_who_leaves_the_team_leaves_the_schedule(
    team: Team, ann: Membership, ben: Membership
) -> None:
    schedule = create_schedule(team=team, values=schedule_of(ann, ben))
    ann.delete()
    assert schedule_values(fresh(schedule))["layers"][0]["members"] == ["ben@example.org"]
    ben.delete()
    assert channels_on_call([schedule.pk], database_now()) == {schedule.pk: ()}


def test_a_member_is_reached_by_e_mail_unless_they_chose_otherwise(
    team: Team, ann: Membership, ben: Membership
) -> None:
    hook = make_webhook(team, "http://127.0.0.1:9/", "Ann's phone")
    set_contacts(member=ann, values={"channels": [hook.pk]})
    contacts = contacts_of([ann, ben])
    assert contacts[ann.pk] == (hook.pk,)
    [by_email] = contacts[ben.pk]
    made = Channel.objects.get(pk=by_email)
    assert (made.name, made.type, made.config) == (
        "E-mail to Ben",
        "email",
        {"to": ["ben@example.org"]},
    )
    assert contacts_of([ann, ben]) == contacts
    assert Channel.objects.count() == 2


def test_where_no_chosen_channel_works_any_more_it_is_by_e_mail_again(
    team: Team, ann: Membership
) -> None:
    hook = make_webhook(team, "http://127.0.0.1:9/")
    set_contacts(member=ann, values={"channels": [hook.pk]})
    update_channel(channel=hook, values={"enabled": False})
    [by_email] = contacts_of([ann])[ann.pk]
    assert Channel.objects.get(pk=by_email).member == ann
    delete_channel(channel=hook)
    assert contacts_of([ann])[ann.pk] == (by_email,)


def test_who_may_not_sign_in_any_more_is_not_reached(ann: Membership) -> None:
    ann.user.is_active = False
    assert contacts_of([ann]) == {}


def test_the_turns_of_who_may_not_sign_in_any_more_are_those_of_the_layer_below(
    team: Team, ann: Membership, ben: Membership
) -> None:
    values = schedule_of(ben)
    values["layers"] += schedule_of(ann)["layers"]
    schedule = create_schedule(team=team, values=values)
    now = database_now()
    times = {"starts_at": now - timedelta(hours=1), "ends_at": now + timedelta(hours=1)}
    add_override(schedule=schedule, values={"member": "ann@example.org", **times})
    assert duty_of(fresh(schedule), now).now.member == ann
    ann.user.is_active = False
    ann.user.save()
    assert duty_of(fresh(schedule), now).now.member == ben
    assert channels_on_call([schedule.pk], now)[schedule.pk] == contacts_of([ben])[ben.pk]


def test_contacts_are_the_teams_own(ann: Membership) -> None:
    with pytest.raises(Invalid, match="There is no channel"):
        set_contacts(member=ann, values={"channels": [uuid4()]})
    theirs = make_webhook(make_team(), "http://127.0.0.1:9/")
    with pytest.raises(Invalid, match="There is no channel"):
        set_contacts(member=ann, values={"channels": [theirs.pk]})


def test_a_members_e_mail_channel_has_no_address_to_set(ann: Membership) -> None:
    contacts_of([ann])
    channel = Channel.objects.get(member=ann)
    with pytest.raises(Invalid, match="nothing to set"):
        update_channel(channel=channel, values={"config": {"to": ["other@example.org"]}})
    update_channel(channel=channel, values={"name": "Ann"})


@pytest.fixture
def on_duty(team: Team, ann: Membership, ben: Membership) -> Schedule:
    """Ann is on call now, and Ben from in an hour on."""
    schedule = create_schedule(team=team, values=schedule_of(ann))
    later = {"starts_at": database_now() + timedelta(hours=1)}
    until = {"ends_at": database_now() + timedelta(days=3)}
    add_override(schedule=schedule, values={"member": "ben@example.org", **later, **until})
    return schedule


def by_schedule(team: Team, *steps: dict[str, Any]) -> None:
    values = {"name": "P", "all": True, "on": ["down", "recovered"], "steps": list(steps)}
    create_policy(team=team, values=values)


def step(schedule: Schedule, *, after: int = 0, **values: Any) -> dict[str, Any]:
    return {"delay_seconds": after * 60, "schedules": [schedule.pk], **values}


def test_a_step_tells_whoever_is_on_call_when_it_is_due(team: Team, on_duty: Schedule) -> None:
    by_schedule(team, step(on_duty), step(on_duty, after=120))
    failed = fail(make_monitor(team))
    queue(failed)
    assert told() == [("E-mail to Ann", "down")]
    decide_due(database_now() + timedelta(hours=2))
    assert told()[1:] == [("E-mail to Ben", "down")]
    queue(recover(failed.incident))
    assert sorted(told()[2:]) == [("E-mail to Ann", "recovered"), ("E-mail to Ben", "recovered")]


def test_a_channel_and_whom_it_is_a_contact_of_are_told_once(
    team: Team, ann: Membership, on_duty: Schedule
) -> None:
    hook = make_webhook(team, "http://127.0.0.1:9/")
    set_contacts(member=ann, values={"channels": [hook.pk]})
    by_schedule(team, step(on_duty, channels=[hook.pk]))
    assert len(queue(fail(make_monitor(team)))) == 1


def test_that_nobody_was_on_call_is_recorded(team: Team, ann: Membership) -> None:
    future = create_schedule(team=team, values=schedule_of(ann, start="2199-01-01T00:00"))
    by_schedule(team, step(future))
    assert queue(fail(make_monitor(team))) == []
    assert Escalation.objects.get().skipped_because == "nobody"


def test_a_deleted_schedule_leaves_its_policies_standing(team: Team, on_duty: Schedule) -> None:
    by_schedule(team, step(on_duty, after=5))
    queue(fail(make_monitor(team)))
    delete_schedule(schedule=on_duty)
    decide_due(database_now() + timedelta(minutes=5))
    assert told() == []


def test_a_schedule_of_another_team_is_unknown(team: Team, on_duty: Schedule) -> None:
    with pytest.raises(Invalid, match="no schedule"):
        by_schedule(make_team(), step(on_duty))


def test_a_storm_asks_once_who_is_on_call(
    team: Team, on_duty: Schedule, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    by_schedule(team, step(on_duty))
    queue(fail(make_monitor(team, "First")))  # makes the e-mail's channel
    transitions = [fail(make_monitor(team, f"Shop {number}")) for number in range(20)]
    with django_assert_num_queries(18):
        queue(*transitions)
    assert Delivery.objects.count() == 21


def test_the_e_mail_goes_to_the_address_that_the_member_has_by_then(
    team: Team, ann: Membership, on_duty: Schedule, mail_server: MailServer
) -> None:
    by_schedule(team, step(on_duty))
    queue(fail(make_monitor(team)))
    ann.user.email = "ann@new.example.org"
    ann.user.save()
    dispatcher = Dispatcher(uuid4())
    send_due(dispatcher)
    dispatcher.close()
    assert [mail["To"] for mail in mail_server.mails] == ["ann@new.example.org"]


def test_the_calendar_has_an_event_for_each_shift(
    team: Team, ann: Membership, ben: Membership
) -> None:
    schedule = create_schedule(team=team, values=schedule_of(ann, ben))
    text = calendar_of(fresh(schedule), utc("2026-03-20T12:00")).decode()
    assert text.startswith("BEGIN:VCALENDAR\r\n")
    assert text.count("BEGIN:VEVENT") == text.count("END:VEVENT") == 22
    assert "SUMMARY:Ann on call: Primary" in text
    # Monday 09:00 in Berlin, before and after the clocks change
    assert "DTSTART:20260323T080000Z" in text
    assert "DTSTART:20260330T070000Z" in text
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))


def test_a_shift_keeps_its_uid_while_it_lasts(team: Team, ann: Membership) -> None:
    schedule = fresh(create_schedule(team=team, values=schedule_of(ann, turn_hours=168)))

    def uids(at: str) -> set[str]:
        lines = calendar_of(schedule, utc(at)).decode().replace("\r\n ", "").split("\r\n")
        return {line for line in lines if line.startswith("UID")}

    assert uids("2026-03-20T12:00") == uids("2026-03-20T18:00")


def test_the_calendars_address_is_its_key(team: Team, ann: Membership) -> None:
    schedule = create_schedule(team=team, values=schedule_of(ann))
    key = feed_key(schedule.pk, schedule.feed_version)
    assert opens(schedule, key)
    assert not opens(schedule, "0" * 64)
    renew_feed(schedule=schedule)
    assert not opens(schedule, key)
