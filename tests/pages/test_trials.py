"""Trying a monitor out before it is saved: the real prober against real servers."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Team
from monitors import trials
from monitors.models import Assignment, Monitor, Result
from tests.factories import full_settings, make_monitor
from tests.pages.test_monitor_forms import dotted
from tests.servers.authority import Authority
from tests.servers.raw import free_port, unanswered_port
from tests.servers.webhook import Receiver, Reply
from uptime.errors import Conflict
from uptime.secrets import MASK

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def site() -> Iterator[Receiver]:
    with Receiver() as receiver:
        receiver.default = Reply(body=b'{"state": "fine"}', headers={"X-Kind": "test"})
        yield receiver


def tried(client: Client, *, kind: str = "http", fragment: bool = True, **fields: Any) -> str:
    answer = client.post(
        reverse("monitor-new-try", args=[kind]),
        dotted(fields),
        headers=HTMX if fragment else {},
    )
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_check_is_made_on_the_spot_and_nothing_is_stored(client: Client, site: Receiver) -> None:
    shown = tried(client, target=site.url)
    assert "It passes" in shown
    assert "First byte" in shown
    assert [request.method for request in site.requests] == ["GET"]
    assert not Monitor.objects.exists()
    assert not Result.objects.exists()


def test_each_assertion_says_what_it_expected_what_it_saw_and_whether_it_holds(
    client: Client, site: Receiver
) -> None:
    shown = tried(
        client,
        target=site.url,
        settings__assertions__0__source="status",
        settings__assertions__0__comparison="equals",
        settings__assertions__0__value="200",
        settings__assertions__0__severity="down",
        settings__assertions__1__source="json",
        settings__assertions__1__property="$.state",
        settings__assertions__1__comparison="equals",
        settings__assertions__1__value="good",
        settings__assertions__1__severity="down",
        settings__assertions__2__source="header",
        settings__assertions__2__property="X-Kind",
        settings__assertions__2__comparison="contains",
        settings__assertions__2__value="nothing of the sort",
        settings__assertions__2__severity="degraded",
    )
    assert "It fails" in shown
    lines = shown.partition("<tbody>")[2].split("<tr>")[1:]
    assert [">holds<" in line for line in lines] == [True, False, False]
    assert "Status should be 200" in lines[0]
    assert "&quot;fine&quot;" in lines[1]
    assert "&quot;test&quot;" in lines[2]


def test_what_failed_before_the_assertions_still_shows_what_they_saw(
    client: Client, site: Receiver
) -> None:
    site.default = Reply(status=503)
    shown = tried(
        client,
        target=site.url,
        settings__assertions__0__source="size",
        settings__assertions__0__comparison="greater_than",
        settings__assertions__0__value="10",
    )
    assert "Status 503" in shown
    assert "Size (bytes) should be greater than 10" in shown


def test_the_certificate_of_a_check_that_passes_is_shown(client: Client) -> None:
    authority = Authority()
    issued = authority.issue("127.0.0.1", ends=timedelta(days=90))
    with Receiver(issued.server_context()) as site:
        shown = tried(client, target=site.url, settings__ca_certificate=authority.certificate_pem)
    assert "It passes" in shown
    assert "CN=Test Root" in shown
    assert "Fingerprint" in shown


def test_other_kinds_show_what_they_saw(client: Client, site: Receiver) -> None:
    shown = tried(client, kind="tcp", target=site.url.removeprefix("http://"))
    assert "It passes" in shown
    assert "<dd><span>127.0.0.1</span></dd>" in shown


def test_a_target_that_is_down_says_why(client: Client) -> None:
    shown = tried(client, target=f"http://127.0.0.1:{free_port()}/")
    assert "It fails" in shown
    assert '<code class="quiet">connect_refused</code>' in shown


def test_a_trial_ends_by_its_timeout(client: Client) -> None:
    with unanswered_port() as port:
        shown = tried(client, target=f"http://127.0.0.1:{port}/", timeout="0.2")
    assert "connect_timeout" in shown


def test_forbidden_targets_are_forbidden_to_trials(
    client: Client, site: Receiver, settings: Any
) -> None:
    settings.ALLOW_PRIVATE_TARGETS = False
    assert "target_forbidden" in tried(client, target=site.url)
    assert not site.requests


def test_without_a_script_the_result_is_a_page_of_its_own(client: Client, site: Receiver) -> None:
    shown = tried(client, target=site.url, fragment=False)
    assert shown.startswith("<!doctype html>")
    assert "It passes" in shown


def test_wrong_values_are_told_by_field_and_nothing_is_asked(
    client: Client, site: Receiver
) -> None:
    shown = tried(client, target=site.url, timeout="1000", interval="often")
    assert 'href="#id_interval"' in shown
    assert 'data-error-of="id_interval"' in shown
    shown = tried(client, target=site.url, timeout="1000")
    assert 'data-error-of="id_timeout"' in shown
    assert not site.requests
    answer = client.post(reverse("monitor-new-try", args=["http"]), {"timeout": "1000"})
    assert answer.status_code == 422


def test_a_secret_left_blank_is_the_stored_one_and_is_never_shown(
    client: Client, team: Team, site: Receiver
) -> None:
    monitor = make_monitor(
        team,
        target=site.url,
        settings={"auth": {"type": "bearer", "token": "sesame-street"}},
    )
    site.default = Reply(body=b"you said sesame-street", headers={"X-Echo": "sesame-street"})
    fields = dotted(
        {
            "name": "Shop",
            "target": site.url,
            "settings__auth__type": "bearer",
            "settings__auth__bearer__token": "",
            "settings__assertions__0__source": "body",
            "settings__assertions__0__comparison": "empty",
            "settings__assertions__0__severity": "down",
        }
    )
    answer = client.post(reverse("monitor-try", args=[monitor.pk]), fields, headers=HTMX)
    shown = answer.content.decode()
    assert site.requests[0].headers["Authorization"] == "Bearer sesame-street"
    assert f"you said {MASK}" in shown
    assert "sesame-street" not in shown
    assert Assignment.objects.get().last_checked_at is None


def test_there_is_nothing_to_try_of_what_waits(client: Client) -> None:
    for kind in ("heartbeat", "manual"):
        assert "do-try" not in client.get(reverse("monitor-new-kind", args=[kind])).content.decode()
        shown = tried(client, kind=kind, interval="1 h")
        assert "waits for what others report" in shown
    assert "do-try" in client.get(reverse("monitor-new-kind", args=["http"])).content.decode()


def test_many_trials_at_once_have_to_wait_for_each_other(
    client: Client, team: Team, site: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = trials.Running()
    monkeypatch.setattr(trials, "_running", running)
    with running.one_of(team.pk), running.one_of(team.pk), running.one_of(team.pk):
        assert "wait for one of them" in tried(client, target=site.url)
        with running.one_of(uuid4()):
            pass
    assert not site.requests
    assert "It passes" in tried(client, target=site.url)


def test_no_more_trials_run_than_a_process_can_bear() -> None:
    running = trials.Running()
    held = [running.one_of(uuid4()) for _ in range(trials.AT_ONCE)]
    for one in held:
        one.__enter__()
    with pytest.raises(Conflict), running.one_of(uuid4()):
        pass
    held.pop().__exit__(None, None, None)
    with running.one_of(uuid4()):
        pass


def test_a_copy_takes_settings_and_secrets_but_neither_name_nor_key(
    client: Client, team: Team
) -> None:
    source = make_monitor(
        team,
        name="Shop",
        key="shop",
        interval=300,
        tags=["prod"],
        settings={"auth": {"type": "bearer", "token": "sesame"}},
    )
    page = client.get(reverse("monitor-clone", args=[source.pk]))
    form = page.context["form"]
    assert form["name"].value() == "Shop (copy)"
    assert form["key"].value() is None
    assert "the stored secrets among them" in page.content.decode()
    answer = client.post(
        reverse("monitor-clone", args=[source.pk]),
        dotted(
            {
                "name": "Shop (copy)",
                "target": source.target,
                "interval": "5 min",
                "settings__auth__type": "bearer",
                "settings__auth__bearer__token": "",
            }
        ),
    )
    copy = Monitor.objects.exclude(pk=source.pk).get()
    assert answer["Location"] == copy.get_absolute_url()
    assert full_settings(copy)["auth"]["token"] == "sesame"
    assert (copy.name, copy.key, copy.interval_s) == ("Shop (copy)", None, 300)
    assert copy.ping_key != source.ping_key
