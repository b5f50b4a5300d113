"""A location where nobody checks is told of, once, and so is its end; what is busy is not."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.db import OperationalError, ProgrammingError
from django.test import Client

from accounts.models import Team
from alerts.actions import create_policy
from alerts.dispatch import Dispatcher
from alerts.models import Delivery
from monitors.models import Assignment, Location, Shift
from tests.alerts.scenes import make_webhook, send_due
from tests.factories import MembershipFactory, make_monitor
from tests.servers.smtp import MailServer
from tests.servers.webhook import Receiver
from uptime import metrics
from uptime.clock import database_now
from uptime.shifts import begin_shift
from uptime.sight import Lookout

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def team() -> Team:
    owner = MembershipFactory(user__is_superuser=True, user__is_staff=True)
    make_monitor(owner.team)
    team: Team = owner.team
    return team


class Scene:
    """Time goes on by hand, from now."""

    def __init__(self) -> None:
        self.lookout = Lookout()
        self.now: datetime = database_now()

    def look_on(self, seconds: int, *, engine: Shift | None = None) -> None:
        """Look once a second for so long, while that engine beats, if there is one."""
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            if engine:
                Shift.objects.filter(pk=engine.pk).update(beat_at=self.now)
            self.lookout.look(self.now)


@pytest.fixture
def scene(team: Team) -> Scene:
    Assignment.objects.update(next_due_at=database_now() + timedelta(hours=1))
    return Scene()


def engine() -> Shift:
    shift = begin_shift("checks")
    assert shift is not None
    return shift


def overdue_by(now: datetime, seconds: int, **values: object) -> None:
    due_at = now - timedelta(seconds=seconds)
    Assignment.objects.update(next_due_at=due_at, **values)


def events() -> list[str]:
    return list(Delivery.objects.order_by("created_at").values_list("event", flat=True))


def is_offline() -> bool:
    return Location.objects.get(slug=Location.LOCAL).offline_since is not None


def test_owners_and_policies_hear_once_that_nobody_checks_and_then_of_its_end(
    team: Team, scene: Scene, receiver: Receiver, mail_server: MailServer
) -> None:
    channel = make_webhook(team, receiver.url)
    policy = {"name": "P", "all": True, "on": ["agent_offline"]}
    create_policy(team=team, values={**policy, "steps": [{"channels": [channel.pk]}]})
    dispatcher = Dispatcher(uuid4())
    scene.look_on(29)
    assert events() == []
    scene.look_on(120)
    assert events() == ["agent_offline"] * 2
    send_due(dispatcher, at=scene.now)
    scene.look_on(10, engine=engine())
    assert not is_offline()
    send_due(dispatcher, at=scene.now)
    dispatcher.close()
    told = [request.json() for request in receiver.requests]
    assert [one["event"] for one in told] == ["agent_offline", "agent_online"]
    subjects = [mail["Subject"] for mail in mail_server.mails]
    assert subjects[0] == "Agent offline: local"
    assert subjects[1].startswith("Agent back: local, after ")


def test_a_moment_without_an_engine_is_not_told(scene: Scene) -> None:
    scene.look_on(25)
    scene.look_on(10, engine=engine())
    Shift.objects.all().delete()
    scene.look_on(25)
    assert (events(), is_offline()) == ([], False)


def test_after_a_stop_of_everything_the_engines_have_time_to_begin(scene: Scene) -> None:
    overdue_by(scene.now, 3600)
    scene.look_on(25)
    assert not is_offline()


def test_an_engine_that_takes_nothing_is_told_until_it_does(scene: Scene) -> None:
    beating = engine()
    overdue_by(scene.now, 61)
    scene.look_on(40, engine=beating)
    assert is_offline()
    overdue_by(scene.now, 20)
    scene.look_on(10, engine=beating)
    assert (events(), is_offline()) == (["agent_online"], False)


def test_what_waits_at_a_busy_host_is_taken(scene: Scene) -> None:
    beating = engine()
    later = scene.now + timedelta(hours=1)
    overdue_by(scene.now, 600, lease_owner=uuid4(), lease_expires_at=later)
    scene.look_on(40, engine=beating)
    assert not is_offline()


def test_a_fault_of_ours_keeps_nobody_from_sending(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(now: datetime) -> None:
        raise failure

    monkeypatch.setattr("uptime.vitals.untaken_checks", fail)
    failure: Exception = ProgrammingError("no such column")
    scene.look_on(40)
    assert (events(), is_offline()) == ([], False)
    failure = OperationalError("the line was cut")
    with pytest.raises(OperationalError):  # which whoever looks waits out
        scene.look_on(10)


def test_two_that_look_tell_it_once(scene: Scene) -> None:
    other = Scene()
    scene.look_on(60)
    other.look_on(60)
    assert events() == ["agent_offline"]
    scene.look_on(10, engine=engine())
    other.now = scene.now
    other.look_on(10, engine=Shift.objects.get())
    assert events() == ["agent_online"]  # what had not left gives way to it


def test_pages_and_metrics_say_so(team: Team, scene: Scene, client: Client) -> None:
    client.force_login(team.memberships.get().user)
    assert 'uptime_location_offline{location="local"} 0.0' in metrics.exposition().decode()
    assert "Nobody has checked" not in client.get("/").content.decode()
    scene.look_on(40)
    assert 'uptime_location_offline{location="local"} 1.0' in metrics.exposition().decode()
    for page in ("/", team.monitors.get().get_absolute_url()):
        found = client.get(page).content.decode()
        assert "Nobody has checked at the location “This installation” since" in found
